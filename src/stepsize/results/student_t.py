"""Quantiles of Student's t distribution."""

from __future__ import annotations

import functools
import math

import numpy as np


def t_quantile(p: float, df: int) -> float:
    """The quantile of Student's t distribution.

    By bisection on the finite series for the probability of |T| <= t: Abramowitz and Stegun,
    Handbook of Mathematical Functions, 26.7.3 (odd df) and 26.7.4 (even df). The relative error is
    below 1e-10 for p from 1e-5 to 1 - 1e-5; further out, the rounding of 1 - p begins to show.

    Args:
        p: the probability below the quantile, inside (0, 1).
        df: degrees of freedom, at least 1.

    Raises:
        ValueError: p or df is outside its range.
    """
    if not 0 < p < 1:
        raise ValueError(f"p={p}, but a quantile needs a probability inside (0, 1)")
    if df < 1 or df != int(df):
        raise ValueError(f"df={df}, but degrees of freedom are a whole number of at least 1")
    return math.copysign(_two_sided_quantile(abs(2 * p - 1), int(df)), p - 0.5)


@functools.lru_cache(maxsize=1024)
def _two_sided_quantile(probability: float, df: int) -> float:
    """The t >= 0 with P(|T| <= t) = probability, for theta = atan(t / sqrt(df)) in [0, pi/2]."""
    low, high = 0.0, math.pi / 2
    if probability == 0:
        return 0.0
    while low < (middle := (low + high) / 2) < high:
        if _two_sided_probability(middle, df) < probability:
            low = middle
        else:
            high = middle
    return math.sqrt(df) * math.tan(high)


def _two_sided_probability(theta: float, df: int) -> float:
    """P(|T| <= sqrt(df) tan(theta)): the series A(t|df) of Abramowitz and Stegun."""
    sine, cosine = math.sin(theta), math.cos(theta)
    odd = df % 2
    # Each term is the one before times cos^2 * 2/3, 4/5 ... (odd df) or 1/2, 3/4 ... (even df).
    k = np.arange(1, df // 2)
    ratios = (2 * k / (2 * k + 1) if odd else (2 * k - 1) / (2 * k)) * cosine**2
    series = 1.0 + float(np.cumprod(ratios).sum())
    if not odd:
        return sine * series
    return 2 / math.pi * (theta + (sine * cosine * series if df > 1 else 0.0))
