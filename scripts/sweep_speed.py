"""How fast is a sweep? By hand, with the ordinary launcher, and with the vectorized one.

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
RATES = ("1e-4", "3e-4", "1e-3", "3e-3", "1e-2", "3e-2", "1e-1")
STEPS = 1000
BY_HAND = 150  # steps of one run of each optimizer, of which the cost of a step is taken


def grid(task: str, seeds: int, optimizers: Sequence[str] = OPTIMIZERS) -> list[list[str]]:
    """The jobs of a sweep, as a sweeper gives them to a launcher."""
    return [
        [f"task={task}", f"optimizer={name}", f"optimizer.lr={rate}", f"seed={seed}",
         f"trainer.max_steps={STEPS}", "trainer.accelerator=cpu", "pictures=false"]
        for name in optimizers for rate in RATES for seed in range(seeds)
    ]  # fmt: skip


def launch(kind: str, jobs: list[list[str]], parent: str, processes: int = 1) -> float:
    """Seconds that a launcher takes for the jobs, all files written to a new folder in ``parent``.

    What is written stays there: after many files are deleted, ext4 takes several times as long to
    make new ones for a while.
    """
    from hydra import version
    from hydra._internal.callbacks import Callbacks
    from hydra._internal.config_search_path_impl import ConfigSearchPathImpl
    from hydra._internal.hydra import Hydra
    from hydra._internal.utils import create_config_search_path
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.plugins import Plugins
    from hydra.types import HydraContext, RunMode

    from stepsize.sweeps.job import run_job

    GlobalHydra.instance().clear()
    version.setbase("1.3")
    search: ConfigSearchPathImpl = create_config_search_path(str(ROOT / "conf"))  # type: ignore[assignment]
    hydra = Hydra.create_main_hydra2("train", search)
    folder = tempfile.mkdtemp(dir=parent)
    with _silence():
        own = [f"hydra.launcher.processes={processes}"] if kind == "vectorized" else []
        jobs = [list(words) for words in jobs]
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
        launcher.launch(jobs, 0)
        seconds = time.perf_counter() - began
        finished = sum(1 for _ in Path(folder).glob("*/result.json"))
    if finished < len(jobs):
        raise RuntimeError(f"{len(jobs) - finished} of {len(jobs)} runs have no result")
    return seconds


class Cost(NamedTuple):
    """Of a vectorized sweep: seconds, those of them spent compiling, and MB at the most."""

    seconds: float
    compiling: float
    memory: float


def vectorized(jobs: list[list[str]], parent: str, processes: int = 1) -> Cost:
    """The cost in a process of its own, which compiles as for the first time."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_vectorized, jobs, parent, processes).result()


def _vectorized(jobs: list[list[str]], parent: str, processes: int) -> Cost:
    import torch

    import stepsize.train  # noqa: F401  (imports what a loop by hand has imported, too)

    torch.set_num_threads(1)
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = tempfile.mkdtemp(dir=parent)
    with _noted() as compiling:
        seconds = launch("vectorized", jobs, parent, processes)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Cost(seconds, sum(compiling), peak)


def by_hand(task: str, name: str) -> float:
    """Seconds that a step takes in a loop of a few lines, which logs nothing."""
    import torch.nn.functional as F

    from stepsize.instantiate import locate

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
    console = Console(width=120)
    table = Table("task", "runs", "by hand", "ordinary", "vectorized", "of it compiling",
                  "than by hand", "than ordinary", f"on {cores} cores")  # fmt: skip
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
        a, b, c, d, e = map(statistics.median, (hand, ordinary, one, compiling, all_cores))
        table.add_row(
            task, f"{len(jobs):,}", f"{a:.0f} s", f"{b:.0f} s", f"{c:.1f} s", f"{d:.1f} s",
            f"{a / c:.0f} x faster", f"{b / c:.0f} x faster", f"{e:.1f} s",
        )  # fmt: skip
    console.print(table)
    console.print(
        f"{STEPS:,} steps; by hand: {BY_HAND} steps of each optimizer; ordinary: "
        f"{len(sample)} runs; medians of {repeats}; torch {torch.__version__}", style="dim",
    )  # fmt: skip
    if "line" in tasks:
        growth(console, parent)


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

    from stepsize.instantiate import instantiate

    GlobalHydra.instance().clear()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        cfg = compose("train", overrides=[f"task={task}", f"optimizer={name}", "logger=none"])
    config: dict[str, Any] = {
        key: OmegaConf.to_container(cfg[key], resolve=True)
        for key in ("data", "model", "optimizer")
    }
    return config, instantiate(config["data"]), instantiate(config["model"])


@contextlib.contextmanager
def _noted() -> Iterator[list[float]]:
    """The seconds that each program takes to compile."""
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
