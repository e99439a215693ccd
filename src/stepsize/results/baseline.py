"""Which setting the others are compared with."""

from __future__ import annotations

from collections.abc import Sequence

from stepsize.results.comparison import TaskComparison
from stepsize.results.entry import Entry

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
