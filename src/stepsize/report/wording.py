"""How the report writes numbers, durations and lists: three significant digits."""

from __future__ import annotations

import math
from collections.abc import Sequence

from stepsize.stats.intervals import Interval
from stepsize.stats.paired import Paired

NOTHING = "\u2013"
INFINITE = "\u221e"


def number(value: float | None) -> str:
    """Three significant digits; as a power of ten outside of 0.001 to 10,000."""
    if value is None or math.isnan(value):
        return NOTHING
    if math.isinf(value):
        return INFINITE if value > 0 else f"-{INFINITE}"
    if value == 0:
        return "0"
    mantissa, power = f"{value:.2e}".split("e")
    exponent = int(power)
    if not -3 <= exponent < 4:
        return f"{mantissa}e{exponent}"
    return f"{value:.{max(2 - exponent, 0)}f}"


def bounds(interval: Interval | Paired | None) -> str:
    """The ends of an interval, in brackets; a dash without one."""
    if interval is None or interval.low is None or interval.high is None or interval.n < 2:
        return NOTHING
    low, high = (_unlike_1(end) for end in (interval.low, interval.high))
    return f"[{low}, {high}]"


def _unlike_1(value: float) -> str:
    """A number that reads as 1 only if it is 1, because a ratio of 1 is no difference."""
    if value == 1 or abs(value - 1) >= 0.005:
        return number(value)
    return next(text for digits in range(3, 18) if float(text := f"{value:.{digits}f}") != 1)


def steps(value: float | None) -> str:
    """A number of steps, with commas at the thousands."""
    if value is None or math.isnan(value):
        return NOTHING
    return INFINITE if math.isinf(value) else f"{value:,.0f}"


def seconds(value: float | None) -> str:
    """A duration in seconds, minutes or hours."""
    if value is None or math.isnan(value):
        return NOTHING
    if value < 60:
        return f"{value:.1f} s" if value < 10 else f"{value:.0f} s"
    if value < 3600:
        return f"{value / 60:.0f} min"
    return f"{value / 3600:.1f} h"


def count(amount: int, noun: str, plural: str | None = None) -> str:
    """``1 run``, ``3 runs``."""
    return f"{amount:,} {noun if amount == 1 else plural or noun + 's'}"


def listed(names: Sequence[str], maximum: int = 6) -> str:
    """``a, b and c``; of many, the first ones and the number of the others."""
    if len(names) > maximum + 1:
        return f"{', '.join(names[:maximum])} and {len(names) - maximum} more"
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"


def code(names: Sequence[str]) -> list[str]:
    """Each name between backticks, which is code in Markdown."""
    return [f"`{name}`" for name in names]


def times(ratio: float, ends: tuple[float, float], mode: str, whom: str = "") -> str:
    """A ratio in words: ``2.1 times lower (95% interval 1.9 to 2.3 times)``.

    Args:
        ratio: better value / other value.
        ends: of the interval of the ratio.
        mode: "min" if the lower value is better.
        whom: text after "lower", such as " than adam".
    """
    word = "lower" if mode == "min" else "higher"
    values = (ratio, *sorted(ends, reverse=mode == "min"))
    if (1 / ratio if mode == "min" else ratio) >= 1.5:
        middle, low, high = (number(1 / v if mode == "min" else v) for v in values)
        return f"{middle} times {word}{whom} (95% interval {low} to {high} times)"
    middle, low, high = (f"{100 * abs(1 - value):.2g}%" for value in values)
    return f"{middle} {word}{whom} (95% interval {low} to {high})"


def p_value(p: float | None) -> str:
    """Two significant digits; a bound below 1 in 10,000."""
    if p is None:
        return NOTHING
    return "<0.0001" if p < 1e-4 else f"{p:.2g}"
