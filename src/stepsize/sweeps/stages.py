"""The final stage of a sweep: the best setting of each value of a key, on fresh seeds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.config_loader import ConfigLoader

from stepsize.run.folder import EarlierAttempt
from stepsize.sweeps.jobs import Job, canonical, combinations
from stepsize.sweeps.plan import Plan


@dataclass(frozen=True)
class FinalStage:
    """Selects hyperparameter settings on the seeds of the grid and tests them on fresh seeds.

    The best of many settings looks better than it is on the seeds that selected it, because it was
    also the luckiest. On fresh seeds this bias is gone.

    Attributes:
        select_best_per: the key, such as ``optimizer``: one setting is selected for each value.
        seeds: the fresh seeds as in overrides: ``("100", "101")``.
    """

    select_best_per: str
    seeds: tuple[str, ...]

    @classmethod
    def parse(
        cls, final_stage: Mapping[str, Any] | None, loader: ConfigLoader
    ) -> FinalStage | None:
        """Read ``hydra.sweeper.final_stage``.

        Raises:
            ValueError: a key is missing or unknown.
        """
        if final_stage is None:
            return None
        if set(final_stage) != {"select_best_per", "seeds"}:
            raise ValueError(
                f"hydra.sweeper.final_stage={dict(final_stage)}: give null, or "
                "select_best_per and seeds, such as {select_best_per: optimizer, seeds: [100, 101]}"
            )
        seeds = final_stage["seeds"]
        # A list on the command line, because Hydra allows no sweep syntax in its own keys there.
        values = seeds if isinstance(seeds, str) else ",".join(map(str, seeds))
        expanded = combinations([f"seed={values}"], loader)
        return cls(
            str(final_stage["select_best_per"]), tuple(canonical(seed)[1] for (seed,) in expanded)
        )

    def check(self, jobs: Sequence[Job]) -> None:
        """Refuse a final stage that the first stage's jobs do not allow.

        Raises:
            ValueError: a seed is in both stages, or the sweep does not set ``select_best_per``.
        """
        shared = sorted({str(job.seed) for job in jobs} & set(self.seeds), key=len)
        if shared:
            raise ValueError(
                f"hydra.sweeper.final_stage.seeds: {', '.join(shared)} also selected the "
                "settings; give seeds that the first stage does not use"
            )
        if not all(job.value(self.select_best_per) for job in jobs):
            raise ValueError(
                f"hydra.sweeper.final_stage.select_best_per={self.select_best_per}: the "
                "sweep does not set it; give a key that it sweeps, such as optimizer"
            )

    def select(self, jobs: Sequence[Job], plan: Plan) -> list[list[str]]:
        """The overrides of the final stage's runs.

        For each task and each value of ``select_best_per``, the setting with the best median
        objective is selected; a run that did not complete counts as infinitely bad. Where the
        median run of every setting did not complete, none is selected, and the plan records why.

        Args:
            jobs: those of the first stage, after their runs.
            plan: the sweep's.
        """
        losses: dict[tuple[str, str], dict[tuple[str, ...], list[float]]] = {}
        for job in jobs:
            settings = losses.setdefault((job.task, job.value(self.select_best_per) or ""), {})
            settings.setdefault(job.setting(), []).append(_loss(job, plan))
        selected = []
        for (task, value), settings in losses.items():
            medians = {setting: statistics.median(each) for setting, each in settings.items()}
            best = min(medians, key=lambda setting: medians[setting])
            if math.isfinite(medians[best]):
                selected += [[*best, f"seed={seed}"] for seed in self.seeds]
            else:
                plan.skip(
                    [f"task={task}", f"{self.select_best_per}={value}"],
                    "no setting was selected: most runs of every setting diverged or failed",
                )
        return selected


def _loss(job: Job, plan: Plan) -> float:
    """The run's objective where smaller is better; infinite where it did not complete."""
    result = EarlierAttempt.read(plan.folder / job.run).result
    objective = result.get("objective")
    if result.get("status") != "completed" or objective is None:
        return math.inf
    return -objective if result.get("mode") == "max" else objective
