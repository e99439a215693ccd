"""Hyperparameter settings of one task: summarized over seeds, ranked, compared in pairs."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from stepsize.config.schema import larger_is_better
from stepsize.report.curves import worst
from stepsize.report.labels import Setting, shown_number
from stepsize.report.read import RunRow
from stepsize.report.repeats import without_repeats
from stepsize.report.wording import count, listed
from stepsize.stats.intervals import (
    Interval,
    log_mean_interval,
    mean_interval,
    median_quartiles,
    median_steps,
    rounding_floor,
)

LEVEL = 0.05
GAP = "train/gap"
# What decides initial weights, batches, objective and precision, beside the seed.
_OTHER_STARTS = (
    "data", "model", "resume", "ckpt_path", "trainer.precision", "trainer.accumulate_grad_batches",
)  # fmt: skip
_USUAL_BASELINES = ("adam", "no schedule", "no groups", "sgd")


def compare_tasks(rows: Sequence[RunRow], settings: Sequence[Setting]) -> list[TaskComparison]:
    """One comparison per task, in the order of the runs.

    A run that appears twice (in two sweeps, or repeated later) counts once. If two sweeps have
    different configurations under the same label, the labels get the sweep's name.

    Args:
        rows: runs of all sweeps.
        settings: the hyperparameter setting of each run.
    """
    tasks: dict[str, list[tuple[RunRow, Setting]]] = defaultdict(list)
    for row, setting in zip(rows, settings, strict=True):
        tasks[row.task].append((row, setting))
    return [_compare(task, pairs) for task, pairs in tasks.items()]


@dataclass(frozen=True)
class TaskComparison:
    """The hyperparameter settings of one task.

    Attributes:
        task: its name.
        measure: the metric that ranks them.
        entries: settings with the runs that rank them; the best first.
        tuning: settings with the runs that show the effect of the learning rate: all runs, or in a
            sweep of two stages those of the first.
        two_stages: whether other seeds selected the settings than rank them.
        repeats: number of runs that repeat others and do not count.
        unequal_repeats: number of runs that ended at other values than the run that they repeat.
    """

    task: str
    measure: Measure
    entries: tuple[Entry, ...]
    tuning: tuple[Entry, ...]
    two_stages: bool
    repeats: int
    unequal_repeats: int = 0

    @cached_property
    def leaders(self) -> tuple[Entry, ...]:
        """The best setting of each method, best first; all settings if there is one method."""
        found: dict[str, Entry] = {}
        for entry in self.entries:
            found.setdefault(entry.setting.method, entry)
        return self.entries if len(found) == 1 else tuple(found.values())

    @property
    def known(self) -> tuple[Entry, ...]:
        """The leaders with a run that completed or diverged."""
        return tuple(entry for entry in self.leaders if entry.n)

    @cached_property
    def seed_matters(self) -> bool:
        """Whether two seeds of a setting differ in the final value; True if none has two seeds."""
        several = [entry.finals.values() for entry in self.entries if entry.n > 1]
        return not several or any(len(set(values)) > 1 for values in several)

    @property
    def other_starts(self) -> list[str]:
        """The keys that vary and may change initial weights, batches or the objective."""
        keys = {key for entry in self.entries for key, _ in entry.setting.values}
        return sorted(k for k in keys if {k, re.split(r"[./]", k)[0]} & {*_OTHER_STARTS})

    @cached_property
    def target(self) -> tuple[str, float] | None:
        """Metric and value of the target that all runs with a target share; None without one."""
        found = {(run.target.metric, run.target.value) for run in self.runs if run.target}
        return found.pop() if len(found) == 1 else None

    @property
    def runs(self) -> list[RunRow]:
        """All runs of either stage that count."""
        rows = {run.folder: run for entry in (*self.entries, *self.tuning) for run in entry.runs}
        return list(rows.values())


@dataclass(frozen=True)
class Measure:
    """The metric that ranks the settings of a task.

    Attributes:
        tag: the gap to the optimum where the optimum is known, else the monitor.
        mode: whether a smaller ("min") or a larger ("max") value is better.
        log: whether values are compared by their ratios.
        floor: of the gap: smaller values are rounding errors; 0 for any other metric.
        caveat: why this metric ranks the task, where the runs ask for different ones.
    """

    tag: str
    mode: Literal["min", "max"]
    log: bool
    floor: float
    caveat: str | None = None

    @property
    def is_gap(self) -> bool:
        """Whether it is the gap to a known optimum."""
        return self.tag == GAP

    def above_floor(self, values: np.ndarray) -> np.ndarray:
        """Values with rounding errors raised to the floor."""
        return np.maximum(values, self.floor) if self.floor else values

    def of(self, run: RunRow, which: str) -> float | None:
        """The "final" or "best" value of a run.

        It is infinitely bad for a diverged run, and None for a run that is not finished or has not
        logged the metric.
        """
        if run.status == "diverged":
            return worst(self.mode)
        if run.status != "completed" or self.tag not in run.metrics:
            return None
        value = run.metrics[self.tag].get(which)
        return worst(self.mode) if value is None else value


@dataclass(frozen=True)
class Entry:
    """A hyperparameter setting on one task, with its runs.

    Attributes:
        setting: the hyperparameter setting.
        runs: one per seed.
        measure: the metric that ranks the task.
    """

    setting: Setting
    runs: tuple[RunRow, ...]
    measure: Measure

    @cached_property
    def finals(self) -> dict[int, float]:
        """The final value by seed, of finished runs; infinitely bad for a diverged run."""
        values = {run.seed or 0: self.measure.of(run, "final") for run in self.runs}
        return {seed: value for seed, value in values.items() if value is not None}

    @property
    def n(self) -> int:
        """The number of seeds with a final value."""
        return len(self.finals)

    def count(self, *statuses: str) -> int:
        """The number of runs with one of these statuses."""
        return sum(run.status in statuses for run in self.runs)

    @cached_property
    def quartiles(self) -> tuple[float, float, float] | None:
        """Lower quartile, median and upper quartile of the final value."""
        return median_quartiles(self.finals.values()) if self.finals else None

    @property
    def median(self) -> float:
        """The median of the final value; NaN without any."""
        return self.quartiles[1] if self.quartiles else math.nan

    @cached_property
    def mean(self) -> Interval | None:
        """The mean with its 95% interval; None if a run diverged, or there is no value."""
        values = list(self.finals.values())
        if not values or not all(map(math.isfinite, values)):
            return None
        if self.measure.log:
            return log_mean_interval(values, floor=self.measure.floor)
        return mean_interval(values)

    @cached_property
    def best(self) -> float:
        """The median of the best value during a run; NaN without any."""
        return _median(self.measure.of(run, "best") for run in self.runs)

    @cached_property
    def target_steps(self) -> list[float]:
        """Steps to the target of each finished run with a target; inf for a miss."""
        return [run.target_steps for run in self.runs if run.target_steps is not None]

    @property
    def hits(self) -> int:
        """The number of runs that met the target."""
        return sum(map(math.isfinite, self.target_steps))

    @property
    def median_target_steps(self) -> float | None:
        """The median of the steps to the target; None without a target."""
        return median_steps(self.target_steps) if self.target_steps else None

    @property
    def seconds(self) -> float:
        """The median duration of the finished runs; NaN without any."""
        return _median(run.seconds for run in self.runs if run.finished)

    @property
    def steps(self) -> int:
        """The number of steps of the longest run."""
        return max((run.steps for run in self.runs), default=0)

    @property
    def order(self) -> tuple[float, ...]:
        """A key for sorting: the best first, settings without a value last.

        By the median; ties by the quartile on the bad side, then by the worst seed, then by the
        smaller learning rate. Gaps below the rounding error are equal. The report and the final
        stage of a sweep rank by this key alone.
        """
        if not self.finals:
            return (1.0,)
        sign = 1.0 if self.measure.mode == "min" else -1.0
        losses = sign * self.measure.above_floor(np.array(list(self.finals.values())))
        _, median, upper = median_quartiles(losses)
        lr = min((run.lr for run in self.runs if run.lr is not None), default=0.0)
        return (0.0, median, upper, float(losses.max()), lr)

    def ties(self, other: Entry) -> bool:
        """Whether the values rank this setting neither above nor below another one."""
        return self.order[:4] == other.order[:4]

    @cached_property
    def at_rounding(self) -> int:
        """The number of seeds whose final gap is a rounding error; 0 for another metric."""
        return sum(
            value <= self.measure.floor for value in self.finals.values() if self.measure.floor
        )

    @property
    def missed_at_end(self) -> int:
        """The number of finished runs that have a target and do not end at or beyond it."""
        return sum(run.ends_at_target is False for run in self.runs)

    @property
    def worst(self) -> float:
        """The final value of the worst seed; NaN without any."""
        values = self.finals.values()
        return (max if self.measure.mode == "min" else min)(values, default=math.nan)


def _median(values: Iterable[float | None]) -> float:
    known = [value for value in values if value is not None]
    return median_quartiles(known)[1] if known else math.nan


def _compare(task: str, pairs: Sequence[tuple[RunRow, Setting]]) -> TaskComparison:
    kept, unequal = without_repeats(pairs)
    measure = _measure([run for run, _ in kept])
    return TaskComparison(
        task=task,
        measure=measure,
        entries=_entries([pair for pair in kept if pair[0].stage != "tune"], measure),
        tuning=_entries([pair for pair in kept if pair[0].stage != "test"], measure),
        two_stages=any(run.stage == "test" for run, _ in kept),
        repeats=len(pairs) - len(kept),
        unequal_repeats=unequal,
    )


def _entries(pairs: Iterable[tuple[RunRow, Setting]], measure: Measure) -> tuple[Entry, ...]:
    by_setting: dict[Setting, list[RunRow]] = defaultdict(list)
    for run, setting in pairs:
        by_setting[setting].append(run)
    entries = [Entry(setting, tuple(runs), measure) for setting, runs in by_setting.items()]
    return tuple(sorted(entries, key=lambda entry: entry.order))


def _measure(runs: Sequence[RunRow]) -> Measure:
    """The metric that ranks a task: one that every completed run has."""
    completed = [run for run in runs if run.status == "completed"] or [
        r for r in runs if r.finished
    ]
    optima = [run.optimum for run in completed if GAP in run.metrics and run.optimum is not None]
    if optima and len(optima) == len(completed):
        return Measure(GAP, "min", True, max(map(rounding_floor, optima)))
    monitors = Counter((run.monitor, run.mode) for run in completed or runs)
    asked = [monitor for monitor, _ in monitors.most_common()]
    tags = dict.fromkeys(tag for run in completed for tag in run.metrics)
    others = [(tag, "max" if larger_is_better(tag, "", "") else "min") for tag in tags]
    common = [
        pair for pair in (*asked, *others) if all(pair[0] in run.metrics for run in completed)
    ]
    tag, mode = (common or asked)[0]
    values = [run.metrics.get(tag, {}).get("final") for run in runs if run.finished]
    positive = all(value > 0 for value in values if value is not None)
    caveat = None
    if optima:
        caveat = (
            f"The optimum is known for {len(optima)} of {count(len(completed), 'completed run')} "
            f"only, so that all are ranked by `{tag}`."
        )
    elif common and len(monitors) > 1:
        names = [f"`{name}`" for name in dict.fromkeys(name for name, _ in asked)]
        caveat = f"The runs have different monitors ({listed(names)}), so that `{tag}` ranks them."
    return Measure(tag, "max" if mode == "max" else "min", mode == "min" and positive, 0.0, caveat)


def check_baseline(comparisons: Sequence[TaskComparison], wanted: str | None) -> None:
    """Refuse a baseline that no task has.

    Raises:
        ValueError: lists the allowed values.
    """
    if wanted is None or any(_named(comparison, wanted) for comparison in comparisons):
        return
    leaders = [entry.setting for comparison in comparisons for entry in comparison.leaders]
    methods = {setting.method for setting in leaders}
    names = sorted(methods if len(methods) > 1 else {setting.label for setting in leaders})
    raise ValueError(f"baseline={wanted} is none of the settings; choose from {', '.join(names)}")


def choose_baseline(comparison: TaskComparison, wanted: str | None) -> Entry | None:
    """The baseline of a task.

    Args:
        comparison: the task.
        wanted: a setting's label, a method, or one value of what varies (``cosine``). By default
            Adam, or no schedule, or no parameter groups; else the first planned setting.

    Returns:
        The setting, or the method's best one; None if the task has no such runs, or one setting.
    """
    known = comparison.known
    if len(known) < 2:
        return None
    if wanted is not None:
        return _named(comparison, wanted)
    usual = [_named(comparison, name) for name in _USUAL_BASELINES]
    planned = [entry for entry in known if comparison.runs[0] in entry.runs]
    return next(entry for entry in (*usual, *planned, *known) if entry is not None)


def _named(comparison: TaskComparison, wanted: str) -> Entry | None:
    known = [entry for entry in comparison.entries if entry.n]
    tests = (
        lambda setting: setting.label == wanted,
        lambda setting: setting.method == wanted,
        lambda setting: wanted in dict(setting.values).values(),
    )
    return next((entry for test in tests for entry in known if test(entry.setting)), None)


@dataclass(frozen=True)
class LrCurve:
    """The final value of a method by learning rate.

    Attributes:
        method: its name.
        points: the best setting at each learning rate, by rising learning rate.
        others: whether other hyperparameters varied too.
    """

    method: str
    points: tuple[tuple[float, Entry], ...]
    others: bool

    @property
    def best(self) -> int:
        """The index of the best learning rate among the points."""
        return min(range(len(self.points)), key=lambda index: self.points[index][1].order)

    @property
    def is_known(self) -> bool:
        """Whether any learning rate has a finite median."""
        return math.isfinite(self.points[self.best][1].median)

    @property
    def on_edge(self) -> bool:
        """Whether the best learning rate is the lowest or the highest of the grid."""
        return self.is_known and self.best in (0, len(self.points) - 1)


def lr_curves(entries: Iterable[Entry]) -> list[LrCurve]:
    """A curve for each method with two learning rates or more; the best method first."""
    by_method: dict[str, dict[float, list[Entry]]] = defaultdict(lambda: defaultdict(list))
    for entry in sorted(entries, key=lambda entry: entry.order):
        lr = entry.runs[0].lr
        if lr is not None:
            by_method[entry.setting.method][lr].append(entry)
    return [
        LrCurve(
            method,
            tuple((lr, by_lr[lr][0]) for lr in sorted(by_lr)),
            any(len(several) > 1 for several in by_lr.values()),
        )
        for method, by_lr in by_method.items()
        if len(by_lr) > 1
    ]


def edge_sentence(curves: Iterable[LrCurve]) -> str | None:
    """A warning about best learning rates on the edge of their grid; None without any."""
    found = []
    for curve in curves:
        if curve.on_edge:
            end = "lowest" if curve.best == 0 else "highest"
            lr = shown_number(str(curve.points[curve.best][0]))
            found.append(f"`{curve.method}` ({lr}, the {end} of {len(curve.points)})")
    if not found:
        return None
    return (
        "The best learning rate is on the edge of the grid, so a better one may lie outside: "
        f"{listed(found, maximum=20)}."
    )
