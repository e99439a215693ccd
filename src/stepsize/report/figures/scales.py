"""Axes with few ticks, plain numbers, and line names that do not overlap."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from stepsize.plots.style import FAINT, GREY, INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from stepsize.report.line_styles import Look

_SUPERSCRIPT = str.maketrans(
    "-0123456789", "\u207b\u2070\xb9\xb2\xb3\u2074\u2075\u2076\u2077\u2078\u2079"
)


def tick_texts(ticks: Sequence[float], log: bool) -> list[str]:
    """``0.01``, ``1``, ``2,000``; on a log axis with a wide range, all are powers of ten."""
    far = log and any(not 1e-3 <= tick < 1e4 for tick in ticks)
    return [_power_text(tick) if far else _tick_text(tick) for tick in ticks]


def _tick_text(value: float) -> str:
    if value and not 1e-3 <= abs(value) < 1e5:
        return _power_text(value)
    return f"{value:,.10g}" if abs(value) >= 1000 else f"{value:.10g}"


def _power_text(value: float) -> str:
    exponent = math.floor(math.log10(abs(value)) + 1e-9)
    mantissa = round(value / 10.0**exponent, 6)
    if exponent == 0:
        return f"{mantissa:.3g}"
    power = f"10{str(exponent).translate(_SUPERSCRIPT)}"
    return power if mantissa == 1 else f"{mantissa:.3g}\u00b7{power}"


def log_ticks(low: float, high: float, most: int) -> list[float]:
    """About ``most`` ticks at powers of ten; on a short range 1, 2, 3, 5 and 7 times them."""
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    if last - first >= 1:
        stride = max(1, math.ceil((last - first + 1) / most))
        return [10.0**e for e in range(first, last + 1) if (last - e) % stride == 0]
    series = [m * 10.0**e for e in range(first - 1, last + 1) for m in (1, 2, 3, 5, 7)]
    inside = [tick for tick in series if low <= tick <= high]
    return inside if len(inside) > 1 else _plain_ticks(low, high, most)


def set_y(axes: Axes, low: float, high: float, log: bool, most: int = 5) -> None:
    """Set limits, scale and ticks of the y axis, with a faint grid."""
    _set(axes, "y", low, high, log, most)
    axes.grid(axis="y", color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)


def set_x(axes: Axes, low: float, high: float, log: bool, most: int = 5) -> None:
    """Set limits, scale and ticks of the x axis."""
    _set(axes, "x", low, high, log, most)


def set_steps(axes: Axes, last: float, most: int = 5) -> None:
    """Make x an axis of optimizer steps from 0."""
    axes.set_xlim(0, last)
    ticks = _plain_ticks(0, last, most)
    axes.set_xticks(ticks, [f"{tick:,.0f}" for tick in ticks])


def _plain_ticks(low: float, high: float, most: int) -> list[float]:
    from matplotlib.ticker import MaxNLocator

    ticks = MaxNLocator(nbins=most, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    return [float(tick) for tick in ticks if low <= tick <= high]


def _set(axes: Axes, which: str, low: float, high: float, log: bool, most: int) -> None:
    from matplotlib.ticker import NullLocator

    if log:
        getattr(axes, f"set_{which}scale")("log")
    getattr(axes, f"set_{which}lim")(low, high)
    ticks = log_ticks(low, high, most) if log else _plain_ticks(low, high, most)
    getattr(axes, f"set_{which}ticks")(ticks, tick_texts(ticks, log))
    getattr(axes, f"{which}axis").set_minor_locator(NullLocator())


def title(axes: Axes, strong: str, soft: str = "", size: float = 11.0) -> None:
    """Write a bold title above the axes, and a grey note at its right end."""
    for text, x, weight, colour, side in (
        (strong, 0, "bold", INK, "left"),
        (soft, 1, "normal", GREY, "right"),
    ):
        if text:
            axes.annotate(
                text, (x, 1), xytext=(0, 8), xycoords="axes fraction", textcoords="offset points",
                fontsize=size - x, fontweight=weight, color=colour, ha=side,
            )  # fmt: skip


def label_ends(
    axes: Axes, ends: Sequence[tuple[float, float, str, Look]], *, room: int, size: float = 11.0
) -> None:
    """Write the names of lines to the right of the axes, each connected with its line.

    Args:
        axes: with limits already set.
        ends: last x and y of each line in data coordinates, its name, its style.
        room: pixels between the axes and the names, for the connecting lines.
        size: of the names, in pixels.
    """
    figure = axes.get_figure(root=True)
    assert figure is not None
    box = axes.get_position()
    width, height = (72 * inches for inches in figure.get_size_inches())
    width, height = width * box.width, height * box.height
    to_axes = axes.transData + axes.transAxes.inverted()
    at = [to_axes.transform((x, y)) for x, y, _, _ in ends]
    points = [(float(x) * width, min(max(float(y), 0.0), 1.0) * height) for x, y in at]
    places = spread([y for _, y in points], size + 2.5, height)
    for (_, _, name, look), (x, y), place in zip(ends, points, places, strict=True):
        corner = (x / width, y / height)
        away = (width - x + room, place - y)
        axes.annotate(
            name, corner, xytext=away, xycoords="axes fraction", textcoords="offset points",
            va="center_baseline", fontsize=size, color=INK,
        )  # fmt: skip
        axes.annotate(
            "", corner, xytext=(away[0] - 2, away[1]), xycoords="axes fraction",
            textcoords="offset points", annotation_clip=False,
            arrowprops={
                "arrowstyle": "-", "color": look.colour, "linewidth": 1.0, "shrinkA": 0,
                "shrinkB": 1, "alpha": 0.7,
            },
        )  # fmt: skip


def spread(wanted: Sequence[float], apart: float, height: float) -> list[float]:
    """The positions nearest to the wanted ones, in their order, at least ``apart`` apart.

    Positions that are too close form a block around the mean of the wanted ones, and overlapping
    blocks merge (the pool adjacent violators algorithm). If ``height`` is too small for all, the
    distance between them shrinks.
    """
    if not wanted:
        return []
    apart = min(apart, height / max(len(wanted) - 1, 1))
    order = sorted(range(len(wanted)), key=lambda index: wanted[index])
    blocks: list[list[float]] = []  # [sum of the wanted lower ends, members]
    for rank, index in enumerate(order):
        blocks.append([wanted[index] - rank * apart, 1])
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] > blocks[-1][0] / blocks[-1][1]:
            total, members = blocks.pop()
            blocks[-1][0] += total
            blocks[-1][1] += members
    lows = [total / members for total, members in blocks for _ in range(int(members))]
    limit = height - (len(wanted) - 1) * apart
    places = [0.0] * len(wanted)
    for rank, index in enumerate(order):
        places[index] = min(max(lows[rank], 0.0), limit) + rank * apart
    return places


def limits(values: Iterable[float], log: bool, pad: float = 0.06) -> tuple[float, float]:
    """The lowest and the highest finite value, with padding.

    On a log axis only values above 0 count. A single value is padded by half of itself on a log
    axis, else by a tenth.
    """
    kept = [v for v in values if math.isfinite(v) and (v > 0 or not log)]
    low, high = (min(kept), max(kept)) if kept else (1.0, 1.0)
    if log:
        if high / low < 1.05:
            return low / 1.5, high * 1.5
        air = (high / low) ** pad
        return low / air, high * air
    air = (high - low) * pad if high > low else max(abs(high) * 0.1, 1e-12)
    return low - air, high + air
