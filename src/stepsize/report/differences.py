"""Paired differences between the settings of a task, corrected for their number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from stepsize.report.task import LEVEL, Entry, TaskComparison
from stepsize.stats.max_t import max_t
from stepsize.stats.paired import Paired, paired, signed_differences

Pair = frozenset[str]  # the labels of two settings


@dataclass(frozen=True)
class Difference:
    """The comparison of one setting with another, paired by seed.

    Attributes:
        setting: label of the setting.
        pair: estimate, interval and test.
        p: adjusted for all pairs of settings of the task; None if too few common seeds can decide.
        significant: whether a difference is significant at 5% after the adjustment.
        verdict: what can be said of the setting: "better", "worse" or the reason why neither.
    """

    setting: str
    pair: Paired
    p: float | None
    significant: bool
    verdict: str


def adjusted_p(comparison: TaskComparison) -> dict[Pair, float]:
    """The p of each pair of methods, at their best settings, adjusted for the number of pairs.

    The seed of a failed, interrupted or missing run is not paired. All pairs are in the family, so
    that a claim about the best setting holds at the stated level although the same runs have chosen
    it. A pair has no p if its common seeds are too few for any difference to be significant.
    """
    measure, known = comparison.measure, comparison.known
    differences = {
        Pair((a.setting.label, b.setting.label)): signed_differences(
            a.finals, b.finals, mode=measure.mode, floor=measure.floor, ratio=measure.log
        )[0]
        for a, b in combinations(known, 2)
    }
    differences = {pair: d for pair, d in differences.items() if 2 / 2 ** len(d) <= LEVEL}
    seeds = sorted({seed for by_seed in differences.values() for seed in by_seed})
    table = np.array([[each.get(s, np.nan) for each in differences.values()] for s in seeds])
    return dict(zip(differences, max_t(table).tolist(), strict=True)) if differences else {}


def differences(
    comparison: TaskComparison, other: Entry, adjusted: Mapping[Pair, float]
) -> tuple[Difference, ...]:
    """Each other method's best setting compared with ``other`` at their common seeds.

    Args:
        comparison: the task.
        other: one of its settings.
        adjusted: of :func:`adjusted_p`.
    """
    measure, label = comparison.measure, other.setting.label
    return tuple(
        _difference(
            comparison,
            entry.setting.label,
            paired(
                entry.finals,
                other.finals,
                mode=measure.mode,
                floor=measure.floor,
                ratio=measure.log,
            ),
            adjusted.get(Pair((entry.setting.label, label))),
        )
        for entry in comparison.known
        if entry is not other
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
        verdict = "not significant among so many comparisons"
    else:
        verdict = pair.verdict
    return Difference(label, pair, p, significant, verdict)
