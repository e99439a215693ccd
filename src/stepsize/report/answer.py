"""The answer of sweeps: what is judged, each setting, the comparisons, and the conclusion.

One object, which the page, ``report.md``, the terminal and TensorBoard render and
:mod:`stepsize.report.answer_file` writes as ``answer.json``.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from stepsize.report.conclusion import Conclusion, conclude
from stepsize.report.differences import Difference, adjusted_p, differences
from stepsize.report.labels import Setting, name_settings
from stepsize.report.read import RunRow, Sweep
from stepsize.report.task import (
    Entry,
    Measure,
    TaskComparison,
    check_baseline,
    choose_baseline,
    compare_tasks,
)
from stepsize.report.wording import count, listed
from stepsize.stats.max_t import EXACT_UP_TO

_MOST_LINES = 3  # of the answer in the terminal


@dataclass(frozen=True)
class TaskAnswer:
    """The answer for one task.

    Attributes:
        comparison: its settings with their runs and estimates.
        baseline: the setting that the others are compared with; None without another one.
        differences: each other method's best setting compared with the baseline.
        against_best: likewise, compared with the best setting.
        conclusion: the answer in sentences.
    """

    comparison: TaskComparison
    baseline: Entry | None
    differences: tuple[Difference, ...]
    against_best: tuple[Difference, ...]
    conclusion: Conclusion

    @property
    def task(self) -> str:
        """Its name."""
        return self.comparison.task

    @property
    def measure(self) -> Measure:
        """The metric that ranks the settings."""
        return self.comparison.measure

    @property
    def ranked_by(self) -> str:
        """What ranks the settings, in one or two sentences."""
        tag, runs = self.measure.tag, self.comparison.runs
        what = f"the gap to the optimum, `{tag}`," if self.measure.is_gap else f"`{tag}`"
        better = "smaller" if self.measure.mode == "min" else "larger"
        known = any(run.optimum is not None for run in runs)
        unknown = "" if known else " The optimum of this task is not known."
        stage = " Only runs on fresh seeds count." if self.comparison.two_stages else ""
        return f"Ranked by {what} at the end of the run; {better} is better.{unknown}{stage}"

    @property
    def pairing(self) -> str:
        """What the settings are compared with, and what their runs have in common at a seed."""
        assert self.baseline is not None
        common = " with equal initial weights and batches"
        return (
            f"Each setting against `{self.baseline.setting.label}`, paired by seed"
            f"{'' if self.comparison.other_starts else common}."
        )

    @property
    def test(self) -> str:
        """The test and the intervals of the comparisons, in a few sentences."""
        shown = (*self.differences, *self.against_best)
        ratios = all(difference.pair.scale == "ratio" for difference in shown)
        mean = "logarithm of the ratio" if ratios else "difference"
        seeds = {seed for entry in self.comparison.known for seed in entry.finals}
        kind = "exact" if len(seeds) <= EXACT_UP_TO else "sampled"
        pairs = math.comb(len(self.comparison.known), 2)
        adjusted = (
            f", adjusted for all {pairs} pairs (step-down max-T, Romano and Wolf 2005)"
            if pairs > 1
            else ""
        )
        diverged = any(difference.pair.lost_to_divergence for difference in shown)
        lost = " A diverged run counts as the largest finite difference." if diverged else ""
        return (
            f"p is that of the {kind} two-sided sign-flip test of the mean {mean}{adjusted}. "
            f"The interval is Student's t, for one comparison.{lost}"
        )


@dataclass(frozen=True)
class SweepAnswer:
    """The answer of one sweep or of several.

    Attributes:
        sweeps: those that were read.
        rows: their runs.
        settings: the hyperparameter setting of each run.
        tasks: the answer for each task, in the order of the runs.
        wanted: the baseline that was asked for; None for the usual one.
    """

    sweeps: tuple[Sweep, ...]
    rows: tuple[RunRow, ...]
    settings: tuple[Setting, ...]
    tasks: tuple[TaskAnswer, ...]
    wanted: str | None

    @property
    def title(self) -> str:
        """The names of the sweeps."""
        return listed([sweep.name for sweep in self.sweeps])

    @cached_property
    def facts(self) -> list[str]:
        """Numbers of runs, settings, seeds and statuses."""
        statuses = Counter(run.status for run in self.rows)
        comparisons = [task.comparison for task in self.tasks]
        settings = {entry.setting for c in comparisons for entry in (*c.entries, *c.tuning)}
        return [
            count(len(self.rows), "run"),
            count(len(settings), "setting"),
            count(len({run.seed for run in self.rows}), "seed"),
            *([count(len(self.tasks), "task")] if len(self.tasks) > 1 else []),
            *(f"{amount:,} {status}" for status, amount in statuses.most_common()),
        ]

    @cached_property
    def short(self) -> list[str]:
        """The answer in three lines at most; Markdown."""
        if len(self.tasks) == 1:
            conclusion = self.tasks[0].conclusion
            parts = (conclusion.headline, conclusion.certainty, conclusion.fastest)
            return [part for part in parts if part]
        lines = [f"{task.task}: {task.conclusion.headline}" for task in self.tasks]
        if len(lines) <= _MOST_LINES:
            return lines
        more = len(lines) - _MOST_LINES + 1
        return [*lines[: _MOST_LINES - 1], f"The report answers for {more} more tasks."]


def answer_sweeps(sweeps: Sequence[Sweep], baseline: str | None = None) -> SweepAnswer:
    """Rank and compare the settings of sweeps, and conclude.

    Args:
        sweeps: at least one.
        baseline: a setting's label, a method, or a value of what varies, with which the others are
            compared. None: the sweeps' own baseline, or a usual one.

    Raises:
        ValueError: an unknown baseline.
    """
    rows = [run for sweep in sweeps for run in sweep.runs]
    settings = name_settings(rows)
    comparisons = compare_tasks(rows, settings)
    check_baseline(comparisons, baseline)
    wanted = baseline or next((sweep.baseline for sweep in sweeps if sweep.baseline), None)
    return SweepAnswer(
        sweeps=tuple(sweeps),
        rows=tuple(rows),
        settings=tuple(settings),
        tasks=tuple(answer_task(comparison, wanted) for comparison in comparisons),
        wanted=wanted,
    )


def answer_task(comparison: TaskComparison, baseline: str | None = None) -> TaskAnswer:
    """Compare the settings of a task with the baseline and with the best one, and conclude."""
    known, adjusted = comparison.known, adjusted_p(comparison)
    chosen = choose_baseline(comparison, baseline)
    against_best = differences(comparison, known[0], adjusted) if known else ()
    return TaskAnswer(
        comparison=comparison,
        baseline=chosen,
        differences=differences(comparison, chosen, adjusted) if chosen else (),
        against_best=against_best,
        conclusion=conclude(comparison, against_best),
    )
