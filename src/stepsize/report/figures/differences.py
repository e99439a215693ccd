"""Paired differences against a baseline: a forest plot with 95% intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from stepsize.plots.style import FAINT, GREY, INK
from stepsize.report.figures.panel import LOG_SCALE, NARROW, WIDE, Panel
from stepsize.report.figures.scales import limits, set_x
from stepsize.report.line_styles import Look
from stepsize.stats.paired import Paired

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ROW = 22


class Differences:
    """Rows of a forest plot.

    Args:
        rows: label, look, comparison and whether it is significant; from the top down.
        baseline: label of the baseline.
        tag: the compared metric.
    """

    def __init__(
        self, rows: Sequence[tuple[str, Look, Paired, bool]], baseline: str, tag: str
    ) -> None:
        self._rows = rows
        self._ratio = all(pair.scale == "ratio" for _, _, pair, _ in rows)
        self._baseline = baseline
        self._tag = tag

    @property
    def there_are_any(self) -> bool:
        """Whether any row has an interval, all of one scale."""
        shown = [p for _, _, p, _ in self._rows if p.low is not None and p.n > 1]
        return bool(shown) and (self._ratio or all(p.scale == "difference" for p in shown))

    def figure(self, wide: bool) -> Panel:
        """The forest plot, with labels at the left."""
        left = 14 + int(6.6 * max(len(row[0]) for row in self._rows))
        size = (WIDE if wide else NARROW, _ROW * len(self._rows) + 50)
        return Panel(self._draw, *size, (min(left, size[0] // 2), 16, 12, 38))

    def _draw(self, axes: Axes) -> None:
        low, high = self._limits()
        centre = 1.0 if self._ratio else 0.0
        set_x(axes, low, high, self._ratio, 5)
        axes.set_ylim(len(self._rows) - 0.5, -0.5)
        axes.axvline(centre, color=GREY, linewidth=1.0, zorder=1)
        for place, (_, look, pair, claimed) in enumerate(self._rows):
            self._row(axes, place, look, pair, claimed, (low, high))
        axes.set_yticks(range(len(self._rows)), [row[0] for row in self._rows])
        axes.tick_params(axis="y", length=0, labelsize=11, labelcolor=INK)
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x", color=FAINT, linewidth=0.6)
        axes.set_axisbelow(True)
        how = "ratio to" if self._ratio else "difference from"
        scale = LOG_SCALE if self._ratio else ""
        axes.set_xlabel(f"{self._tag}: {how} {self._baseline}{scale}", color=GREY)

    def _limits(self) -> tuple[float, float]:
        """Limits around all estimates and intervals; intervals far wider than the rest are cut."""
        convert = (lambda value: math.log(max(value, 1e-300))) if self._ratio else float
        shown = [pair for _, _, pair, _ in self._rows if pair.low is not None and pair.n > 1]
        middles = [0.0, *(convert(pair.ratio_or_difference or 0.0) for pair in shown)]
        span = max(max(middles) - min(middles), 1e-3 if self._ratio else 0.0)
        reach = (min(middles) - span, max(middles) + span)
        ends = [convert(end) for pair in shown for end in (pair.low or 0.0, pair.high or 0.0)]
        inside = [min(max(end, reach[0]), reach[1]) for end in ends]
        low, high = limits([*middles, *inside], False)
        return (math.exp(low), math.exp(high)) if self._ratio else (low, high)

    def _row(
        self, axes: Axes, place: int, look: Look, pair: Paired, claimed: bool,
        ends: tuple[float, float],
    ) -> None:  # fmt: skip
        if pair.low is None or pair.high is None or pair.n < 2:
            why = f"{pair.lost_to_divergence} of {pair.n} diverged" if pair.n > 1 else "one seed"
            axes.annotate(
                f"no interval: {why}", (0.5, place), xycoords=("axes fraction", "data"),
                ha="center", va="center_baseline", color=GREY, fontsize=10,
            )  # fmt: skip
            return
        low, high = max(pair.low, ends[0]), min(pair.high, ends[1])
        axes.plot([low, high], [place, place], color=look.colour, linewidth=2.0, zorder=3)
        axes.plot(
            [pair.ratio_or_difference or 0.0], [place], marker=look.marker, color=look.colour,
            markersize=7, markerfacecolor=look.colour if claimed else "white",
            markeredgewidth=1.6, zorder=4,
        )  # fmt: skip
