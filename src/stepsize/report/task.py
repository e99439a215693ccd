"""The hyperparameter settings of one task: ranked, compared, and by learning rate."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from stepsize.report.curves import worst
from stepsize.report.labels import Setting, shown_number
from stepsize.report.read import RunRow
from stepsize.report.wording import listed
from stepsize.stats.intervals import (
    Interval,
    log_mean_interval,
    mean_interval,
    median_quartiles,
    median_steps,
    rounding_floor,
)
from stepsize.stats.paired import Paired, holm, paired

GAP = "train/gap"
LEVEL = 0.05
_DEFAULT_BASELINES = ("adam", "no schedule", "no groups", "sgd")


@dataclass(frozen=True)
class Measure:
    """The metric that ranks the settings of a task.

    Attributes:
        tag: the gap to the optimum where that is known, else the monitor.
        mode: whether a smaller ("min") or a larger ("max") value is better.
        log: whether values are compared by their ratios, so on a log scale.
        floor: the gap below which values are rounding errors; 0 for any other metric.
    """

    tag: str
    mode: Literal["min", "max"]
    log: bool
    floor: float

    @property
    def is_gap(self) -> bool:
        """Whether it is the gap to a known optimum."""
        return self.tag == GAP

    def final(self, run: RunRow) -> float | None:
        """The final value of a run: infinite if it diverged, None if it did not finish."""
        return self._value(run, "final")

    def best(self, run: RunRow) -> float | None:
        """The best value of a run: infinite if it diverged, None if it did not finish."""
        return self._value(run, "best")

    def _value(self, run: RunRow, which: str) -> float | None:
        if not run.finished or (run.metrics and self.tag not in run.metrics):
            return None
        value = run.metric(self.tag, which)
        if run.status == "diverged" or value is None:
            return worst(self.mode)
        return value


@dataclass(frozen=True)
class Entry:
    """A hyperparameter setting on one task, with its runs.

    Attributes:
        setting: its name and values.
        runs: one per seed.
        measure: the metric that ranks it.
    """

    setting: Setting
    runs: tuple[RunRow, ...]
    measure: Measure

    @cached_property
    def finals(self) -> dict[int, float]:
        """The final value of each finished run by seed; infinite where the run diverged."""
        values = {run.seed or 0: self.measure.final(run) for run in self.runs}
        return {seed: value for seed, value in values.items() if value is not None}

    @property
    def n(self) -> int:
        """The number of seeds whose run completed or diverged."""
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
        """The median of the final value; NaN without a finished run."""
        return self.quartiles[1] if self.quartiles else math.nan

    @cached_property
    def mean(self) -> Interval | None:
        """The mean final value with its 95% interval; None if a run diverged or none finished."""
        values = list(self.finals.values())
        if not values or not all(map(math.isfinite, values)):
            return None
        if self.measure.log:
            return log_mean_interval(values, floor=self.measure.floor)
        return mean_interval(values)

    @cached_property
    def best(self) -> float:
        """The median over seeds of the best value; NaN without a finished run."""
        values = [self.measure.best(run) for run in self.runs]
        known = [value for value in values if value is not None]
        return median_quartiles(known)[1] if known else math.nan

    @cached_property
    def target_steps(self) -> list[float]:
        """Steps to the target of each finished run with a target; inf for a miss."""
        return [run.target_steps for run in self.runs if run.target_steps is not None]

    @property
    def hits(self) -> int:
        """The number of runs that reached the target."""
        return sum(map(math.isfinite, self.target_steps))

    @property
    def median_target_steps(self) -> float | None:
        """The median number of steps to the target; None without a target."""
        return median_steps(self.target_steps) if self.target_steps else None

    @property
    def seconds(self) -> float | None:
        """The median duration of the finished runs, in seconds; None without any."""
        known = [run.seconds for run in self.runs if run.finished and run.seconds is not None]
        return median_quartiles(known)[1] if known else None

    @property
    def steps(self) -> int:
        """The number of steps of the longest run."""
        return max((run.steps for run in self.runs), default=0)

    @property
    def order(self) -> tuple[float, ...]:
        """The sort key: the best setting first, those without a finished run last."""
        if not self.quartiles:
            return (1.0, 0.0, 0.0, 0.0)
        sign = 1.0 if self.measure.mode == "min" else -1.0
        mean = self.mean.center if self.mean else worst("min") * sign
        low, median, high = self.quartiles
        outer = high if self.measure.mode == "min" else low
        return (0.0, sign * median, sign * outer, sign * mean)


@dataclass(frozen=True)
class TaskComparison:
    """The comparison of all hyperparameter settings on one task.

    Attributes:
        task: its name.
        measure: the metric that ranks the settings.
        entries: the settings with their runs, without those of the tuning stage; the best first.
        tuning: the settings with their runs, without those of the test stage; the best first.
        two_stages: whether settings were chosen on tuning seeds and are compared on test seeds.
        repeats: how many runs were skipped because they repeat others.
    """

    task: str
    measure: Measure
    entries: tuple[Entry, ...]
    tuning: tuple[Entry, ...]
    two_stages: bool
    repeats: int

    @cached_property
    def leaders(self) -> tuple[Entry, ...]:
        """The best setting of each method, best first; all settings where there is one method."""
        methods = {entry.setting.method for entry in self.entries}
        if len(methods) == 1:
            return self.entries
        found: dict[str, Entry] = {}
        for entry in self.entries:
            found.setdefault(entry.setting.method, entry)
        return tuple(found.values())

    @property
    def known(self) -> tuple[Entry, ...]:
        """The leaders with at least one completed or diverged run."""
        return tuple(entry for entry in self.leaders if entry.n)

    @cached_property
    def seed_matters(self) -> bool:
        """Whether seeds of a setting differ in their final value; True if no setting has two."""
        several = [entry.finals.values() for entry in self.entries if entry.n > 1]
        return not several or any(len(set(values)) > 1 for values in several)

    @property
    def runs(self) -> list[RunRow]:
        """All runs that count, of both stages."""
        rows = {run.folder: run for entry in (*self.entries, *self.tuning) for run in entry.runs}
        return list(rows.values())

    def against(self, baseline: Entry) -> dict[str, tuple[Paired, float | None]]:
        """Each other leader paired with ``baseline`` by seed, and its p adjusted by Holm.

        The seed of a run that failed or was interrupted is not paired.
        """
        others = [entry for entry in self.known if entry is not baseline]
        pairs = {
            entry.setting.label: paired(
                entry.finals, baseline.finals, mode=self.measure.mode, floor=self.measure.floor
            )
            for entry in others
        }
        adjusted = holm({label: pair.p for label, pair in pairs.items() if pair.p is not None})
        return {label: (pair, adjusted.get(label)) for label, pair in pairs.items()}

    def claims(self, pair: Paired, adjusted: float | None) -> bool:
        """Whether a difference is significant at 5% after Holm's correction."""
        differs = pair.verdict in ("better", "worse")
        return self.seed_matters and differs and adjusted is not None and adjusted <= LEVEL


def compare_tasks(rows: Sequence[RunRow], settings: Sequence[Setting]) -> list[TaskComparison]:
    """One comparison for each task, in the order of the runs.

    A run that occurs twice (the same run in two sweeps, or one that was repeated) counts once. If
    two sweeps have different configurations under the same setting, each keeps its own setting.

    Args:
        rows: runs of all sweeps.
        settings: of each run, in the same order.
    """
    tasks: dict[str, list[tuple[RunRow, Setting]]] = defaultdict(list)
    for row, setting in zip(rows, settings, strict=True):
        tasks[row.task].append((row, setting))
    return [_compare(task, pairs) for task, pairs in tasks.items()]


def _compare(task: str, pairs: Sequence[tuple[RunRow, Setting]]) -> TaskComparison:
    kept = _counted(pairs)
    measure = _measure([run for run, _ in kept])
    two_stages = any(run.stage == "test" for run, _ in kept)
    return TaskComparison(
        task=task,
        measure=measure,
        entries=_entries([pair for pair in kept if pair[0].stage != "tune"], measure),
        tuning=_entries([pair for pair in kept if pair[0].stage != "test"], measure),
        two_stages=two_stages,
        repeats=len(pairs) - len(kept),
    )


def _entries(pairs: Iterable[tuple[RunRow, Setting]], measure: Measure) -> tuple[Entry, ...]:
    by_setting: dict[Setting, list[RunRow]] = defaultdict(list)
    for run, setting in pairs:
        by_setting[setting].append(run)
    entries = [Entry(setting, tuple(runs), measure) for setting, runs in by_setting.items()]
    return tuple(sorted(entries, key=lambda entry: entry.order))


def _measure(runs: Sequence[RunRow]) -> Measure:
    finished = [run for run in runs if run.finished]
    with_gap = [run for run in finished if run.optimum is not None and GAP in run.metrics]
    if with_gap:
        return Measure(
            GAP, "min", True, max(rounding_floor(run.optimum or 0.0) for run in with_gap)
        )
    monitors = Counter((run.monitor, run.mode) for run in finished or runs)
    (tag, mode), _ = monitors.most_common(1)[0]
    values = [run.metric(tag) for run in finished]
    positive = all(value > 0 for value in values if value is not None)
    return Measure(tag, "max" if mode == "max" else "min", mode == "min" and positive, 0.0)


def _counted(pairs: Sequence[tuple[RunRow, Setting]]) -> list[tuple[RunRow, Setting]]:
    """One run for each setting, seed and stage."""
    places: dict[tuple[Setting, int | None, str], list[tuple[RunRow, Setting]]] = defaultdict(list)
    for run, setting in pairs:
        places[setting, run.seed, run.stage].append((run, setting))
    ambiguous = {
        setting
        for (setting, _, _), here in places.items()
        if len({run.config_hash for run, _ in here if run.finished}) > 1
        and len({run.sweep for run, _ in here}) > 1
    }
    kept: dict[tuple[Setting, int | None, str], tuple[RunRow, Setting]] = {}
    for run, setting in pairs:
        name = setting.marked(f"({run.sweep})") if setting in ambiguous else setting
        place = (name, run.seed, run.stage)
        # A later run replaces an earlier one, unless only the earlier one finished.
        if place not in kept or run.finished or not kept[place][0].finished:
            kept[place] = (run, name)
    return list(kept.values())


def check_baseline(comparisons: Sequence[TaskComparison], wanted: str | None) -> None:
    """Refuse a baseline that no task has.

    Raises:
        ValueError: no task has it; the message lists the allowed names.
    """
    if wanted is None or any(_named(comparison, wanted) for comparison in comparisons):
        return
    methods = {entry.setting.method for c in comparisons for entry in c.leaders}
    labels = {entry.setting.label for c in comparisons for entry in c.leaders}
    names = sorted(methods if len(methods) > 1 else labels)
    raise ValueError(f"baseline={wanted} is none of the settings; choose from {', '.join(names)}")


def choose_baseline(comparison: TaskComparison, wanted: str | None) -> Entry | None:
    """The baseline of a task's paired differences.

    Args:
        comparison: of the task.
        wanted: the label of a setting, a method, or one value of a key that varies (``cosine``).
            None for the first of: Adam, no schedule, no groups, SGD, the first planned setting.

    Returns:
        The setting, or the best one of the method or value; None where the task has none, or fewer
        than two settings with results.
    """
    known = comparison.known
    if len(known) < 2:
        return None
    if wanted is not None:
        return _named(comparison, wanted)
    found = (_named(comparison, usual) for usual in _DEFAULT_BASELINES)
    first = comparison.runs[0]
    planned = (entry for entry in known if first in entry.runs)
    return next((entry for entry in (*found, *planned, *known) if entry is not None), None)


def _named(comparison: TaskComparison, wanted: str) -> Entry | None:
    known = [entry for entry in comparison.entries if entry.n]
    tests = (
        lambda entry: entry.setting.label == wanted,
        lambda entry: entry.setting.method == wanted,
        lambda entry: wanted in dict(entry.setting.values).values(),
    )
    return next((entry for test in tests for entry in known if test(entry)), None)


@dataclass(frozen=True)
class LrCurve:
    """A method at each of its learning rates.

    Attributes:
        method: its name.
        points: ``(lr, best setting at this lr)``, by rising learning rate.
        others: whether other hyperparameters varied too.
    """

    method: str
    points: tuple[tuple[float, Entry], ...]
    others: bool

    @property
    def best(self) -> int:
        """The index of the point with the best learning rate."""
        return min(range(len(self.points)), key=lambda index: self.points[index][1].order)

    @property
    def last(self) -> int:
        """The index of the point with the highest learning rate."""
        return len(self.points) - 1

    @property
    def is_known(self) -> bool:
        """Whether the median is finite at any learning rate."""
        return math.isfinite(self.points[self.best][1].median)


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
            any(len(entries) > 1 for entries in by_lr.values()),
        )
        for method, by_lr in by_method.items()
        if len(by_lr) > 1
    ]


def on_edge(curves: Iterable[LrCurve]) -> list[LrCurve]:
    """The curves whose best learning rate is the lowest or the highest of their grid."""
    return [curve for curve in curves if curve.is_known and curve.best in (0, curve.last)]


def edge_sentence(curves: Iterable[LrCurve]) -> str | None:
    """A warning about best learning rates on the edge of their grid; None without any."""
    found = []
    for curve in on_edge(curves):
        word = "lowest" if curve.best == 0 else "highest"
        lr = shown_number(str(curve.points[curve.best][0]))
        found.append(f"`{curve.method}` ({lr}, the {word} of {len(curve.points)})")
    if not found:
        return None
    return (
        f"The best learning rate is on the edge of its grid for {listed(found, most=20)}. "
        "Extend the grid: a better one may lie outside."
    )
