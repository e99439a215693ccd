"""How fast is a sweep? By hand, with the ordinary launcher, and with the vectorized one.

Called by ``python scripts/benchmark.py sweep``.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from timed_sweep import launch, vectorized  # type: ignore[import-not-found] # beside this file

ROOT = Path(__file__).resolve().parents[1]
TASKS = ("line", "curve", "blobs", "digits_mlp")
OPTIMIZERS = (
    "sgd", "asgd", "adagrad", "adadelta", "adam", "adamw", "adamax", "nadam", "radam", "rmsprop",
    "rprop",
)  # fmt: skip
RATES = ("1e-4", "3e-4", "1e-3", "3e-3", "1e-2", "3e-2", "1e-1")
STEPS = 1000
BY_HAND = 150  # steps of one run of each optimizer, of which the cost of a step is taken


def grid(task: str, seeds: int, optimizers: Sequence[str] = OPTIMIZERS) -> list[list[str]]:
    """The jobs of a sweep, as a sweeper gives them to a launcher."""
    return [
        [f"task={task}", f"optimizer={name}", f"optimizer.lr={rate}", f"seed={seed}",
         f"trainer.max_steps={STEPS}", "trainer.accelerator=cpu", "plots=false"]
        for name in optimizers for rate in RATES for seed in range(seeds)
    ]  # fmt: skip


def by_hand(task: str, name: str) -> float:
    """Seconds that a step takes in a loop of a few lines, which logs nothing."""
    import torch.nn.functional as F

    from stepsize.config.instantiate import locate

    config, data, module = _parts(task, name)
    net, (x, y) = module.net, data.train
    size = data.batch_size or len(x)
    options = {key: v for key, v in config["optimizer"].items() if key != "_target_"}
    optimizer: Any = locate(config["optimizer"]["_target_"])(net.parameters(), **options)

    def objective(x: Any, y: Any) -> Any:
        output = net(x)
        if task in ("line", "curve"):
            return F.mse_loss(output, y)
        if task == "blobs":
            return F.binary_cross_entropy_with_logits(output[:, 0], y.float())
        return F.cross_entropy(output, y)

    began = time.perf_counter()
    for step in range(BY_HAND):
        at = step * size % (len(x) - size + 1)
        optimizer.zero_grad()
        objective(x[at : at + size], y[at : at + size]).backward()
        optimizer.step()
    return (time.perf_counter() - began) / BY_HAND


def sweep(repeats: int, tasks: Sequence[str] = TASKS, seeds: int = 10) -> None:
    """Compare sweeps of 11 element-wise optimizers at 7 rates, 1,000 steps each."""
    with tempfile.TemporaryDirectory() as parent:
        compare(repeats, tasks, seeds, parent)


def compare(repeats: int, tasks: Sequence[str], seeds: int, parent: str) -> None:
    """The same, into a folder."""
    import torch

    torch.set_num_threads(1)
    cores = os.cpu_count() or 1
    console = Console(width=140)
    table = Table("task", "runs", "by hand", "ordinary", "vectorized", "of it compiling",
                  "than by hand", "than ordinary", f"on {cores} cores", "one run")  # fmt: skip
    for task in tasks:
        jobs = grid(task, seeds)
        steps = len(jobs) * STEPS
        sample = grid(task, 1)[3 :: len(RATES)][:: max(1, len(OPTIMIZERS) // 3)]
        hand, ordinary, one, compiling, all_cores = [], [], [], [], []
        launch("basic", sample[:1], parent)  # imports what a first run imports
        for _ in range(repeats):
            hand.append(steps * statistics.mean(by_hand(task, name) for name in OPTIMIZERS))
            ordinary.append(launch("basic", sample, parent) / len(sample) * len(jobs))
            cost = vectorized(jobs, parent)
            one.append(cost.seconds)
            compiling.append(cost.compiling)
            all_cores.append(vectorized(jobs, parent, cores).seconds)
            console.print(
                f"{task}: {hand[-1]:.0f} s by hand, {ordinary[-1]:.0f} s ordinary, {one[-1]:.1f} s "
                f"vectorized, {all_cores[-1]:.1f} s on {cores} cores", style="dim",
            )  # fmt: skip
        alone = [one_run(task, parent) for _ in range(repeats)]
        hand_step, own_step = (statistics.median(times) for times in zip(*alone, strict=True))
        a, b, c, d, e = map(statistics.median, (hand, ordinary, one, compiling, all_cores))
        table.add_row(
            task, f"{len(jobs):,}", f"{a:.0f} s", f"{b:.0f} s", f"{c:.1f} s", f"{d:.1f} s",
            f"{a / c:.0f} x faster", f"{b / c:.0f} x faster", f"{e:.1f} s",
            f"{own_step / hand_step:.2f} x by hand",
        )  # fmt: skip
    console.print(table)
    console.print(
        f"{STEPS:,} steps; by hand: {BY_HAND} steps of each optimizer; ordinary: "
        f"{len(sample)} runs; one run: a step of Adam, by itself; medians of {repeats}; "
        f"torch {torch.__version__}", style="dim",
    )  # fmt: skip
    if "line" in tasks:
        growth(console, parent)


def one_run(task: str, parent: str) -> tuple[float, float]:
    """Microseconds that a step of a run by itself takes, by hand and vectorized."""
    job, steps = grid(task, 1, ["adam"])[2], (1_000, 5_000)
    seconds = [launch("vectorized", [[*job, f"trainer.max_steps={n}"]], parent) for n in steps]
    vectorized_step = (seconds[1] - seconds[0]) / (steps[1] - steps[0])
    return by_hand(task, "adam") * 1e6, vectorized_step * 1e6


def growth(console: Console, parent: str, counts: Sequence[int] = (10, 100, 1_000, 10_000)) -> None:
    """Show what more runs cost, on line."""
    table = Table("runs on line", "seconds", "us per run and step", "largest memory")
    for count in counts:
        seeds = -(-count // (len(OPTIMIZERS) * len(RATES)))
        jobs = grid("line", seeds)[:: max(1, len(OPTIMIZERS) * len(RATES) * seeds // count)][:count]
        cost = vectorized(jobs, parent)
        each = cost.seconds / len(jobs) / STEPS * 1e6
        table.add_row(
            f"{len(jobs):,}", f"{cost.seconds:.1f}", f"{each:.2f}", f"{cost.memory:,.0f} MB"
        )
    console.print(table)


def _parts(task: str, name: str) -> tuple[dict[str, Any], Any, Any]:
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from omegaconf import OmegaConf

    from stepsize.config.instantiate import instantiate

    GlobalHydra.instance().clear()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        cfg = compose("train", overrides=[f"task={task}", f"optimizer={name}", "logger=none"])
    config: dict[str, Any] = {
        key: OmegaConf.to_container(cfg[key], resolve=True)
        for key in ("data", "model", "optimizer")
    }
    return config, instantiate(config["data"]), instantiate(config["model"])
