"""Seconds that a launcher takes for a sweep, without Hydra's command line around it."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]


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

    from stepsize.main import run_job

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
