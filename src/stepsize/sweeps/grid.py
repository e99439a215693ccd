"""A sweep from its words to its last run: expand, name, skip what is done, launch."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.utils import JobReturn
from omegaconf import DictConfig

from stepsize.run.folder import Earlier
from stepsize.sweeps.compatibility import unfit
from stepsize.sweeps.jobs import Composer, Job, combinations
from stepsize.sweeps.plan import Plan
from stepsize.sweeps.stages import FinalStage

log = logging.getLogger(__name__)

_FITTING = ("task", "optimizer", "param_groups")  # what decides whether there is an optimizer

Launch = Callable[..., Sequence[JobReturn]]


def run_grid(
    words: Sequence[str],
    config: DictConfig,
    loader: ConfigLoader,
    launch: Launch,
    folder: Path,
    *,
    max_batch_size: int | None = None,
    skip_incompatible: bool = False,
    final_stage: Mapping[str, Any] | None = None,
    baseline: str | None = None,
) -> list[Sequence[JobReturn]]:
    """Run every combination of ``words`` that is not done yet.

    Args:
        words: overrides, of which those with several values are swept.
        config: the sweep's own configuration, with Hydra's part.
        loader: composes the jobs' configurations.
        launch: ``Launcher.launch``: takes lists of words and the first job's number.
        folder: the sweep's.
        max_batch_size: jobs per launch; None for all, or one with ``fail_fast``.
        skip_incompatible: leave out what the task cannot take.
        final_stage: the second stage, see :class:`FinalStage`.
        baseline: for the report.

    Returns:
        What the launcher returns, a batch each.

    Raises:
        ValueError: a run of this name has another configuration, and ``overwrite`` is false.
        hydra.errors.HydraException: words that cannot be swept or do not fit the configuration.
    """
    second = FinalStage.parse(final_stage, loader)
    composer = Composer(config, loader)
    plan = Plan.open(folder, config.hydra.runtime.choices.get("sweep"), baseline)
    stage = "tune" if second else "compare"
    jobs = [composer.job(words, stage) for words in combinations(words, loader)]
    if second:
        second.check(jobs)
    jobs = list({job.run: job for job in jobs}.values())
    if skip_incompatible:
        jobs = _fitting(jobs, composer, plan)
    launcher = _Launcher(launch, composer, plan, config, max_batch_size)
    launcher.run(jobs)
    if second and not launcher.stopped:
        launcher.run([composer.job(words, "test") for words in second.choose(jobs, plan)])
    return launcher.returns


class _Launcher:
    """Gives the launcher what is left to do, in batches, and counts the jobs."""

    def __init__(
        self,
        launch: Launch,
        composer: Composer,
        plan: Plan,
        config: DictConfig,
        max_batch_size: int | None,
    ) -> None:
        self.returns: list[Sequence[JobReturn]] = []
        self.stopped = False
        self._launch = launch
        self._composer = composer
        self._plan = plan
        self._fail_fast = bool(config.fail_fast)
        self._overwrite = bool(config.overwrite)
        self._size = max_batch_size or (1 if self._fail_fast else None)
        self._count = 0

    def run(self, jobs: Sequence[Job]) -> None:
        left = [job for job in jobs if not self._is_done(job)]
        self._plan.add(jobs)
        size = self._size or max(1, len(left))
        for start in range(0, len(left), size):
            batch = left[start : start + size]
            self.returns.append(
                self._launch([job.overrides for job in batch], initial_job_idx=self._count)
            )
            self._count += len(batch)
            if self._fail_fast and any(self._failed(job) for job in batch):
                self.stopped = True
                return

    def _is_done(self, job: Job) -> bool:
        earlier = Earlier.look(self._plan.folder / job.run)
        if not earlier.begun:
            return False
        config = self._composer.config(job.overrides)
        return earlier.agreed(config, overwrite=self._overwrite).is_done

    def _failed(self, job: Job) -> bool:
        return Earlier.look(self._plan.folder / job.run).result.get("status") == "failed"


def _fitting(jobs: Sequence[Job], composer: Composer, plan: Plan) -> list[Job]:
    """Without the jobs whose optimizer cannot train the task's model."""
    reasons: dict[tuple[Any, ...], str | None] = {}
    kept = []
    for job in jobs:
        kind = tuple(getattr(job, group) for group in _FITTING)
        if kind not in reasons:
            reasons[kind] = unfit(composer.composed(job.overrides))
        reason = reasons[kind]
        if reason is None:
            kept.append(job)
        else:
            plan.leave_out([f"{group}={getattr(job, group)}" for group in _FITTING], reason)
    return kept
