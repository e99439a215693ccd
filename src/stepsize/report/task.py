"""The settings that were tried on one task, ranked and compared."""

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

LEVEL = 0.05


@dataclass(frozen=True)
class TaskComparison:
    """One task.

    Attributes:
        task: its name.
        measure: what it is judged by.
        entries: settings by their runs on it, those that chose rates apart; the best first.
        tuning: settings by the runs that show how a rate matters: all but those on fresh seeds.
        two_stages: whether the settings were chosen on other seeds than they are judged by.
        repeats: how many runs were left out as repeats of others in the same comparison.
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
        """The leaders of which something is known."""
        return tuple(entry for entry in self.leaders if entry.n)

    @cached_property
    def seed_matters(self) -> bool:
        """Whether any two seeds of a setting end differently; True where no setting has two."""
        several = [entry.finals.values() for entry in self.entries if entry.n > 1]
        return not several or any(len(set(values)) > 1 for values in several)

    @property
    def runs(self) -> list[RunRow]:
        """All that are counted, of either stage."""
        rows = {run.folder: run for entry in (*self.entries, *self.tuning) for run in entry.runs}
        return list(rows.values())

    def against(self, baseline: Entry) -> dict[str, tuple[Paired, float | None]]:
        """Each other leader paired with ``baseline`` by seed, and p adjusted for their number.

        A run that failed or was cut off says nothing: its seed is not paired.
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
        """Whether a difference can be claimed at 5%, for all comparisons together."""
        told_apart = pair.verdict in ("better", "worse")
        return self.seed_matters and told_apart and adjusted is not None and adjusted <= LEVEL


def compare_tasks(rows: Sequence[RunRow], settings: Sequence[Setting]) -> list[TaskComparison]:
    """One comparison per task, in the order of the rows.

    A run that is there twice (the same numbers in two sweeps, or tried again later) is counted
    once; two sweeps that mean different things by the same setting keep it apart.

    Args:
        rows: of all sweeps.
        settings: of each row.
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
    values = [run.metrics.get(tag, {}).get("final") for run in finished]
    positive = all(value > 0 for value in values if value is not None)
    return Measure(tag, "max" if mode == "max" else "min", mode == "min" and positive, 0.0)


def _counted(pairs: Sequence[tuple[RunRow, Setting]]) -> list[tuple[RunRow, Setting]]:
    """One run per setting and seed of a stage."""
    places: dict[tuple[Setting, int | None, str], list[tuple[RunRow, Setting]]] = defaultdict(list)
    for run, setting in pairs:
        places[setting, run.seed, run.stage].append((run, setting))
    apart = {
        setting
        for (setting, _, _), here in places.items()
        if len({run.config_hash for run, _ in here if run.finished}) > 1
        and len({run.sweep for run, _ in here}) > 1
    }
    kept: dict[tuple[Setting, int | None, str], tuple[RunRow, Setting]] = {}
    for run, setting in pairs:
        name = setting.marked(f"({run.sweep})") if setting in apart else setting
        place = (name, run.seed, run.stage)
        # A later run takes the place of an earlier one, unless only the earlier one was finished.
        if place not in kept or run.finished or not kept[place][0].finished:
            kept[place] = (run, name)
    return list(kept.values())


_USUAL = ("adam", "no schedule", "no groups", "sgd")


def check_baseline(comparisons: Sequence[TaskComparison], wanted: str | None) -> None:
    """Refuse a baseline that no task has.

    Raises:
        ValueError: names the settings that there are.
    """
    if wanted is None or any(_named(comparison, wanted) for comparison in comparisons):
        return
    methods = {entry.setting.method for c in comparisons for entry in c.leaders}
    labels = {entry.setting.label for c in comparisons for entry in c.leaders}
    names = sorted(methods if len(methods) > 1 else labels)
    raise ValueError(f"baseline={wanted} is none of the settings; choose from {', '.join(names)}")


def choose_baseline(comparison: TaskComparison, wanted: str | None) -> Entry | None:
    """A task's baseline.

    Args:
        comparison: the task.
        wanted: a setting's label, a method, or one value of what varies (``cosine``). Without it:
            Adam, or what has no schedule, or no groups; else what was planned first.

    Returns:
        The setting, or the method's best one; None where the task has no such runs, or one alone.
    """
    known = comparison.known
    if len(known) < 2:
        return None
    if wanted is not None:
        return _named(comparison, wanted)
    found = (_named(comparison, usual) for usual in _USUAL)
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


GAP = "train/gap"


@dataclass(frozen=True)
class Measure:
    """What a task is judged by.

    Attributes:
        tag: the gap to the optimum where it is known, else the monitor.
        mode: whether a smaller ("min") or a larger ("max") value is better.
        log: whether values are compared by their ratios.
        floor: of the gap, below which there is only rounding; 0 for anything else.
    """

    tag: str
    mode: Literal["min", "max"]
    log: bool
    floor: float

    @property
    def is_gap(self) -> bool:
        """Whether it is the distance to a known optimum."""
        return self.tag == GAP

    def final(self, run: RunRow) -> float | None:
        """The final value of a finished run, infinitely bad if it diverged; None if not known."""
        return self._value(run, "final")

    def best(self, run: RunRow) -> float | None:
        """The best value on the way, infinitely bad too for a run that diverged."""
        return self._value(run, "best")

    def _value(self, run: RunRow, which: str) -> float | None:
        if not run.finished or (run.metrics and self.tag not in run.metrics):
            return None
        value = run.metrics.get(self.tag, {}).get(which)
        if run.status == "diverged" or value is None:
            return worst(self.mode)
        return value


@dataclass(frozen=True)
class Entry:
    """A setting on one task.

    Attributes:
        setting: what it is.
        runs: one per seed.
        measure: what it is judged by.
    """

    setting: Setting
    runs: tuple[RunRow, ...]
    measure: Measure

    @cached_property
    def finals(self) -> dict[int, float]:
        """The final value by seed, of finished runs; infinitely bad where the run diverged."""
        values = {run.seed or 0: self.measure.final(run) for run in self.runs}
        return {seed: value for seed, value in values.items() if value is not None}

    @property
    def n(self) -> int:
        """The number of seeds that say something."""
        return len(self.finals)

    def count(self, *statuses: str) -> int:
        """How many runs ended so."""
        return sum(run.status in statuses for run in self.runs)

    @cached_property
    def quartiles(self) -> tuple[float, float, float] | None:
        """Lower quartile, median and upper quartile of the final value."""
        return median_quartiles(self.finals.values()) if self.finals else None

    @property
    def median(self) -> float:
        """Of the final value; NaN where nothing is known."""
        return self.quartiles[1] if self.quartiles else math.nan

    @cached_property
    def mean(self) -> Interval | None:
        """The mean with its 95% interval; None where a run diverged, or nothing is known."""
        values = list(self.finals.values())
        if not values or not all(map(math.isfinite, values)):
            return None
        if self.measure.log:
            return log_mean_interval(values, floor=self.measure.floor)
        return mean_interval(values)

    @cached_property
    def best(self) -> float:
        """The median of the best value on the way; NaN where nothing is known."""
        values = [self.measure.best(run) for run in self.runs]
        known = [value for value in values if value is not None]
        return median_quartiles(known)[1] if known else math.nan

    @cached_property
    def target_steps(self) -> list[float]:
        """Steps to the target of each finished run that had one; inf for a miss."""
        return [run.target_steps for run in self.runs if run.target_steps is not None]

    @property
    def hits(self) -> int:
        """How many met the target."""
        return sum(map(math.isfinite, self.target_steps))

    @property
    def median_target_steps(self) -> float | None:
        """The median of the steps to the target; None where there was no target."""
        return median_steps(self.target_steps) if self.target_steps else None

    @property
    def seconds(self) -> float | None:
        """The median duration of the finished runs."""
        known = [run.seconds for run in self.runs if run.finished and run.seconds is not None]
        return median_quartiles(known)[1] if known else None

    @property
    def steps(self) -> int:
        """The longest run's."""
        return max((run.steps for run in self.runs), default=0)

    @property
    def order(self) -> tuple[float, ...]:
        """Sorts the best first, and what is not known last."""
        if not self.quartiles:
            return (1.0, 0.0, 0.0, 0.0)
        sign = 1.0 if self.measure.mode == "min" else -1.0
        middle = self.mean.center if self.mean else worst("min") * sign
        low, median, high = self.quartiles
        outer = high if self.measure.mode == "min" else low
        return (0.0, sign * median, sign * outer, sign * middle)


@dataclass(frozen=True)
class RateCurve:
    """A method at each of its rates.

    Attributes:
        method: its name.
        points: the best setting at each rate, by rising rate.
        others: whether something else than the rate varied too.
    """

    method: str
    points: tuple[tuple[float, Entry], ...]
    others: bool

    @property
    def best(self) -> int:
        """The place of the best rate among the points."""
        return min(range(len(self.points)), key=lambda place: self.points[place][1].order)

    @property
    def last(self) -> int:
        """The place of the highest rate."""
        return len(self.points) - 1

    @property
    def is_known(self) -> bool:
        """Whether any rate has led to a number."""
        return math.isfinite(self.points[self.best][1].median)


def rate_curves(entries: Iterable[Entry]) -> list[RateCurve]:
    """A curve for each method that was tried at two rates or more; the best method first."""
    by_method: dict[str, dict[float, list[Entry]]] = defaultdict(lambda: defaultdict(list))
    for entry in sorted(entries, key=lambda entry: entry.order):
        rate = entry.runs[0].lr
        if rate is not None:
            by_method[entry.setting.method][rate].append(entry)
    return [
        RateCurve(
            method,
            tuple((rate, rates[rate][0]) for rate in sorted(rates)),
            any(len(several) > 1 for several in rates.values()),
        )
        for method, rates in by_method.items()
        if len(rates) > 1
    ]


def on_edge(curves: Iterable[RateCurve]) -> list[RateCurve]:
    """The curves whose best rate is the lowest or the highest that was tried."""
    return [curve for curve in curves if curve.is_known and curve.best in (0, curve.last)]


def edge_sentence(curves: Iterable[RateCurve]) -> str | None:
    """What follows from best rates on an edge of their grid; None where there is none."""
    found = []
    for curve in on_edge(curves):
        word = "lowest" if curve.best == 0 else "highest"
        rate = shown_number(str(curve.points[curve.best][0]))
        found.append(f"`{curve.method}` ({rate}, the {word} of {len(curve.points)})")
    if not found:
        return None
    return (
        "The best rate lies on the edge of what was tried, and a better one may lie beyond: "
        f"{listed(found, most=20)}."
    )
