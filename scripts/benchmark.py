"""How fast is it? Ratios measured in one go, alternating, on one thread; medians.

python scripts/benchmark.py step       # a training step: by hand, Lightning's barest Trainer, train
python scripts/benchmark.py startup    # --help, --cfg job, and the first optimizer step
python scripts/benchmark.py sweep      # 770 runs: by hand, ordinary launcher, vectorized launcher
python scripts/benchmark.py sweep --tasks line,blobs
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

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
TRAIN = str(ROOT / "train.py")
SHORT, LONG = 200, 2200  # steps; the difference of two runs is free of what a run costs once

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


def alternate(jobs: Mapping[str, Callable[[], float]], repeats: int) -> dict[str, list[float]]:
    """Run the jobs in turn, ``repeats`` times each, after one round that does not count."""
    times: dict[str, list[float]] = {name: [] for name in jobs}
    for round_ in range(repeats + 1):
        for name, job in jobs.items():
            value = job()
            if round_:
                times[name].append(value)
    return times


def step(repeats: int) -> None:
    """Compare the cost of a step with Adam, in microseconds, on curve and blobs."""
    import torch

    torch.set_num_threads(1)
    table = Table("task", "step of", "us", "by hand", "bare Trainer")
    for task in ("curve", "blobs"):
        jobs = {
            "a  hand-written loop": partial(_per_step, _by_hand, task),
            "b  barest Trainer": partial(_per_step, _barest_trainer, task),
            "c  train, all written": partial(_per_step, _train, task),
        }
        medians = {name: statistics.median(t) for name, t in alternate(jobs, repeats).items()}
        hand, bare, _ = medians.values()
        for name, median in medians.items():
            table.add_row(
                task, name, f"{median:.0f}", f"{median / hand:.2f} x", f"{median / bare:.2f} x"
            )
    _show(table, f"{SHORT} to {LONG} steps, {repeats} alternating repeats, one thread")


def startup(repeats: int) -> None:
    """Compare what is waited for before anything happens, in seconds."""
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
        jobs = {name: partial(_seconds, words, folder) for name, words in commands.items()}
        medians = {name: statistics.median(t) for name, t in alternate(jobs, repeats).items()}
    table = Table("command", "seconds", "ratio")
    base = 1.0
    for index, (name, median) in enumerate(medians.items()):
        base = median if index % 2 == 0 else base
        table.add_row(name, f"{median:.3f}", f"{median / base:.2f} x")
    _show(table, f"whole processes, {repeats} alternating repeats")


def _per_step(train: Callable[[str, int], None], task: str) -> float:
    durations = []
    for steps in (SHORT, LONG):
        began = time.perf_counter()
        train(task, steps)
        durations.append(time.perf_counter() - began)
    return (durations[1] - durations[0]) / (LONG - SHORT) * 1e6


def _composed(task: str, steps: int, folder: Path) -> Any:
    from hydra import compose, initialize_config_dir
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import open_dict

    words = [
        f"task={task}", f"trainer.max_steps={steps}", "trainer.accelerator=cpu",
        "callbacks.plot=null", "optimizer=adam",
    ]  # fmt: skip
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        cfg = compose(
            "train",
            overrides=[*words, f"hydra.runtime.output_dir={folder}"],
            return_hydra_config=True,
        )
    HydraConfig.instance().set_config(cfg)
    with open_dict(cfg):
        del cfg["hydra"]
    return cfg


def _parts(task: str, steps: int) -> tuple[dict[str, Any], Any, Any]:
    from omegaconf import OmegaConf

    from stepsize.config.instantiate import instantiate

    with tempfile.TemporaryDirectory() as folder:
        config: Any = OmegaConf.to_container(_composed(task, steps, Path(folder)), resolve=True)
    return config, instantiate(config["data"]), instantiate(config["model"])


def _by_hand(task: str, steps: int) -> None:
    import torch
    import torch.nn.functional as F

    config, data, module = _parts(task, steps)
    net, (x, y) = module.net, data.train
    options = {k: v for k, v in config["optimizer"].items() if k != "_target_"}
    optimizer = torch.optim.Adam(net.parameters(), **options)
    target = y if task == "curve" else y.float()
    loss = F.mse_loss if task == "curve" else F.binary_cross_entropy_with_logits
    for _ in range(steps):
        optimizer.zero_grad()
        output = net(x)
        loss(output if task == "curve" else output[:, 0], target).backward()
        optimizer.step()


def _barest_trainer(task: str, steps: int) -> None:
    import logging

    import pytorch_lightning as pl

    from stepsize.optim import Recipe

    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)

    config, data, module = _parts(task, steps)
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


def _seconds(words: list[str], folder: str) -> float:
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": folder}
    began = time.perf_counter()
    subprocess.run([sys.executable, *words], cwd=folder, env=env, check=True, capture_output=True)
    return time.perf_counter() - began


def _show(table: Table, how: str) -> None:
    import torch

    console = Console()
    console.print(table)
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    console.print(f"{how}; {machine}, torch {torch.__version__}", style="dim")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["step", "startup", "sweep"])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--tasks", help="of sweep, such as line,blobs; without it all four")
    arguments = parser.parse_args()
    if arguments.what == "sweep":
        from sweep_speed import TASKS, sweep  # type: ignore[import-not-found] # beside this file

        sweep(arguments.repeats, arguments.tasks.split(",") if arguments.tasks else TASKS)
    else:
        {"step": step, "startup": startup}[arguments.what](arguments.repeats)


if __name__ == "__main__":
    main()
