"""Hydra's launcher of ``hydra/launcher=vectorized``; see :mod:`stepsize.vectorized`.

Hydra imports this file at every start, also for ``--help``, so that nothing heavy is imported at
the top. It runs the file before it registers the module, so that the dataclass cannot have
postponed annotations.
"""

import gc
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import CompactHydraException


@dataclass
class VectorizedConf:
    """The keys of ``hydra.launcher``.

    Attributes:
        processes: how many train at the same time on a CPU; 0 for one on each core.
    """

    _target_: str = "hydra_plugins.stepsize_vectorized_launcher.Vectorized"
    processes: int = 0


ConfigStore.instance().store(
    group="hydra/launcher", name="vectorized", node=VectorizedConf, provider="stepsize"
)


class Vectorized(BasicLauncher):
    """Trains eligible jobs as one program, and every other job individually."""

    def __init__(self, processes: int = 0) -> None:
        super().__init__()
        self.processes = processes
        self._computed = False  # whether this process has trained: then it must not be forked

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Run the jobs; each leaves the files that the basic launcher would leave.

        A sweeper such as Optuna's calls this for each of its batches.
        """
        from hydra.core.utils import configure_log, setup_globals
        from omegaconf.errors import OmegaConfBaseException

        from stepsize.run.errors import errors_in_one_line
        from stepsize.run.folder import EarlierAttempt
        from stepsize.vectorized.launcher import run_individually, tell_individual_runs, train_jobs
        from stepsize.vectorized.templates import Templates

        assert self.config is not None
        assert self.hydra_context is not None
        # Excludes everything imported so far from garbage collection, so that collections are
        # short and forked processes keep sharing its memory.
        gc.freeze()
        setup_globals()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        templates = Templates(self.config, self.hydra_context.config_loader)
        overrides = dict(enumerate(job_overrides, initial_job_idx))
        jobs, returns = {}, {}
        for number in overrides:
            try:
                jobs[number] = templates.complete(overrides[number], number)
            except (ValueError, OmegaConfBaseException):  # a value is missing: this run fails
                (returns[number],) = super().launch([overrides[number]], number)
        with errors_in_one_line():
            for job in jobs.values():
                overwrite = bool(job.config["overwrite"])
                EarlierAttempt.read(job.folder).checked(job.unresolved, overwrite=overwrite)
        # A sampler may ask for the same overrides twice in a batch: one folder, one run.
        distinct = list({job.folder: job for job in jobs.values()}.values())
        processes = self.processes or os.cpu_count() or 1
        reasons, computed = train_jobs(distinct, 1 if self._computed else processes)
        self._computed |= computed
        tell_individual_runs(reasons)
        basic_launch = super().launch
        self._computed |= run_individually(
            lambda index: basic_launch([overrides[distinct[index].number]], distinct[index].number),
            sorted(reasons),
            1 if self._computed else processes,
        )
        gc.unfreeze()
        for number, job in jobs.items():
            returns[number] = _returned(overrides[number], job.folder, job.config)
        return [returns[number] for number in sorted(returns)]


def _returned(overrides: Sequence[str], folder: Path, config: dict[str, Any]) -> JobReturn:
    """What the basic launcher would return for a job that has run."""
    from stepsize.run.folder import EarlierAttempt
    from stepsize.run.result import objective_of, worst_objective

    result = EarlierAttempt.read(folder).result
    done = JobReturn(overrides=list(overrides), status=JobStatus.COMPLETED)
    done.return_value = objective_of(result) if result else worst_objective(config["mode"])
    if config["fail_fast"] and result.get("status") == "failed":
        done.status = JobStatus.FAILED
        done.return_value = CompactHydraException(result["reason"])
    return done
