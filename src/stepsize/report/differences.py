"""Paired differences between the settings of a task, corrected for their number."""

from __future__ import annotations

from dataclasses import dataclass

from stepsize.report.task import LEVEL, Entry, TaskComparison
from stepsize.stats.paired import Paired, holm, paired


@dataclass(frozen=True)
class Difference:
    """The comparison of one setting with another, paired by seed.

    Attributes:
        setting: label of the setting.
        pair: estimate, interval, test and its p.
        p: after Holm's correction for all comparisons with the same other setting.
        significant: whether a difference is significant at 5% after the correction.
        verdict: what can be said of the setting: "better", "worse" or the reason why neither.
    """

    setting: str
    pair: Paired
    p: float | None
    significant: bool
    verdict: str


def differences(comparison: TaskComparison, other: Entry) -> tuple[Difference, ...]:
    """Each other method's best setting compared with ``other`` at their common seeds.

    The seed of a failed, interrupted or missing run is not paired.
    """
    measure = comparison.measure
    pairs = {
        entry.setting.label: paired(
            entry.finals, other.finals, mode=measure.mode, floor=measure.floor
        )
        for entry in comparison.known
        if entry is not other
    }
    adjusted = holm({label: pair.p for label, pair in pairs.items() if pair.p is not None})
    return tuple(
        _difference(comparison, label, pair, adjusted.get(label)) for label, pair in pairs.items()
    )


def _difference(
    comparison: TaskComparison, label: str, pair: Paired, p: float | None
) -> Difference:
    differs = pair.verdict in ("better", "worse") and comparison.seed_matters
    significant = differs and p is not None and p <= LEVEL
    if pair.n == 0:
        verdict = "no common seed"
    elif pair.verdict == "identical":
        verdict = "identical"
    elif not comparison.seed_matters:
        verdict = "exact: the seed has no effect"
    elif differs and not significant:
        verdict = "not significant after Holm's correction"
    else:
        verdict = pair.verdict
    return Difference(label, pair, p, significant, verdict)
