"""Times training steps, starts and sweeps; medians of alternating repeats on one thread.

python scripts/benchmark.py step       # a training step: by hand, Lightning's barest Trainer, train
python scripts/benchmark.py startup    # --help, --cfg job, and the first optimizer step
python scripts/benchmark.py sweep      # 770 runs: by hand, basic launcher, vectorized launcher
python scripts/benchmark.py sweep --tasks line,blobs
python scripts/benchmark.py report     # writing the report of 960 runs with 200 points each
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from benchmark_sweep import (  # type: ignore[import-not-found] # beside this file
    ROOT,
    TASKS,
    build,
    by_hand,
    sweep,
)
from rich.console import Console
from rich.table import Table

TRAIN = str(ROOT / "train.py")
SHORT, LONG = 200, 2200  # steps; the difference of two runs does not contain what a run costs once

BARE_APP = """
import hydra

@hydra.main(version_base="1.3", config_path="conf", config_name="train")
def main(cfg):
    pass

main()
"""
FIRST_STEP = """
import os
import pytorch_lightning as pl

class Leave(pl.Callback):
    def on_train_batch_end(self, *args):
        os._exit(0)
"""


def alternate(jobs: Mapping[str, Callable[[], float]], repeats: int) -> dict[str, float]:
    """The median of each job's values: ``repeats`` rounds, after one that does not count."""
    rounds = [{name: job() for name, job in jobs.items()} for _ in range(repeats + 1)][1:]
    return {name: statistics.median(values[name] for values in rounds) for name in jobs}


def step(repeats: int) -> None:
    """Compare the time of a step with Adam, in microseconds, on curve and blobs."""
    import torch

    torch.set_num_threads(1)
    table = Table("task", "step of", "us", "by hand", "bare Trainer")
    for task in ("curve", "blobs"):
        jobs = {
            "a  hand-written loop": partial(_per_step, partial(by_hand, optimizer="adam"), task),
            "b  barest Trainer": partial(_per_step, _barest_trainer, task),
            "c  train, with all files": partial(_per_step, _train, task),
        }
        medians = alternate(jobs, repeats)
        hand, bare, _ = medians.values()
        for name, median in medians.items():
            table.add_row(
                task, name, f"{median:.0f}", f"{median / hand:.2f} x", f"{median / bare:.2f} x"
            )
    _show(table, f"{SHORT} to {LONG} steps, {repeats} alternating repeats, one thread")


def startup(repeats: int) -> None:
    """Compare the seconds until help, the configuration or the first step is there."""
    with tempfile.TemporaryDirectory() as folder:
        app, module = Path(folder) / "app.py", Path(folder) / "first_step.py"
        app.write_text(BARE_APP)
        module.write_text(FIRST_STEP)
        (Path(folder) / "conf").mkdir()
        (Path(folder) / "conf" / "train.yaml").write_text("lr: 0.1\n")
        first = [
            TRAIN, "+callbacks.leave._target_=first_step.Leave", "allowed_packages=[first_step]",
            "trainer.accelerator=cpu",
        ]  # fmt: skip
        commands = {
            "bare Hydra app --help": [str(app), "--help"],
            "train.py --help": [TRAIN, "--help"],
            "bare Hydra app --cfg job": [str(app), "--cfg", "job"],
            "train.py --cfg job": [TRAIN, "--cfg", "job"],
            "import torch, pytorch_lightning, hydra": [
                "-c", "import os, torch, pytorch_lightning, hydra; os._exit(0)",
            ],
            "train.py, first optimizer step done": first,
        }  # fmt: skip
        jobs = {name: partial(_seconds, arguments, folder) for name, arguments in commands.items()}
        medians = alternate(jobs, repeats)
    table = Table("command", "seconds", "ratio")
    base = 1.0
    for index, (name, median) in enumerate(medians.items()):
        base = median if index % 2 == 0 else base
        table.add_row(name, f"{median:.3f}", f"{median / base:.2f} x")
    _show(table, f"whole processes, {repeats} alternating repeats")


def _per_step(train: Callable[[str, int], Any], task: str) -> float:
    durations = []
    for steps in (SHORT, LONG):
        began = time.perf_counter()
        train(task, steps)
        durations.append(time.perf_counter() - began)
    return (durations[1] - durations[0]) / (LONG - SHORT) * 1e6


def _barest_trainer(task: str, steps: int) -> None:
    import logging

    import pytorch_lightning as pl

    from stepsize.optim import Recipe

    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    config, data, module = build(task, "adam")
    module.recipe = Recipe(config["optimizer"])
    trainer = pl.Trainer(
        accelerator="cpu", max_steps=steps, max_epochs=-1, logger=False, limit_val_batches=0,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(module, data)


def _train(task: str, steps: int) -> None:
    from stepsize.train import train

    os.environ["FORCE_COLOR"] = "1"  # the progress bar is drawn, as on a terminal
    with (
        tempfile.TemporaryDirectory() as folder,
        open(os.devnull, "w") as nowhere,
        contextlib.redirect_stdout(nowhere),
    ):
        train(_composed(task, steps, Path(folder) / "run"))
    del os.environ["FORCE_COLOR"]


def _composed(task: str, steps: int, folder: Path) -> Any:
    from hydra import compose, initialize_config_dir
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import open_dict

    overrides = [
        f"task={task}", f"trainer.max_steps={steps}", "trainer.accelerator=cpu",
        "callbacks.plot=null", "optimizer=adam", f"hydra.runtime.output_dir={folder}",
    ]  # fmt: skip
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        cfg = compose("train", overrides=overrides, return_hydra_config=True)
    HydraConfig.instance().set_config(cfg)
    with open_dict(cfg):
        del cfg["hydra"]
    return cfg


def _seconds(arguments: list[str], folder: str) -> float:
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": folder}
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=env, check=True, capture_output=True
    )
    return time.perf_counter() - began


def _show(table: Table, how: str) -> None:
    import torch

    console = Console()
    console.print(table)
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    console.print(f"{how}; {machine}, torch {torch.__version__}", style="dim")


def report(repeats: int, seeds: int = 10) -> None:
    """User CPU seconds of writing the report of a synthetic sweep, figures and medians included."""
    sys.path.append(str(ROOT / "tests"))
    from synthetic_sweeps import write_sweep  # type: ignore[import-not-found] # in tests/

    from stepsize.report.report import write_report

    varied = {
        "task": ["line", "curve"],
        "optimizer": ["sgd", "adam", "nadam", "lion", "rmsprop", "radam", "adamax", "adagrad"],
        "optimizer.lr": ["1e-3", "2e-3", "5e-3", "1e-2", "2e-2", "5e-2"],
        "seed": range(seeds),
    }
    with tempfile.TemporaryDirectory() as folder:
        sweep_folder = write_sweep(Path(folder) / "sweep", varied, points=200, steps=2000)

        def write() -> float:
            began = os.times().user
            write_report([sweep_folder], Path(folder) / "report")
            return os.times().user - began

        seconds = alternate({"report": write}, repeats)["report"]
    table = Table("report of a sweep", "user CPU")
    table.add_row(f"{96 * seeds} runs of 200 points", f"{seconds:.1f} s")
    _show(table, f"median of {repeats}")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["step", "startup", "sweep", "report"])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--tasks", default=",".join(TASKS), help="of sweep, such as line,blobs")
    arguments = parser.parse_args()
    if arguments.what == "sweep":
        sweep(arguments.repeats, arguments.tasks.split(","))
    else:
        {"step": step, "startup": startup, "report": report}[arguments.what](arguments.repeats)


if __name__ == "__main__":
    main()
