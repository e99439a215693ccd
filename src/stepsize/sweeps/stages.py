"""The final stage of a sweep: the best setting of each value of a key, on fresh seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.config_loader import ConfigLoader

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

        For each task and each value of ``select_best_per``, the setting is selected that the report
        ranks first among the runs of the first stage: those of ``jobs``, and those that earlier
        commands have added to the same folder. Where the median run of every setting did not
        complete, none is selected, and the plan records why.

        Args:
            jobs: those of the first stage, after their runs.
            plan: the sweep's; its file lists the jobs.
        """
        from stepsize.report.labels import name_settings
        from stepsize.report.read import read_sweep
        from stepsize.report.task import Entry, compare_tasks

        rows = [run for run in read_sweep(plan.folder).runs if run.stage == "tune"]
        best: dict[tuple[str, str | None], Entry] = {}
        for comparison in compare_tasks(rows, name_settings(rows)):
            for entry in comparison.tuning:
                job = Job.planned(plan.jobs[entry.runs[0].run])
                best.setdefault((job.task, job.value(self.select_best_per)), entry)
        selected = []
        for task, value in dict.fromkeys((j.task, j.value(self.select_best_per)) for j in jobs):
            entry = best[task, value]
            if math.isfinite(entry.median):
                setting = Job.planned(plan.jobs[entry.runs[0].run]).setting()
                selected += [[*setting, f"seed={seed}"] for seed in self.seeds]
            else:
                plan.skip(
                    [f"task={task}", f"{self.select_best_per}={value}"],
                    "no setting was selected: most runs of every setting diverged or failed",
                )
        return selected
