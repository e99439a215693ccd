"""Runs the grid of a sweep: expand, skip, launch what is left to do, then the final stage."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.utils import JobReturn
from omegaconf import DictConfig

from stepsize.run.folder import EarlierAttempt
from stepsize.sweeps.compatibility import incompatibility
from stepsize.sweeps.jobs import Composer, Job, combinations
from stepsize.sweeps.plan import Plan
from stepsize.sweeps.stages import FinalStage

Launch = Callable[..., Sequence[JobReturn]]


def run_grid(
    overrides: Sequence[str],
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
    """Run every combination of the overrides' values that is not completed or diverged yet.

    Args:
        overrides: those with several values are swept.
        config: the sweep's own configuration, with Hydra's part.
        loader: composes the jobs' configurations.
        launch: ``Launcher.launch``; takes lists of overrides and the first job's number.
        folder: the sweep's.
        max_batch_size: jobs per launch; None for all, or for one with ``fail_fast``.
        skip_incompatible: whether to skip optimizers that cannot train the task's model.
        final_stage: see :class:`FinalStage`; None for a sweep of one stage.
        baseline: what the report compares with.

    Returns:
        What the launcher returns, for each batch.

    Raises:
        ValueError: a run of the same name has another configuration, and ``overwrite`` is false.
        hydra.errors.HydraException: an override cannot be swept or does not exist.
    """
    final = FinalStage.parse(final_stage, loader)
    composer = Composer(config, loader)
    plan = Plan.open(folder, config.hydra.runtime.choices.get("sweep"), baseline)
    stage = "tune" if final else "compare"
    jobs = [composer.job(each, stage) for each in combinations(overrides, loader)]
    if final:
        final.check(jobs)
    jobs = list({job.run: job for job in jobs}.values())
    if skip_incompatible:
        jobs = _compatible(jobs, composer, plan)
    batches = _Batches(launch, composer, plan, config, max_batch_size)
    batches.run(jobs)
    if final and not batches.stopped:
        batches.run([composer.job(each, "test") for each in final.select(jobs, plan)])
    return batches.returns


def _compatible(jobs: Sequence[Job], composer: Composer, plan: Plan) -> list[Job]:
    """The jobs whose optimizer can train the task's model; the plan records the others."""
    reasons: dict[tuple[str, ...], str | None] = {}
    kept = []
    for job in jobs:
        choices = (
            f"task={job.task}",
            f"optimizer={job.optimizer}",
            f"param_groups={job.param_groups}",
        )
        if choices not in reasons:
            reasons[choices] = incompatibility(composer.composed(job.overrides))
        reason = reasons[choices]
        if reason is None:
            kept.append(job)
        else:
            plan.skip(choices, reason)
    return kept


@dataclass
class _Batches:
    """Launches jobs in batches.

    Attributes:
        returns: what the launcher has returned for each batch.
        stopped: whether a run failed in a sweep with ``fail_fast``.
    """

    launch: Launch
    composer: Composer
    plan: Plan
    config: DictConfig
    size: int | None
    returns: list[Sequence[JobReturn]] = field(default_factory=list)
    stopped: bool = False

    def run(self, jobs: Sequence[Job]) -> None:
        """Plan all jobs and launch those that are not done."""
        left = [job for job in jobs if not self._is_done(job)]
        self.plan.add(jobs)
        size = self.size or (1 if self.config.fail_fast else max(1, len(left)))
        for start in range(0, len(left), size):
            batch = left[start : start + size]
            launched = sum(map(len, self.returns))
            overrides = [job.overrides for job in batch]
            self.returns.append(self.launch(overrides, initial_job_idx=launched))
            if self.config.fail_fast and any(map(self._failed, batch)):
                self.stopped = True
                return

    def _is_done(self, job: Job) -> bool:
        earlier = self._earlier(job)
        if not earlier.begun:
            return False
        config = self.composer.config(job.overrides)
        return earlier.checked(config, overwrite=bool(self.config.overwrite)).is_done

    def _failed(self, job: Job) -> bool:
        return self._earlier(job).result.get("status") == "failed"

    def _earlier(self, job: Job) -> EarlierAttempt:
        return EarlierAttempt.read(self.plan.folder / job.run)
