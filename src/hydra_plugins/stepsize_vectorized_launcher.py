"""The launcher behind ``hydra/launcher=vectorized``; see :mod:`stepsize.vectorized`.

Hydra imports this file at every start, ``--help`` included: nothing heavy at the top. It runs it
before it knows the module, so that a dataclass here must do without postponed annotations.
"""

import gc
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import CompactHydraException

if TYPE_CHECKING:
    from stepsize.vectorized.templates import ComposedJob


@dataclass
class VectorizedConf:
    """What ``hydra.launcher`` may say.

    Attributes:
        processes: how many train at the same time on a CPU; 0 for one on each core.
    """

    _target_: str = "hydra_plugins.stepsize_vectorized_launcher.Vectorized"
    processes: int = 0


ConfigStore.instance().store(
    group="hydra/launcher", name="vectorized", node=VectorizedConf, provider="stepsize"
)


class Vectorized(BasicLauncher):
    """Trains the jobs that can be as one program, and the others one after another."""

    def __init__(self, processes: int = 0) -> None:
        super().__init__()
        self.processes = processes
        self._computed = False  # whether this process has: then it must not be forked any more

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Leave for every job what the basic launcher would leave.

        A sweeper such as Optuna's calls this for each of its batches.
        """
        from hydra.core.utils import configure_log, setup_globals
        from omegaconf.errors import OmegaConfBaseException

        from stepsize.run.errors import told_in_one_line
        from stepsize.run.folder import Earlier
        from stepsize.vectorized.launcher import log_individual_runs, run_individually, train_jobs
        from stepsize.vectorized.templates import Templates

        assert self.config is not None
        assert self.hydra_context is not None
        # What is imported by now stays: the garbage collector need not go through it again and
        # again, and forks go on sharing it.
        gc.freeze()
        setup_globals()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        templates = Templates(self.config, self.hydra_context.config_loader)
        jobs, returns = {}, {}
        for number, words in enumerate(job_overrides, initial_job_idx):
            try:
                jobs[number] = templates.complete(words, number)
            except (ValueError, OmegaConfBaseException):  # a value is missing: a run that failed
                (returns[number],) = super().launch([words], number)
        with told_in_one_line():
            for job in jobs.values():
                overwrite = bool(job.config["overwrite"])
                Earlier.look(job.folder).agreed(job.unresolved, overwrite=overwrite)
        # Samplers ask for the same words twice in a batch: one folder, one run.
        distinct = list({job.folder: job for job in jobs.values()}.values())
        processes = self.processes or os.cpu_count() or 1
        reasons, computed = train_jobs(distinct, 1 if self._computed else processes)
        self._computed |= computed
        log_individual_runs(reasons)
        ordinary = super().launch
        self._computed |= run_individually(
            lambda index: ordinary([distinct[index].overrides], distinct[index].number),
            sorted(reasons),
            1 if self._computed else processes,
        )
        gc.unfreeze()
        returns.update({number: _returned(job) for number, job in jobs.items()})
        return [returns[number] for number in sorted(returns)]


def _returned(job: "ComposedJob") -> JobReturn:
    """What the basic launcher would return of a job that has been run."""
    from stepsize.run.folder import Earlier
    from stepsize.run.result import told, worst

    result = Earlier.look(job.folder).result
    done = JobReturn(overrides=list(job.overrides), status=JobStatus.COMPLETED)
    done.return_value = told(result) if result else worst(job.config["mode"])
    if job.config["fail_fast"] and result.get("status") == "failed":
        done.status = JobStatus.FAILED
        done.return_value = CompactHydraException(result["reason"])
    return done
