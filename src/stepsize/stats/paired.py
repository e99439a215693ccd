"""Paired comparison of two hyperparameter settings by seed: interval, sign tests, Holm."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from stepsize.stats.intervals import Interval, check_confidence, check_floor, mean_interval


@dataclass(frozen=True)
class Paired:
    """Comparison of a hyperparameter setting with a baseline at their common seeds.

    Attributes:
        n: number of common seeds, including diverged and failed runs.
        ratio_or_difference: the geometric mean of ours / baseline, or the mean of ours - baseline,
            see ``scale``; None if a run diverged or failed, or n is 0.
        low: lower end of its confidence interval; None likewise.
        high: upper end; None likewise.
        p: two-sided p of the sign-flip test of the mean, or of the sign test if a run diverged or
            failed; None if n is 0. It is not adjusted for several comparisons, see :func:`holm`.
        wins: seeds at which ours is better; a finite value is better than a run that diverged.
        losses: seeds at which the baseline is better.
        ties: seeds with equal values, or with both runs diverged or failed.
        lost_to_divergence: seeds without a ratio or difference, because a run of either side
            diverged or failed.
        scale: "ratio" if all values are above 0, else "difference".
        test: the one that gives ``p``: :func:`sign_flip_p` or :func:`sign_test_p`.
        verdict: on ours: "better", "worse", "not significant", "identical" or "not testable at 5%
            with N seeds".
        note: remarks on the data; may be empty.
    """

    n: int
    ratio_or_difference: float | None
    low: float | None
    high: float | None
    p: float | None
    wins: int
    losses: int
    ties: int
    lost_to_divergence: int
    scale: Literal["ratio", "difference"]
    test: Literal["sign-flip", "sign"] | None
    verdict: str
    note: str


def paired(
    ours: Mapping[int, float | None],
    baseline: Mapping[int, float | None],
    *,
    mode: Literal["min", "max"] = "min",
    confidence: float = 0.95,
    floor: float = 0.0,
) -> Paired:
    """Compare at common seeds, where both sides have equal initial weights and batches.

    A difference is significant if Student's t interval and the sign-flip test both show it. If a
    run diverged or failed, there is no interval: a dropped pair would be a bias, and no number can
    replace it. The exact sign test of wins and losses is used instead.

    Args:
        ours: the final value by seed; None, inf or NaN if the run diverged or failed.
        baseline: the final value of the baseline by seed, likewise.
        mode: "min" if smaller is better, "max" if larger is better.
        confidence: of the interval; 1 - confidence is the level of the verdict.
        floor: smaller values count as this one. For gaps to a known optimum, whose smaller values
            are rounding errors (:func:`stepsize.stats.intervals.rounding_floor`); 0: no floor.

    Raises:
        ValueError: unknown mode, confidence outside (0, 1), floor negative or not finite.
    """
    if mode not in ("min", "max"):
        raise ValueError(f"mode={mode}, but it is min or max")
    check_confidence(confidence)
    check_floor(floor)
    seeds = sorted(ours.keys() & baseline.keys())
    measured = [(_number(ours[seed]), _number(baseline[seed])) for seed in seeds]
    pairs = [(_at_least(a, floor), _at_least(b, floor)) for a, b in measured]
    outcomes = [_outcome(a, b, mode) for a, b in pairs]
    wins, losses, ties = (outcomes.count(sign) for sign in (1, -1, 0))
    lost = sum(None in pair for pair in pairs)
    positive = all(value > 0 for pair in pairs for value in pair if value is not None)
    differences = [
        math.log(a) - math.log(b) if positive else a - b
        for a, b in pairs
        if a is not None and b is not None
    ]
    effect = mean_interval(differences, confidence) if differences and not lost else None
    p = sign_flip_p(differences) if effect else sign_test_p(wins, losses) if seeds else None
    verdict, doubt = _verdict(effect, p, wins - losses, len(seeds), confidence, mode)
    if seeds and not lost and all(a == b for a, b in measured):
        verdict, doubt = "identical", ""
    notes = _notes(measured, floor, len(ours.keys() ^ baseline.keys()))
    shown = effect.exp() if effect and positive else effect
    return Paired(
        n=len(seeds),
        ratio_or_difference=shown.center if shown else None,
        low=shown.low if shown else None,
        high=shown.high if shown else None,
        p=p,
        wins=wins,
        losses=losses,
        ties=ties,
        lost_to_divergence=lost,
        scale="ratio" if positive else "difference",
        test=("sign-flip" if effect else "sign") if seeds else None,
        verdict=verdict,
        note="; ".join(note for note in (doubt, *notes) if note),
    )


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """P values adjusted for several comparisons: Holm's correction.

    Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of
    Statistics 6 (1979). It controls the probability of any false claim, needs no independence, so
    that one baseline may be in all comparisons, and is at least as powerful as Bonferroni's.

    Args:
        p_values: in [0, 1], by name. The adjusted ones come back in the same order.

    Raises:
        ValueError: a p outside [0, 1].
    """
    for name, p in p_values.items():
        if not 0 <= p <= 1:
            raise ValueError(f"p={p} of {name}, but a p value is between 0 and 1")
    adjusted: dict[str, float] = {}
    highest = 0.0
    for rank, name in enumerate(sorted(p_values, key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[name]))
        adjusted[name] = highest
    return {name: adjusted[name] for name in p_values}


def _verdict(
    effect: Interval | None, p: float | None, lead: int, n: int, confidence: float, mode: str
) -> tuple[str, str]:
    """The verdict, and a remark if interval and test disagree."""
    level = 1 - confidence
    if p is None or 2 / 2**n > level:
        seeds = "1 seed" if n == 1 else f"{n} seeds"
        return f"not testable at {100 * level:g}% with {seeds}", ""
    if effect is None:
        return ("better" if lead > 0 else "worse") if p <= level else "not significant", ""
    shows = {
        "the interval": effect.low > 0 or effect.high < 0,
        f"the sign-flip p={p:.2g}": p <= level,
    }
    if all(shows.values()):
        return ("better" if (effect.center < 0) == (mode == "min") else "worse"), ""
    if not any(shows.values()):
        return "not significant", ""
    one, other = sorted(shows, key=shows.__getitem__, reverse=True)
    return "not significant", f"{one} shows a difference, {other} does not"


def _notes(
    measured: Sequence[tuple[float | None, float | None]], floor: float, unpaired: int
) -> list[str]:
    notes = []
    ours, baseline = ([pair[side] for pair in measured] for side in (0, 1))
    if None in ours or None in baseline:
        notes.append(
            f"diverged or failed: {ours.count(None)} of ours, {baseline.count(None)} of the "
            "baseline, so there is no interval, and p is that of the sign test"
        )
    raised = sum(value is not None and value < floor for value in (*ours, *baseline))
    if raised and floor > 0:
        notes.append(f"{raised} values below the rounding error {floor:.2g} count as {floor:.2g}")
    if len(measured) > 1 and len(set(ours)) == len(set(baseline)) == 1 and ours != baseline:
        notes.append(
            f"all {len(measured)} seeds give equal values: if the seed has no effect, they are one "
            "run"
        )
    if unpaired:
        notes.append(f"skipped seeds of one side only: {unpaired}")
    return notes


def _number(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None


def _at_least(value: float | None, floor: float) -> float | None:
    return value if value is None or floor == 0 else max(value, floor)


def _outcome(ours: float | None, baseline: float | None, mode: str) -> int:
    """1 if ours wins, -1 if it loses, 0 for a tie."""
    if ours is None or baseline is None:
        return (ours is not None) - (baseline is not None)
    return ((ours < baseline) - (ours > baseline)) * (1 if mode == "min" else -1)


EXACT_UP_TO = 16  # pairs: all 2^16 sign flips take a millisecond
_SAMPLED_FLIPS = 19_999
_SAMPLING_SEED = 0  # the same data give the same p


def sign_flip_p(differences: Sequence[float]) -> float:
    """The two-sided p of the mean of paired differences: Fisher's sign-flip test.

    Under the null hypothesis both signs of a difference are equally likely: Fisher, The Design of
    Experiments (1935), section 21. All 2^n flips are counted up to n = 16; above, 19,999 are drawn,
    and the observed one is added (Phipson and Smyth, "Permutation p-values should never be
    zero", 2010). The smallest possible p is 2 / 2^n: 0.25 at n = 3, 0.0625 at n = 5.

    Args:
        differences: [n], finite, n >= 1.
    """
    values = np.abs(np.asarray(differences, dtype=np.float64))
    if not values.any():
        return 1.0
    unit = values.max()
    observed = abs(math.fsum(value / unit for value in differences))
    observed -= 1e-12 * len(values)  # sums equal up to rounding count as equal
    first, *others = values / unit
    if len(values) <= EXACT_UP_TO:
        sums = np.array([first])  # its sign is fixed: the other half is symmetric
        for value in others:
            sums = np.concatenate([sums + value, sums - value])
        return float(np.mean(np.abs(sums) >= observed))
    generator = np.random.default_rng(_SAMPLING_SEED)
    sums = np.full(_SAMPLED_FLIPS, first)
    for value in others:
        sums += np.where(generator.random(_SAMPLED_FLIPS) < 0.5, value, -value)
    return float((1 + np.sum(np.abs(sums) >= observed)) / (1 + _SAMPLED_FLIPS))


def sign_test_p(wins: int, losses: int) -> float:
    """The exact two-sided p of the sign test, without ties.

    Dixon and Mood, "The statistical sign test", JASA 41 (1946).
    """
    n = wins + losses
    tail = sum(math.comb(n, k) for k in range(min(wins, losses) + 1))
    return min(1.0, 2 * tail / 2**n)
