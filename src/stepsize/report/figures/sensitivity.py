"""Sensitivity to the learning rate: final value against learning rate, by method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from stepsize.plots.style import GREY
from stepsize.report.figures.panel import Panel, large_panel, part, small_panel
from stepsize.report.figures.scales import (
    LineEnd,
    label_ends,
    limits,
    name_axes,
    name_small_axes,
    set_x,
    set_y,
)
from stepsize.report.line_styles import Look
from stepsize.report.task import LrCurve, Measure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MAX_IN_ONE = 5  # methods in one figure


class Sensitivity:
    """The learning-rate curves of a task.

    Args:
        curves: one per method.
        measure: the metric that ranks the task.
        looks: by method.
    """

    def __init__(
        self, curves: Sequence[LrCurve], measure: Measure, looks: Mapping[str, Look]
    ) -> None:
        self._curves = curves
        self._measure = measure
        self._looks = looks
        self._y = f"final {measure.tag}"
        entries = [entry for curve in curves for _, entry in curve.points]
        values = [value for entry in entries for value in entry.finals.values()]
        self._low, self._high = limits(measure.above_floor(np.array(values)), measure.log, 0.08)
        self._lrs = limits([lr for curve in curves for lr, _ in curve.points], True)

    @property
    def in_one(self) -> bool:
        """Whether one figure shows all methods."""
        return len(self._curves) <= _MAX_IN_ONE

    def overview(self, wide: bool) -> Panel:
        """All methods in one figure."""
        names = [curve.method for curve in self._curves]
        return large_panel(self._overview, wide, names, 380 if wide else 320, top=40)

    def panels(self) -> list[Panel]:
        """One small panel per method; all others are grey."""
        top = 44 if any(curve.on_edge for curve in self._curves) else 32
        return [small_panel(partial(self._panel, c), len(self._curves), top) for c in self._curves]

    def _overview(self, axes: Axes) -> None:
        self._scales(axes, 5)
        ends = [
            LineEnd(
                curve.points[-1][0], self._line(axes, curve), curve.method,
                self._looks[curve.method], curve.method,
            )
            for curve in self._curves
        ]  # fmt: skip
        name_axes(axes, "learning rate", self._y)
        label_ends(axes, ends, room=22)

    def _panel(self, curve: LrCurve, axes: Axes) -> None:
        self._scales(axes, 3)
        for other in self._curves:
            if other is not curve:
                axes.plot(*self._medians(other), color=GREY, linewidth=0.6, alpha=0.35, zorder=4)
        self._line(axes, curve, small=True)
        note = "best on an edge" if curve.on_edge else ""
        name_small_axes(axes, "learning rate", self._y, curve.method, note)

    def _scales(self, axes: Axes, ticks: int) -> None:
        set_y(axes, self._low, self._high, self._measure.log, ticks)
        set_x(axes, *self._lrs, log=True, maximum=ticks)

    def _medians(self, curve: LrCurve) -> tuple[np.ndarray, np.ndarray]:
        """Learning rates with a finite median, and these medians."""
        medians = np.array([entry.median for _, entry in curve.points])
        finite = np.isfinite(medians)
        lrs = np.array([lr for lr, _ in curve.points])
        return lrs[finite], self._measure.above_floor(medians[finite])

    def _line(self, axes: Axes, curve: LrCurve, small: bool = False) -> float:
        """Draw a method, and return the y for its name."""
        from matplotlib.transforms import offset_copy

        size = 3.5 if small else 5.5
        look = self._looks[curve.method]
        lrs, medians = self._medians(curve)
        axes.plot(
            lrs, medians, color=look.colour, linestyle=look.linestyle, dash_capstyle="butt",
            linewidth=1.8, marker=look.marker, markersize=size, zorder=5, clip_on=False,
            gid=part("curve", curve.method),
        )  # fmt: skip
        bad = self._high if self._measure.mode == "min" else self._low
        for lr, entry in curve.points:
            finals = np.array(list(entry.finals.values()))
            seeds = self._measure.above_floor(finals[np.isfinite(finals)])
            axes.plot(
                [lr] * len(seeds), seeds, color=look.colour, linestyle="none", marker="o",
                markersize=size * 0.6, alpha=0.4, markeredgewidth=0, zorder=3,
                gid=part("seeds", curve.method),
            )  # fmt: skip
            if len(seeds) < entry.n:
                # At the edge of the axes, because its height is no number. The crosses of several
                # methods at one learning rate are side by side.
                index = self._curves.index(curve)
                shift = 0 if small else 8 * (index - (len(self._curves) - 1) / 2)
                axes.plot(
                    lr, bad, color=look.colour, marker="x", markersize=size + 1.5, zorder=6,
                    markeredgewidth=1.6, clip_on=False, gid=part("mark", curve.method),
                    transform=offset_copy(
                        axes.transData, axes.get_figure(root=True), x=shift, units="points"
                    ),
                )  # fmt: skip
        if curve.is_known:
            best = lrs == curve.points[curve.best][0]
            axes.plot(
                lrs[best], medians[best], color=look.colour, marker="o",
                fillstyle="none", markersize=size * 2.3, markeredgewidth=1.3, zorder=6,
                clip_on=False, gid=part("mark", curve.method),
            )  # fmt: skip
        return medians[-1] if len(lrs) and lrs[-1] == curve.points[-1][0] else bad
