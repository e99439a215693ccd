"""Times sweeps: by hand, with Hydra's basic launcher and with the vectorized launcher.

Called by ``python scripts/benchmark.py sweep``.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
TASKS = ("line", "curve", "blobs", "digits_mlp")
OPTIMIZERS = (
    "sgd", "asgd", "adagrad", "adadelta", "adam", "adamw", "adamax", "nadam", "radam", "rmsprop",
    "rprop",
)  # fmt: skip
LRS = ("1e-4", "3e-4", "1e-3", "3e-3", "1e-2", "3e-2", "1e-1")
STEPS = 1000
BY_HAND = 150  # steps of each optimizer, from which the time of a step by hand is taken


class Cost(NamedTuple):
    """Of a vectorized sweep: seconds, seconds of these spent compiling, and peak memory in MB."""

    seconds: float
    compiling: float
    memory: float


def sweep(repeats: int, tasks: Sequence[str] = TASKS, seeds: int = 10) -> None:
    """Compare sweeps of 11 element-wise optimizers at 7 learning rates, 1,000 steps each.

    Args:
        repeats: how often each time is measured; medians are shown.
        tasks: names of task files.
        seeds: runs of each optimizer and learning rate.
    """
    with tempfile.TemporaryDirectory() as parent:
        _compare(repeats, tasks, seeds, parent)


def grid(task: str, seeds: int, optimizers: Sequence[str] = OPTIMIZERS) -> list[list[str]]:
    """The overrides of a sweep's jobs, as a sweeper gives them to a launcher."""
    return [
        [f"task={task}", f"optimizer={name}", f"optimizer.lr={lr}", f"seed={seed}",
         f"trainer.max_steps={STEPS}", "trainer.accelerator=cpu", "plots=false"]
        for name in optimizers for lr in LRS for seed in range(seeds)
    ]  # fmt: skip


def by_hand(task: str, steps: int, optimizer: str) -> float:
    """Seconds that ``steps`` steps take in a loop of a few lines that logs nothing."""
    import torch.nn.functional as F

    from stepsize.config.instantiate import locate

    config, data, module = build(task, optimizer)
    net, (x, y) = module.net, data.train
    size = data.batch_size or len(x)
    options = {key: v for key, v in config["optimizer"].items() if key != "_target_"}
    stepper: Any = locate(config["optimizer"]["_target_"])(net.parameters(), **options)

    def objective(x: Any, y: Any) -> Any:
        output = net(x)
        if task in ("line", "curve"):
            return F.mse_loss(output, y)
        if task == "blobs":
            return F.binary_cross_entropy_with_logits(output[:, 0], y)
        return F.cross_entropy(output, y)

    y = y.float() if task == "blobs" else y
    began = time.perf_counter()
    for step in range(steps):
        at = step * size % (len(x) - size + 1)
        batch = (x, y) if size == len(x) else (x[at : at + size], y[at : at + size])
        stepper.zero_grad()
        objective(*batch).backward()
        stepper.step()
    return time.perf_counter() - began


def build(task: str, optimizer: str) -> tuple[dict[str, Any], Any, Any]:
    """The configuration of a task with an optimizer, its data module and its LightningModule."""
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from omegaconf import OmegaConf

    from stepsize.config.instantiate import instantiate

    GlobalHydra.instance().clear()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        cfg = compose("train", overrides=[f"task={task}", f"optimizer={optimizer}"])
    config: dict[str, Any] = {
        key: OmegaConf.to_container(cfg[key], resolve=True, enum_to_str=True)
        for key in ("data", "model", "optimizer")
    }
    return config, instantiate(config["data"]), instantiate(config["model"])


def launch(kind: str, jobs: Sequence[Sequence[str]], parent: str, processes: int = 1) -> float:
    """Seconds that a launcher takes for the jobs, without Hydra's command line around it.

    Args:
        kind: ``basic`` or ``vectorized``.
        jobs: the overrides of each.
        parent: a new folder in it takes all files. They stay there, because ext4 creates files
            several times slower for a while after many were deleted.
        processes: of the vectorized launcher.
    """
    from hydra import version
    from hydra._internal.callbacks import Callbacks
    from hydra._internal.config_search_path_impl import ConfigSearchPathImpl
    from hydra._internal.hydra import Hydra
    from hydra._internal.utils import create_config_search_path
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.plugins import Plugins
    from hydra.types import HydraContext, RunMode

    from stepsize.main import run_job

    GlobalHydra.instance().clear()
    version.setbase("1.3")
    search: ConfigSearchPathImpl = create_config_search_path(str(ROOT / "conf"))  # type: ignore[assignment]
    hydra = Hydra.create_main_hydra2("train", search)
    folder = tempfile.mkdtemp(dir=parent)
    with _silence():
        own = [f"hydra.launcher.processes={processes}"] if kind == "vectorized" else []
        config = hydra.compose_config(
            "train",
            [f"hydra/launcher={kind}", f"hydra.sweep.dir={folder}", *own],
            run_mode=RunMode.MULTIRUN,
            with_log_configuration=False,
        )
        context = HydraContext(hydra.config_loader, Callbacks(config))
        launcher = Plugins.instance().instantiate_launcher(
            config=config, hydra_context=context, task_function=run_job
        )
        began = time.perf_counter()
        launcher.launch([list(job) for job in jobs], 0)
        seconds = time.perf_counter() - began
    missing = len(jobs) - sum(1 for _ in Path(folder).glob("*/result.json"))
    if missing:
        raise RuntimeError(f"{missing} of {len(jobs)} runs have no result")
    return seconds


def vectorized(jobs: Sequence[Sequence[str]], parent: str, processes: int = 1) -> Cost:
    """The cost in a new process with an empty compiler cache."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_vectorized, jobs, parent, processes).result()


def _vectorized(jobs: Sequence[Sequence[str]], parent: str, processes: int) -> Cost:
    import torch

    import stepsize.train  # noqa: F401  (a loop by hand has imported torch and Lightning, too)

    torch.set_num_threads(1)
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = tempfile.mkdtemp(dir=parent)
    with _compiling_seconds() as compiling:
        seconds = launch("vectorized", jobs, parent, processes)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Cost(seconds, sum(compiling), peak)


@contextlib.contextmanager
def _compiling_seconds() -> Iterator[list[float]]:
    """Collects the seconds that each vectorized program takes to compile."""
    from stepsize.vectorized import training

    seconds: list[float] = []
    original = training.Training.run

    def run(self: Any) -> Any:
        seconds.append(self.seconds_compiling)
        return original(self)

    training.Training.run = run  # type: ignore[method-assign]
    try:
        yield seconds
    finally:
        training.Training.run = original  # type: ignore[method-assign]


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)


def _compare(repeats: int, tasks: Sequence[str], seeds: int, parent: str) -> None:
    import torch

    torch.set_num_threads(1)
    cores = os.cpu_count() or 1
    console = Console(width=140)
    table = Table("task", "runs", "by hand", "basic", "vectorized", "of it compiling",
                  "than by hand", "than basic", f"on {cores} cores", "one run")  # fmt: skip
    for task in tasks:
        jobs = grid(task, seeds)
        steps = len(jobs) * STEPS
        sample = grid(task, 1)[3 :: len(LRS)][:: max(1, len(OPTIMIZERS) // 3)]
        hand, basic, one, compiling, all_cores = [], [], [], [], []
        launch("basic", sample[:1], parent)  # imports what a first run imports
        for _ in range(repeats):
            each = [by_hand(task, BY_HAND, name) / BY_HAND for name in OPTIMIZERS]
            hand.append(steps * statistics.mean(each))
            basic.append(launch("basic", sample, parent) / len(sample) * len(jobs))
            cost = vectorized(jobs, parent)
            one.append(cost.seconds)
            compiling.append(cost.compiling)
            all_cores.append(vectorized(jobs, parent, cores).seconds)
            console.print(
                f"{task}: {hand[-1]:.0f} s by hand, {basic[-1]:.0f} s basic, {one[-1]:.1f} s "
                f"vectorized, {all_cores[-1]:.1f} s on {cores} cores", style="dim",
            )  # fmt: skip
        ratio = statistics.median(_one_run(task, parent) for _ in range(repeats))
        a, b, c, d, e = map(statistics.median, (hand, basic, one, compiling, all_cores))
        table.add_row(
            task, f"{len(jobs):,}", f"{a:.0f} s", f"{b:.0f} s", f"{c:.1f} s", f"{d:.1f} s",
            f"{a / c:.0f} x faster", f"{b / c:.0f} x faster", f"{e:.1f} s",
            f"{ratio:.2f} x by hand",
        )  # fmt: skip
    console.print(table)
    console.print(
        f"{STEPS:,} steps; by hand: {BY_HAND} steps of each optimizer; basic launcher: "
        f"{len(sample)} runs; one run: a step of a single vectorized run with Adam; medians of "
        f"{repeats}; torch {torch.__version__}", style="dim",
    )  # fmt: skip
    if "line" in tasks:
        _growth(console, parent)


def _one_run(task: str, parent: str) -> float:
    """The time of a step of a single vectorized run with Adam, relative to a step by hand."""
    job, steps = grid(task, 1, ["adam"])[2], (1_000, 5_000)
    short, long = (launch("vectorized", [[*job, f"trainer.max_steps={n}"]], parent) for n in steps)
    return (long - short) / (steps[1] - steps[0]) / (by_hand(task, BY_HAND, "adam") / BY_HAND)


def _growth(
    console: Console, parent: str, counts: Sequence[int] = (10, 100, 1_000, 10_000)
) -> None:
    """Show how time and memory grow with the number of runs of task line."""
    table = Table("runs of line", "seconds", "us per run and step", "peak memory")
    for count in counts:
        seeds = -(-count // (len(OPTIMIZERS) * len(LRS)))
        jobs = grid("line", seeds)[:: max(1, len(OPTIMIZERS) * len(LRS) * seeds // count)][:count]
        cost = vectorized(jobs, parent)
        each = cost.seconds / len(jobs) / STEPS * 1e6
        table.add_row(
            f"{len(jobs):,}", f"{cost.seconds:.1f}", f"{each:.2f}", f"{cost.memory:,.0f} MB"
        )
    console.print(table)
