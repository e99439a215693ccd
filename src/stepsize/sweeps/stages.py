"""Two stages: settings are chosen on some seeds, and compared on others."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.config_loader import ConfigLoader

from stepsize.run.folder import Earlier
from stepsize.sweeps.jobs import Job, canonical, combinations
from stepsize.sweeps.plan import Plan

_KEYS = ("select_best_per", "seeds")


@dataclass(frozen=True)
class FinalStage:
    """The best setting of each, on fresh seeds.

    The best of many settings on the seeds that chose it looks better than it is: the luckiest was
    taken. Fresh seeds do not know which was lucky.

    Attributes:
        select_best_per: of each value of this key the best setting, such as ``optimizer``.
        seeds: the fresh ones, as words: ``("100", "101")``.
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
        if set(final_stage) != set(_KEYS):
            raise ValueError(
                f"hydra.sweeper.final_stage={dict(final_stage)}: give null, or "
                "select_best_per and seeds, such as {select_best_per: optimizer, seeds: [100, 101]}"
            )
        seeds = final_stage[
            "seeds"
        ]  # on the command line a list: Hydra sweeps no values of its own
        values = seeds if isinstance(seeds, str) else ",".join(map(str, seeds))
        words = combinations([f"seed={values}"], loader)
        return cls(
            str(final_stage["select_best_per"]), tuple(canonical(word)[1] for (word,) in words)
        )

    def check(self, jobs: Sequence[Job]) -> None:
        """Refuse to compare on the seeds that chose.

        Raises:
            ValueError: a seed is in both stages, or nothing says what to choose among.
        """
        shared = sorted({str(job.seed) for job in jobs} & set(self.seeds), key=len)
        if shared:
            raise ValueError(
                f"hydra.sweeper.final_stage.seeds: {', '.join(shared)} also chose the "
                "settings; give seeds that the first stage does not use"
            )
        if not all(self._value(job) for job in jobs):
            raise ValueError(
                f"hydra.sweeper.final_stage.select_best_per={self.select_best_per}: the "
                "sweep does not set it; give a key that it sweeps, such as optimizer"
            )

    def choose(self, jobs: Sequence[Job], plan: Plan) -> list[list[str]]:
        """The words of the second stage's runs.

        Of each value of ``select_best_per`` and each task, the setting with the best median of the
        objective; a run that did not complete is worse than any. Where the median run of every
        setting diverged or failed, there is nothing to choose, and the plan says so.

        Args:
            jobs: of the first stage, run.
            plan: the sweep's.
        """
        rivals: dict[tuple[str, str], dict[tuple[str, ...], list[float]]] = {}
        for job in jobs:
            settings = rivals.setdefault((job.task, self._value(job) or ""), {})
            settings.setdefault(job.setting(), []).append(_loss(job, plan))
        chosen = []
        for (task, value), settings in rivals.items():
            best = min(settings, key=lambda setting: statistics.median(settings[setting]))
            if math.isfinite(statistics.median(settings[best])):
                chosen += [[*best, f"seed={seed}"] for seed in self.seeds]
            else:
                plan.leave_out(
                    [f"task={task}", f"{self.select_best_per}={value}"],
                    "most runs of every setting diverged or failed, so that none was chosen",
                )
        return chosen

    def _value(self, job: Job) -> str | None:
        return dict(map(canonical, job.overrides)).get(self.select_best_per)


def _loss(job: Job, plan: Plan) -> float:
    result = Earlier.look(plan.folder / job.run).result
    objective = result.get("objective")
    if result.get("status") != "completed" or objective is None:
        return math.inf
    return -objective if result.get("mode") == "max" else objective
