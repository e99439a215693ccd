"""Paired comparison of two hyperparameter settings by seed: estimate, interval, test."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from stepsize.stats.intervals import Interval, check_confidence, check_floor, mean_interval
from stepsize.stats.max_t import clip_infinite, max_t


@dataclass(frozen=True)
class Paired:
    """Comparison of a hyperparameter setting with a baseline at their common seeds.

    Attributes:
        n: number of common seeds, including diverged runs.
        ratio_or_difference: the geometric mean of ours / baseline, or the mean of ours - baseline,
            see ``scale``; None if a run diverged, or n is 0.
        low: lower end of its confidence interval; None likewise.
        high: upper end; None likewise.
        p: two-sided p of the sign-flip test of the mean, in which a diverged run counts as the
            largest finite difference; None if n is 0. It is not adjusted for several comparisons,
            see :func:`stepsize.stats.max_t.max_t`.
        wins: seeds at which ours is better; a finite value is better than a run that diverged.
        losses: seeds at which the baseline is better.
        ties: seeds with equal values, or with both runs diverged.
        lost_to_divergence: seeds without a ratio or difference, because a run of either side
            diverged.
        scale: "ratio" or "difference".
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
    verdict: str
    note: str


def paired(
    ours: Mapping[int, float | None],
    baseline: Mapping[int, float | None],
    *,
    mode: Literal["min", "max"] = "min",
    confidence: float = 0.95,
    floor: float = 0.0,
    ratio: bool | None = None,
) -> Paired:
    """Compare at common seeds, where both sides have equal initial weights and batches.

    A difference is significant if Student's t interval and the sign-flip test both show it. The
    test is Fisher's, The Design of Experiments (1935), section 21: under the null hypothesis both
    signs of a difference are equally likely, so that the smallest possible p is 2 / 2^n: 0.25 at
    n = 3, 0.0625 at n = 5. If a run diverged, there is no interval: a dropped pair would be a bias,
    and no number can replace it; the test decides alone.

    Args:
        ours: the final value by seed; None, inf or NaN if the run diverged.
        baseline: the final value of the baseline by seed, likewise.
        mode: "min" if smaller is better, "max" if larger is better.
        confidence: of the interval; 1 - confidence is the level of the verdict.
        floor: smaller values count as this one. For gaps to a known optimum, whose smaller values
            are rounding errors (:func:`stepsize.stats.intervals.rounding_floor`); 0: no floor.
        ratio: whether to compare by ratios; None: where all values are above 0 and smaller is
            better, because losses differ by factors, and accuracies by amounts.

    Raises:
        ValueError: unknown mode, confidence outside (0, 1), floor negative or not finite.
    """
    if mode not in ("min", "max"):
        raise ValueError(f"mode={mode}, but it is min or max")
    check_confidence(confidence)
    check_floor(floor)
    seeds = sorted(ours.keys() & baseline.keys())
    measured = [(_number(ours[seed]), _number(baseline[seed])) for seed in seeds]
    found, scale = signed_differences(ours, baseline, mode=mode, floor=floor, ratio=ratio)
    differences = np.array(list(found.values()))
    wins, losses = (int(np.sum(differences * (sign if mode == "min" else -sign) > 0))
                    for sign in (-1, 1))  # fmt: skip
    lost = sum(None in pair for pair in measured)
    effect = mean_interval(differences, confidence) if seeds and not lost else None
    p = float(max_t(differences[:, None])[0]) if seeds else None
    center = float(clip_infinite(differences).mean()) if seeds else 0.0
    verdict, doubt = _verdict(effect, center, p, len(seeds), confidence, mode)
    if seeds and not lost and all(a == b for a, b in measured):
        verdict, doubt = "identical", ""
    notes = _notes(measured, floor, len(ours.keys() ^ baseline.keys()))
    shown = effect.exp() if effect and scale == "ratio" else effect
    return Paired(
        n=len(seeds),
        ratio_or_difference=shown.center if shown else None,
        low=shown.low if shown else None,
        high=shown.high if shown else None,
        p=p,
        wins=wins,
        losses=losses,
        ties=len(seeds) - wins - losses,
        lost_to_divergence=lost,
        scale=scale,
        verdict=verdict,
        note="; ".join(note for note in (doubt, *notes) if note),
    )


def signed_differences(
    ours: Mapping[int, float | None],
    baseline: Mapping[int, float | None],
    *,
    mode: Literal["min", "max"],
    floor: float,
    ratio: bool | None,
) -> tuple[dict[int, float], Literal["ratio", "difference"]]:
    """The difference ours - baseline at each common seed; of the logarithms for a ratio.

    Args:
        ours: as :func:`paired` takes them, and so are the others.
        baseline: likewise.
        mode: likewise.
        floor: likewise.
        ratio: likewise.

    Returns:
        The difference by seed, and its scale. It is infinite if one of both runs diverged, with the
        sign of a difference in which that run is the worse one, and 0 if both diverged.
    """
    pairs = {
        seed: tuple(_at_least(_number(side[seed]), floor) for side in (ours, baseline))
        for seed in sorted(ours.keys() & baseline.keys())
    }
    if ratio is None:
        values = [value for pair in pairs.values() for value in pair if value is not None]
        ratio = mode == "min" and all(value > 0 for value in values)
    worse = math.inf if mode == "min" else -math.inf
    found = {}
    for seed, (a, b) in pairs.items():
        if a is None or b is None:
            found[seed] = 0.0 if a is b else worse if a is None else -worse
        else:
            found[seed] = math.log(a) - math.log(b) if ratio else a - b
    return found, "ratio" if ratio else "difference"


def _verdict(
    effect: Interval | None, center: float, p: float | None, n: int, confidence: float, mode: str
) -> tuple[str, str]:
    """The verdict, and a remark if interval and test disagree."""
    level = 1 - confidence
    if p is None or 2 / 2**n > level:
        seeds = "1 seed" if n == 1 else f"{n} seeds"
        return f"not testable at {100 * level:g}% with {seeds}", ""
    verdict = "better" if (center < 0) == (mode == "min") else "worse"
    if effect is None:
        return verdict if p <= level else "not significant", ""
    shows = {
        "the interval": effect.low > 0 or effect.high < 0,
        f"the sign-flip p={p:.2g}": p <= level,
    }
    if all(shows.values()):
        return verdict, ""
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
            f"diverged: {ours.count(None)} of ours, {baseline.count(None)} of the baseline, so "
            "there is no interval, and the test takes a diverged run as the largest difference"
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
