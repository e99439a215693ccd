"""Many paired comparisons at once: p values of the step-down max-T test with sign flips."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

EXACT_UP_TO = 16  # seeds: 2^15 different flips
_MOST_FLIPS, _LEAST_FLIPS = 2**15, 2**10
_MOST_VALUES = 100_000_000  # flips x comparisons: seconds
_BLOCK = 64  # comparisons whose statistics are in memory at once
_ROUNDING = 1e-12
_SAMPLING_SEED = 0  # the same data give the same p


def max_t(differences: np.ndarray) -> np.ndarray:
    """Two-sided p values of paired comparisons, adjusted for their number.

    The signs of all differences of a seed are flipped together. The p of a comparison is the share
    of flips at which the largest |t| of all comparisons with no larger observed |t| is at least the
    observed one. The probability of any false claim is at most the level, also if the same data
    select which comparisons are reported, because all of them are in the family. The smallest
    possible p is 2 / 2^seeds, whatever the number of comparisons: with Holm's correction it would
    grow with that number. Westfall and Young, "Resampling-based multiple testing" (1993); Romano
    and Wolf, "Exact and approximate stepdown methods for multiple hypothesis testing", JASA 100
    (2005).

    All flips are counted up to 16 seeds; above, or if there are very many comparisons, they are
    sampled, and the observed one is added.

    Args:
        differences: [seeds, comparisons]; NaN where a comparison does not have a seed, infinite
            where one of two runs diverged, which counts as the largest finite difference.

    Returns:
        [comparisons]; 1 for a comparison without a difference.
    """
    values = clip_infinite(differences)
    flips = _flips(*values.shape)
    statistics = _Statistics(values, (~np.isnan(differences)).sum(axis=0))
    # Sums that are equal up to rounding count as equal.
    observed = statistics.of(flips[:1], range(values.shape[1]), slack=_ROUNDING)[0]
    order = np.argsort(observed, kind="stable")  # the smallest first
    largest = np.zeros(len(flips))
    p = np.ones(values.shape[1])
    for start in range(0, len(order), _BLOCK):
        block = order[start : start + _BLOCK]
        t = np.maximum(statistics.of(flips, block), largest[:, None])
        t = np.maximum.accumulate(t, axis=1)
        p[block] = np.mean(t >= observed[block], axis=0)
        largest = t[:, -1]
    # No comparison may have a smaller p than one with a larger statistic.
    p[order] = np.maximum.accumulate(p[order][::-1])[::-1]
    return np.where(observed > 0, p, 1.0)


def clip_infinite(differences: np.ndarray) -> np.ndarray:
    """Differences with infinite ones as the largest finite one of their comparison, NaN as 0.

    How far a diverged run is from a finite one is not known, but which of both is worse. The bound
    depends on no sign, so that a sign-flip test of the clipped values is exact too.

    Args:
        differences: [seeds, comparisons] or [seeds].
    """
    values = np.nan_to_num(differences, nan=0.0, posinf=np.inf, neginf=-np.inf)
    finite = np.where(np.isfinite(values), np.abs(values), 0.0)
    bound = finite.max(axis=0, initial=0.0)
    bound = np.where(bound > 0, bound, 1.0)
    return np.clip(values, -bound, bound)


class _Statistics:
    """|t| of the mean of flipped differences.

    Args:
        values: [seeds, comparisons], finite; 0 where a comparison does not have a seed.
        seeds: [comparisons], of each comparison.
    """

    def __init__(self, values: np.ndarray, seeds: np.ndarray) -> None:
        self._values = values
        self._seeds = seeds
        self._squares = (values**2).sum(axis=0)

    def of(
        self, flips: np.ndarray, comparisons: Sequence[int] | np.ndarray, slack: float = 0.0
    ) -> np.ndarray:
        """[flips, comparisons], infinite where all differences are equal.

        Args:
            flips: [flips, seeds] of 1 and -1.
            comparisons: columns of the values.
            slack: how much smaller the cosine of signs and differences is taken; t rises with it.
        """
        columns = np.asarray(comparisons)
        n, squares = self._seeds[columns], self._squares[columns]
        unit = np.sqrt(np.where(squares > 0, n * squares, 1.0))
        cosine = np.abs(flips @ self._values[:, columns]) / unit
        cosine = np.clip(cosine - slack, 0.0, 1.0)
        with np.errstate(divide="ignore", invalid="ignore"):  # 1 / 0 is replaced below
            t = np.sqrt(n - 1) * cosine / np.sqrt(1 - cosine**2)
        return np.where(cosine > 1 - _ROUNDING, np.inf, t)


def _flips(seeds: int, comparisons: int) -> np.ndarray:
    """Signs [flips, seeds]; the first row is the observed one, all ones."""
    most = min(_MOST_FLIPS, max(_MOST_VALUES // comparisons, _LEAST_FLIPS))
    if seeds <= EXACT_UP_TO and 2 ** (seeds - 1) <= most:
        # The sign of the last seed is fixed: |t| is the same if all signs are turned.
        bits = np.arange(2 ** (seeds - 1))[:, None] >> np.arange(seeds)[None, :]
        return 1.0 - 2.0 * (bits & 1)
    generator = np.random.default_rng(_SAMPLING_SEED)
    signs = np.where(generator.random((most, seeds)) < 0.5, -1.0, 1.0)
    signs[0] = 1.0
    return signs
