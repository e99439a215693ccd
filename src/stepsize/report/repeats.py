"""Runs that repeat each other, and runs that only seem to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from stepsize.report.labels import Setting
from stepsize.report.read import RunRow


def without_repeats(
    pairs: Sequence[tuple[RunRow, Setting]],
) -> tuple[list[tuple[RunRow, Setting]], int]:
    """One run per hyperparameter setting, seed and stage.

    Only runs with one ``config_hash`` repeat each other. Others that share a setting and a seed are
    marked as different settings. If two sweeps hold different configurations under one label, the
    labels get the sweeps' names.

    Args:
        pairs: the runs of a task, each with its setting.

    Returns:
        The runs that count, and how many of them differ from a run that they repeat: such a run was
        computed by other versions or on another machine.
    """
    by_setting: dict[Setting, list[RunRow]] = defaultdict(list)
    for run, setting in pairs:
        by_setting[setting].append(run)
    marks = {setting: _marks(runs) for setting, runs in by_setting.items()}
    kept: dict[tuple[Setting, int | None, str], tuple[RunRow, Setting]] = {}
    unequal = 0
    for run, setting in pairs:
        mark = marks[setting].get(run.folder)
        name = setting.marked(mark) if mark else setting
        place = (name, run.seed, run.stage)
        unequal += place in kept and _ends_differ(kept[place][0], run)
        # A later run replaces an earlier one, unless only the earlier one finished.
        if place not in kept or run.finished or not kept[place][0].finished:
            kept[place] = (run, name)
    return list(kept.values()), unequal


def _ends_differ(first: RunRow, second: RunRow) -> bool:
    ends = [(run.status, run.steps, run.metrics) for run in (first, second)]
    return first.finished and second.finished and ends[0] != ends[1]


def _marks(runs: Sequence[RunRow]) -> dict[Path, str]:
    """What tells the runs of one setting apart, by folder; empty if none differ at one seed.

    The sweep, else the overrides as they were written, else a number.
    """
    places: dict[tuple[int | None, str], list[RunRow]] = defaultdict(list)
    for run in runs:
        if run.finished:
            places[run.seed, run.stage].append(run)
    mixed = [same for same in places.values() if len({run.config_hash for run in same}) > 1]
    if not mixed:
        return {}
    written = {run.folder: {e for e in run.overrides if not e.startswith("seed=")} for run in runs}
    common = set.intersection(*written.values())
    own = {folder: " ".join(sorted(each - common)) for folder, each in written.items()}
    for marks in ({run.folder: run.sweep for run in runs}, own):
        if all(len({(marks[r.folder], r.config_hash) for r in same})
               == len({marks[r.folder] for r in same}) for same in mixed):  # fmt: skip
            return {folder: f"({mark})" for folder, mark in marks.items()}
    numbers: dict[Path, str] = {}
    for same in places.values():
        hashes = list(dict.fromkeys(run.config_hash for run in same))
        numbers |= {run.folder: f"#{hashes.index(run.config_hash) + 1}" for run in same}
    return numbers
