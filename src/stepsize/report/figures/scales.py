"""Readable axes: few ticks, plain numbers, and line names that do not overlap."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from stepsize.plots.style import FAINT, GREY, INK
from stepsize.report.figures.panel import LOG_SCALE, part

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.ticker import Locator

    from stepsize.report.line_styles import Look

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def set_y(axes: Axes, low: float, high: float, log: bool, maximum: int = 5) -> None:
    """Set limits, scale, at most about ``maximum`` ticks, and faint grid lines."""
    _set(axes, "y", low, high, log, maximum, least=3 if maximum > 3 else 2)
    axes.grid(axis="y", color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)


def set_x(axes: Axes, low: float, high: float, log: bool, maximum: int = 5) -> None:
    """Set limits, scale and at most about ``maximum`` ticks."""
    _set(axes, "x", low, high, log, maximum, least=2)


def _set(
    axes: Axes, which: str, low: float, high: float, log: bool, maximum: int, least: int
) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    if log:
        getattr(axes, f"set_{which}scale")("log")
    getattr(axes, f"set_{which}lim")(low, high)
    ticks = _ticks(low, high, log, maximum, least)
    powers = log and any(not 1e-3 <= tick < 1e4 for tick in ticks)
    axis = getattr(axes, f"{which}axis")
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_major_formatter(FuncFormatter(lambda tick, _: _tick_text(tick, powers)))
    axis.set_minor_locator(NullLocator())


def _ticks(low: float, high: float, log: bool, maximum: int, least: int) -> list[float]:
    """Powers of ten; over a short range 1, 2, 3, 5 and 7 times them, or ticks of a linear axis."""
    from matplotlib.ticker import LogLocator, MaxNLocator

    locators: list[Locator] = [MaxNLocator(nbins=maximum, steps=[1, 2, 2.5, 5, 10])]
    if log and high / low > 3:
        locators.insert(0, LogLocator(subs=(1, 2, 3, 5, 7), numticks=maximum + 1))
    if log:
        locators.insert(0, LogLocator(numticks=maximum + 1))
    found: list[float] = []
    for locator in locators:
        ticks = map(float, locator.tick_values(low, high))
        found = [tick for tick in ticks if low <= tick <= high]
        if len(found) >= least:
            break
    return found


def _tick_text(tick: float, power: bool) -> str:
    """``0.01``, ``1``, ``2,000``; or a power of ten."""
    if not power and (tick == 0 or 1e-3 <= abs(tick) < 1e5):
        return f"{tick:,.10g}"
    mantissa, exponent = f"{tick:.2e}".split("e")
    factor = f"{float(mantissa):g}"
    if int(exponent) == 0:
        return factor
    text = f"10{str(int(exponent)).translate(_SUPERSCRIPT)}"
    return text if factor == "1" else f"{factor}·{text}"


def name_axes(axes: Axes, x: str, y: str, note: str = "") -> None:
    """Write the names of both axes of a large figure, y's above its axis, and a note at the right.

    Where the axis is logarithmic, its name says so.
    """
    axes.set_xlabel(x + _log(axes.get_xscale()), color=GREY)
    axes.set_ylabel(
        y + _log(axes.get_yscale()), rotation=0, ha="left", va="bottom", fontsize=12,
        fontweight="bold", color=INK,
    )  # fmt: skip
    axes.yaxis.set_label_coords(0.0, 1.0 + 9.0 / _pixels(axes)[1])
    axes.annotate(
        note, (1.0, 1.0), xytext=(0, 9), xycoords="axes fraction", textcoords="offset points",
        ha="right", va="bottom", fontsize=10, color=GREY,
    )  # fmt: skip


def name_small_axes(axes: Axes, x: str, y: str, strong: str, soft: str = "") -> None:
    """Write the names of both axes of a small panel, its own name, and a note below the name."""
    width = _pixels(axes)[0]
    axes.set_xlabel(x, color=GREY, fontsize=9.5, labelpad=2)
    axes.set_ylabel(y, color=GREY, fontsize=9.5, va="bottom")
    axes.yaxis.set_label_coords(-32.0 / width, 0.5)
    for text, size, weight, up in ((strong, 11.0, "bold", 20 if soft else 8), (soft, 10, None, 7)):
        axes.annotate(
            text, (0.0, 1.0), xytext=(0, up), xycoords="axes fraction", textcoords="offset points",
            fontsize=min(size, width / (0.62 * max(len(text), 1))), fontweight=weight,
            color=INK if weight else GREY,
        )  # fmt: skip


def _log(scale: str) -> str:
    return LOG_SCALE if scale == "log" else ""


class LineEnd(NamedTuple):
    """The end of a line, which gets a name.

    Attributes:
        x: in data coordinates.
        y: in data coordinates.
        name: to write.
        look: of the line.
        line: label of its hyperparameter setting; "" for a line of none.
    """

    x: float
    y: float
    name: str
    look: Look
    line: str


def label_ends(axes: Axes, ends: Sequence[LineEnd], *, room: int, size: float = 11.0) -> None:
    """Write names of lines at the right of the axes, each connected to the end of its line.

    Args:
        axes: with their limits set.
        ends: of the lines.
        room: pixels between the axes and the names.
        size: of the names, in pixels.
    """
    width, height = _pixels(axes)
    to_axes = axes.transData + axes.transAxes.inverted()
    points = [to_axes.transform((end.x, end.y)).clip((-1, 0), (2, 1)) for end in ends]
    places = spread([y * height for _, y in points], size + 2.5, height)
    for end, (x, y), place in zip(ends, points, places, strict=True):
        axes.annotate(
            end.name, (x, y), xytext=((1 - x) * width + room, place - y * height),
            xycoords="axes fraction", textcoords="offset points", annotation_clip=False,
            va="center_baseline", fontsize=size, color=INK if end.line else GREY,
            gid=part("label", end.line),
            arrowprops={
                "arrowstyle": "-", "color": end.look.colour, "linewidth": 1.0, "shrinkA": 2,
                "shrinkB": 1, "alpha": 0.7, "relpos": (0, 0.5), "gid": part("mark", end.line),
            },
        )  # fmt: skip


def _pixels(axes: Axes) -> tuple[float, float]:
    """Width and height of the axes without their names."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    box = axes.get_position()
    width, height = figure.get_size_inches() * 72 * (box.width, box.height)
    return float(width), float(height)


def spread(wanted: Sequence[float], distance: float, height: float) -> list[float]:
    """Positions in [0, height] closest to the wanted ones, in their order, ``distance`` apart.

    Isotonic regression of the wanted positions (least squares), by its min-max formula. If they do
    not all fit, the distance is smaller.
    """
    n = len(wanted)
    distance = min(distance, height / max(n - 1, 1))
    order = sorted(range(n), key=lambda index: wanted[index])
    lows = [wanted[index] - rank * distance for rank, index in enumerate(order)]
    limit = height - (n - 1) * distance
    places = [0.0] * n
    for rank, index in enumerate(order):
        best = max(
            min(math.fsum(lows[start:end]) / (end - start) for end in range(rank + 1, n + 1))
            for start in range(rank + 1)
        )
        places[index] = min(max(best, 0.0), limit) + rank * distance
    return places


def limits(values: Iterable[float], log: bool, pad: float = 0.06) -> tuple[float, float]:
    """The lowest and the highest finite value, with a margin.

    On a log axis only values above 0 count. Without any value, or with a single one, the limits are
    around it.
    """
    kept = [v for v in values if math.isfinite(v) and (v > 0 or not log)]
    low, high = (min(kept), max(kept)) if kept else (1.0, 1.0)
    if log:
        if high / low < 1.05:
            return low / 1.5, high * 1.5
        margin = (high / low) ** pad
        return low / margin, high * margin
    margin = (high - low) * pad if high > low else max(abs(high) * 0.1, 1e-12)
    return low - margin, high + margin
