"""The settings that were tried on one task, ranked and compared."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from stepsize.results.entry import GAP, Entry, Measure
from stepsize.results.intervals import rounding_floor
from stepsize.results.paired import Paired, holm, paired
from stepsize.results.rows import RunRow
from stepsize.results.settings import Setting

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
