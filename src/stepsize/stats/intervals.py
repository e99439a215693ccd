"""Confidence intervals of means, Student's t and quantiles, for samples of a few seeds."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Interval:
    """A mean and the confidence interval around it.

    Attributes:
        center: the mean of the values.
        low: the lower end; -inf (0 in the original scale of a log) if n is 1.
        high: the upper end; inf if n is 1.
        n: the number of values.
    """

    center: float
    low: float
    high: float
    n: int

    def exp(self) -> Interval:
        """From the mean of logarithms to the geometric mean, in the original scale."""
        return Interval(_exp(self.center), _exp(self.low), _exp(self.high), self.n)


def mean_interval(values: Iterable[float], confidence: float = 0.95) -> Interval:
    """Student's t interval of the mean: mean -+ t * s / sqrt(n), t with n - 1 degrees of freedom.

    It is exact for Gaussian values at any n >= 2. A percentile bootstrap is not: its 95% interval
    covers 73% at n = 3 and 84% at n = 5.

    Args:
        values: [n], finite.
        confidence: the probability that the interval contains the true mean.

    Raises:
        ValueError: no values, a value that is not finite, a confidence outside (0, 1).
    """
    sample = _finite(values)
    check_confidence(confidence)
    n = len(sample)
    deviations = sample - sample[0]  # equal values give exactly no width
    center = float(sample[0] + deviations.mean())
    if n == 1:
        return Interval(center, -math.inf, math.inf, n)
    unit = float(np.abs(deviations).max()) or 1.0  # squares of large deviations do not overflow
    deviation = unit * float(np.std(deviations / unit, ddof=1))
    half = t_quantile((1 + confidence) / 2, n - 1) * deviation / math.sqrt(n)
    return Interval(center, center - half, center + half, n)


def log_mean_interval(
    values: Iterable[float], confidence: float = 0.95, floor: float = 0.0
) -> Interval:
    """Student's t interval of the geometric mean: exp of the :func:`mean_interval` of the log.

    Losses and gaps of different seeds differ by factors, so that their log is closer to Gaussian.

    Args:
        values: [n], finite and above 0, unless ``floor`` is given.
        confidence: the probability that the interval contains the true geometric mean.
        floor: smaller values, also zero and negative ones, count as this one. For gaps to the
            optimum that are rounding errors, see :func:`rounding_floor`; 0: no floor.

    Raises:
        ValueError: as :func:`mean_interval`; a value <= 0 and no floor.
    """
    check_floor(floor)
    sample = _finite(values)
    if floor > 0:
        sample = np.maximum(sample, floor)
    elif sample.min() <= 0:
        raise ValueError(
            f"the value {float(sample.min())} has no logarithm: all values must be above 0; "
            "or give a floor above 0"
        )
    interval = mean_interval(np.log(sample), confidence).exp()
    # The mean of values that are at least the floor is at least the floor.
    return Interval(interval.center, max(interval.low, floor), interval.high, interval.n)


def rounding_floor(optimum: float) -> float:
    """The gap to a known optimum below which float64 has rounding errors only.

    The loss and the optimum each have an error of about one unit in the last place, so that the gap
    of the exact minimizer is within about two units of 0. Four units allow for sums over more data.

    Args:
        optimum: the minimum f*; below 1 the floor is that of 1.
    """
    return 4 * float(np.finfo(np.float64).eps) * max(1.0, abs(optimum))


def median_quartiles(values: Iterable[float]) -> tuple[float, float, float]:
    """The lower quartile, the median and the upper quartile.

    A quantile strictly between a finite and an infinite value is infinite, see :func:`quantiles`.

    Args:
        values: [n]; inf for a diverged run, or -inf if larger is better.

    Raises:
        ValueError: no values, NaN, or both inf and -inf.
    """
    sample = np.fromiter(values, dtype=np.float64)
    if len(sample) == 0:
        raise ValueError("no values: a median needs at least one")
    if np.isnan(sample).any():
        raise ValueError("a value is NaN: give a diverged run as inf or -inf")
    if sample.min() == -math.inf and sample.max() == math.inf:
        raise ValueError("the values hold both inf and -inf: only one of them can be the worst")
    lower, median, upper = quantiles(sample, (0.25, 0.5, 0.75)).tolist()
    return lower, median, upper


def quantiles(values: np.ndarray, probabilities: Sequence[float]) -> np.ndarray:
    """Quantiles along the first axis.

    Linear interpolation between order statistics, numpy's default: definition 7 of Hyndman and
    Fan, "Sample quantiles in statistical packages", The American Statistician 50 (1996). numpy's
    own function gives NaN between a finite and an infinite value; this one gives infinity.

    Args:
        values: [n, ...], without NaN; infinite where a run diverged.
        probabilities: [k], in [0, 1].

    Returns:
        [k, ...].
    """
    ordered = np.sort(values, axis=0)
    found = []
    for probability in probabilities:
        position = probability * (len(ordered) - 1)
        below, above = ordered[math.floor(position)], ordered[math.ceil(position)]
        with np.errstate(invalid="ignore", over="ignore"):  # inf - inf, which is not used
            between = below + position % 1 * (above - below)
        infinite = np.where(np.isinf(below), below, above)
        found.append(np.where(np.isinf(infinite), infinite, between))
    return np.stack(found)


def median_steps(steps: Sequence[float]) -> float:
    """The median number of steps to a target; a run that missed it counts as inf.

    It is inf if half of the runs or more missed.

    Args:
        steps: [n], at least 0; inf for a miss.

    Raises:
        ValueError: no values, a negative number of steps or NaN.
    """
    wrong = [value for value in steps if not value >= 0]
    if wrong:
        raise ValueError(
            f"steps={wrong[0]}, but a number of steps is at least 0, or inf for a miss"
        )
    return median_quartiles(steps)[1]


def check_confidence(confidence: float) -> None:
    """Raise ValueError unless confidence is inside (0, 1)."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence={confidence}, but it has to be inside (0, 1), such as 0.95")


def check_floor(floor: float) -> None:
    """Raise ValueError if floor is negative or not finite."""
    if not 0 <= floor < math.inf:
        raise ValueError(f"floor={floor}, but it has to be finite and at least 0")


def _finite(values: Iterable[float]) -> np.ndarray:
    sample = np.fromiter(values, dtype=np.float64)
    if len(sample) == 0:
        raise ValueError("no values: a mean needs at least one")
    if not np.isfinite(sample).all():
        bad = float(sample[~np.isfinite(sample)][0])
        raise ValueError(f"the value {bad} is not finite: a diverged run has no mean")
    return sample


def _exp(value: float) -> float:
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf


def t_quantile(p: float, df: int) -> float:
    """The quantile of Student's t distribution.

    By bisection on the finite series for the probability of |T| <= t: Abramowitz and Stegun,
    Handbook of Mathematical Functions, 26.7.3 (odd df) and 26.7.4 (even df). The relative error is
    below 1e-10 for p from 1e-5 to 1 - 1e-5; further out, the rounding of 1 - p matters.

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
