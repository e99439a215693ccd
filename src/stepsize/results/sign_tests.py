"""Tests that need no distribution, only that signs are arbitrary under the null hypothesis."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

_EXACT_UP_TO = 16  # pairs: all 2^16 sign flips take a millisecond
_SAMPLED_FLIPS = 19_999
_SAMPLING_SEED = 0  # the same data give the same p


def sign_flip_p(differences: Sequence[float]) -> float:
    """The two-sided p of the mean of paired differences, by flipping their signs.

    Under the null hypothesis each difference is as likely with the other sign: Fisher, The Design
    of Experiments (1935), section 21. All 2^n flips are counted up to n = 16; above, 19,999 of them
    are drawn, and the data's own is added (Phipson and Smyth, "Permutation p-values should never be
    zero", 2010). The least possible p is 2 / 2^n: 0.25 at n = 3, 0.0625 at 5.

    Args:
        differences: [n], finite, n >= 1.
    """
    values = np.abs(np.asarray(differences, dtype=np.float64))
    if not values.any():
        return 1.0
    unit = values.max()
    observed = abs(math.fsum(value / unit for value in differences))
    observed -= 1e-12 * len(values)  # sums that are equal but for rounding count as equal
    first, *others = values / unit
    if len(values) <= _EXACT_UP_TO:
        sums = np.array([first])  # its sign can stay: the other half mirrors this one
        for value in others:
            sums = np.concatenate([sums + value, sums - value])
        return float(np.mean(np.abs(sums) >= observed))
    generator = np.random.default_rng(_SAMPLING_SEED)
    sums = np.full(_SAMPLED_FLIPS, first)
    for value in others:
        sums += np.where(generator.random(_SAMPLED_FLIPS) < 0.5, value, -value)
    return float((1 + np.sum(np.abs(sums) >= observed)) / (1 + _SAMPLED_FLIPS))


def sign_test_p(wins: int, losses: int) -> float:
    """The exact two-sided p of the sign test; ties are left out.

    Dixon and Mood, "The statistical sign test", JASA 41 (1946).
    """
    n = wins + losses
    tail = sum(math.comb(n, k) for k in range(min(wins, losses) + 1))
    return min(1.0, 2 * tail / 2**n)
