"""The figure of final value against learning rate, both on a log scale."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from stepsize.plots.style import GREY
from stepsize.report.figures.panel import Panel
from stepsize.report.figures.scales import label_ends, limits, set_x, set_y, title
from stepsize.report.line_styles import Look
from stepsize.report.task import LrCurve, Measure, on_edge

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_TOGETHER = 5  # methods up to which one figure shows them all


class Sensitivity:
    """Final value against learning rate, for each method of a task.

    Args:
        curves: one per method.
        measure: the metric that ranks the settings.
        looks: by method.
    """

    def __init__(
        self, curves: Sequence[LrCurve], measure: Measure, looks: Mapping[str, Look]
    ) -> None:
        self.curves = curves
        self._measure = measure
        self._looks = looks
        self._edges = {curve.method for curve in on_edge(curves)}
        entries = [entry for curve in curves for _, entry in curve.points]
        values = [value for entry in entries for value in entry.finals.values()]
        self._low, self._high = limits(map(self._shown, values), measure.log, 0.08)
        self._lrs = limits([lr for curve in curves for lr, _ in curve.points], True)

    @property
    def in_one(self) -> bool:
        """Whether one figure shows all methods."""
        return len(self.curves) <= _TOGETHER

    def overview(self, wide: bool) -> Panel:
        """All methods in one figure."""
        right = 34 + int(6.6 * max(len(curve.method) for curve in self.curves))
        size = (880, 380) if wide else (390, 320)
        return Panel(self._overview, *size, (46, right, 40, 40))

    def panels(self) -> list[Panel]:
        """One small panel per method, before all others in grey."""
        return [
            Panel(partial(self._panel, curve), 210, 165, (38, 18, 32, 22)) for curve in self.curves
        ]

    def _overview(self, axes: Axes) -> None:
        self._scales(axes, 5)
        ends = []
        for curve in self.curves:
            end = self._line(axes, curve, self._looks[curve.method].colour, small=False)
            ends.append((curve.points[-1][0], end, curve.method, self._looks[curve.method]))
        axes.set_xlabel("learning rate", color=GREY)
        title(axes, f"final {self._measure.tag}", "", 12)
        label_ends(axes, ends, room=22)

    def _panel(self, curve: LrCurve, axes: Axes) -> None:
        self._scales(axes, 3)
        for other in self.curves:
            if other is not curve:
                self._medians(axes, other, GREY, 0.6, 0.35)
        self._line(axes, curve, self._looks[curve.method].colour, small=True)
        title(axes, curve.method, "best on an edge" if curve.method in self._edges else "")

    def _scales(self, axes: Axes, ticks: int) -> None:
        set_y(axes, self._low, self._high, self._measure.log, ticks)
        set_x(axes, *self._lrs, log=True, most=ticks)

    def _medians(
        self, axes: Axes, curve: LrCurve, colour: str, width: float, alpha: float
    ) -> tuple[list[float], list[float]]:
        known = [(lr, self._shown(entry.median)) for lr, entry in curve.points if entry.n]
        finite = [(lr, value) for lr, value in known if math.isfinite(value)]
        lrs, values = [lr for lr, _ in finite], [value for _, value in finite]
        look = self._looks[curve.method]
        axes.plot(
            lrs, values, color=colour, linewidth=width, alpha=alpha, zorder=4,
            linestyle="-" if colour == GREY else look.linestyle, dash_capstyle="butt",
        )  # fmt: skip
        return lrs, values

    def _line(self, axes: Axes, curve: LrCurve, colour: str, small: bool) -> float:
        """Draw a method; returns the y of the end of its line."""
        from matplotlib.transforms import offset_copy

        size = 3.5 if small else 5.5
        lrs, values = self._medians(axes, curve, colour, 1.8, 1.0)
        axes.plot(
            lrs, values, color=colour, linestyle="none", marker=self._looks[curve.method].marker,
            markersize=size, zorder=5, clip_on=False,
        )  # fmt: skip
        bad = self._high if self._measure.mode == "min" else self._low
        for lr, entry in curve.points:
            seeds = [self._shown(v) for v in entry.finals.values() if math.isfinite(v)]
            axes.plot(
                [lr] * len(seeds), seeds, color=colour, linestyle="none", marker="o",
                markersize=size * 0.6, alpha=0.4, markeredgewidth=0, zorder=3,
            )  # fmt: skip
            lost = entry.n - len(seeds)
            if lost:
                # A diverged run has no number, so its cross is at the edge of the axes. Crosses of
                # several methods at one learning rate are side by side.
                beside = 0 if small else 8 * (self.curves.index(curve) - (len(self.curves) - 1) / 2)
                axes.plot(
                    lr, bad, color=colour, marker="x", markersize=size + 1.5, zorder=6,
                    markeredgewidth=1.6, clip_on=False, transform=offset_copy(
                        axes.transData, axes.get_figure(root=True), x=beside, units="points"
                    ),
                )  # fmt: skip
        if curve.is_known:
            lr, entry = curve.points[curve.best]
            axes.plot(
                lr, self._shown(entry.median), color=colour, marker="o", fillstyle="none",
                markersize=size * 2.3, markeredgewidth=1.3, zorder=6, clip_on=False,
            )  # fmt: skip
        if values and lrs[-1] == curve.points[-1][0]:
            return values[-1]
        return bad

    def _shown(self, value: float) -> float:
        return max(value, self._measure.floor) if self._measure.floor else value
