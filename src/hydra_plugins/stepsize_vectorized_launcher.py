"""The launcher behind ``hydra/launcher=vectorized``; see :mod:`stepsize.vectorized`.

Hydra imports this file at every start, ``--help`` included: nothing heavy at the top. It runs it
before it knows the module, so that a dataclass here must do without postponed annotations.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, JobStatus


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

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Leave for every job what the basic launcher would leave."""
        from hydra.core.utils import configure_log, setup_globals

        from stepsize.earlier import Earlier
        from stepsize.outcome import told, worst
        from stepsize.vectorized.launching import run_apart, tell_left, train_jobs
        from stepsize.vectorized.templates import Templates

        assert self.config is not None
        assert self.hydra_context is not None
        setup_globals()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        templates = Templates(self.config, self.hydra_context.config_loader)
        jobs = [
            templates.complete(words, initial_job_idx + index)
            for index, words in enumerate(job_overrides)
        ]
        processes = self.processes or os.cpu_count() or 1
        objectives, left, untouched = train_jobs(jobs, processes)
        tell_left(left)
        ordinary = super().launch
        run_apart(
            lambda index: ordinary([jobs[index].words], initial_job_idx + index),
            sorted(left),
            processes if untouched else 1,
        )
        returns = []
        for index, job in enumerate(jobs):
            done = JobReturn(overrides=list(job.words), cfg=None, status=JobStatus.COMPLETED)
            result = Earlier.look(job.folder).result
            found = told(result) if result else worst(job.config["mode"])
            done.return_value = objectives.get(index, found)
            returns.append(done)
        return returns
