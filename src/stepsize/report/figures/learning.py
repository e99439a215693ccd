"""Learning curves: each seed as a thin line, the median over seeds as a bold one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from stepsize.plots.style import GREY
from stepsize.report.curves import CurveReader, median_curve, thinned
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
from stepsize.report.labels import Setting, shown_number
from stepsize.report.line_styles import Look, ordered_looks
from stepsize.report.read import RunRow
from stepsize.report.task import Entry, TaskComparison
from stepsize.report.wording import count

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_STEPS = "optimizer steps"
_MAX_NAMED = 8  # lines with a name in one figure; further ones are grey
_MAX_WITH_SEEDS = 4  # lines in one figure up to which every seed is drawn beside its median


class LearningCurves:
    """The learning curves of a task.

    Attributes:
        leaders: the best setting of each method that has a curve, best first.
        looks: by hyperparameter setting.
        target: the value that is drawn as a line; None without one, or if it is so far from all
            curves that they would be flat.

    Args:
        comparison: the task.
        curves_of: reads the curves of its runs.
        by_method: the look of each method.
        target: value of the metric to draw as a line; None for no line.
    """

    def __init__(
        self,
        comparison: TaskComparison,
        curves_of: CurveReader,
        by_method: Mapping[str, Look],
        target: float | None = None,
    ) -> None:
        self._measure = comparison.measure
        self._curves_of = curves_of
        self.leaders = [entry for entry in comparison.leaders if self._drawn(entry)]
        self._all = [entry for entry in comparison.entries if self._drawn(entry)]
        self._end = max((entry.steps for entry in self.leaders), default=0)
        self._medians = {entry.setting: self._median(entry) for entry in self._all}
        self.looks = {
            entry.setting: by_method[entry.setting.method] for entry in comparison.entries
        }
        self._one_method = len({entry.setting.method for entry in self.leaders}) == 1
        if self._one_method and len(self.leaders) > 1:
            # Values of one method have an order, and colours that follow it.
            ordered = sorted((entry.setting for entry in self.leaders), key=_sortable)
            self.looks |= dict(zip(ordered, ordered_looks(len(ordered)), strict=True))
        self._low, self._high = self._limits()
        self.target = self._include(target) if self.leaders else None

    @property
    def hidden(self) -> int:
        """The number of leaders that are grey in the overview."""
        return max(len(self.leaders) - _MAX_NAMED, 0)

    @property
    def seeds_in_overview(self) -> bool:
        """Whether the overview shows every seed, so that no panels are needed."""
        return len(self.leaders) <= _MAX_WITH_SEEDS

    def overview(self, wide: bool) -> Panel:
        """All leaders in one figure."""
        names = [self._name(entry, wide) for entry in self.leaders[:_MAX_NAMED]]
        names += [] if self.target is None else [self._target_name]
        return large_panel(partial(self._overview, wide), wide, names, 400 if wide else 330)

    def panels(self) -> list[Panel]:
        """One small panel per leader; the medians of all others are grey."""
        top = 26 if self._one_method or not any(_split(e)[1] for e in self.leaders) else 40
        return [small_panel(partial(self._panel, e), len(self.leaders), top) for e in self.leaders]

    def _overview(self, wide: bool, axes: Axes) -> None:
        named, others = self.leaders[:_MAX_NAMED], self.leaders[_MAX_NAMED:]
        for entry in others:
            steps, values = self._medians[entry.setting]
            finite = np.isfinite(values)
            axes.plot(
                *thinned(steps[finite], values[finite], 50), color=GREY, linewidth=0.7, alpha=0.5,
                zorder=2, gid=part("curve", entry.setting.label),
            )  # fmt: skip
        if self.seeds_in_overview:
            for entry in named:
                self._seeds(axes, entry)
        ends = [
            LineEnd(
                self._end, self._line(axes, entry), self._name(entry, wide),
                self.looks[entry.setting], entry.setting.label,
            )
            for entry in reversed(named)
        ]  # fmt: skip
        self._scales(axes, 5)
        ends += self._draw_target(axes)
        seeds = max(entry.n for entry in named)
        note = f"median of {count(seeds, 'seed')}" if wide and seeds > 1 else ""
        name_axes(axes, _STEPS, self._measure.tag, note)
        label_ends(axes, ends, room=22)

    def _panel(self, entry: Entry, axes: Axes) -> None:
        self._grey(axes, [other for other in self.leaders if other is not entry], 0.35)
        for other in self._all:
            if other.setting.method == entry.setting.method and other is not entry:
                self._line(axes, other, 0.8, alpha=0.4)
        self._seeds(axes, entry)
        self._line(axes, entry)
        self._scales(axes, 3)
        self._draw_target(axes)
        names = _split(entry)
        if self._one_method:
            names = (names[1] or names[0], "")
        name_small_axes(axes, _STEPS, self._measure.tag, *names)

    def _scales(self, axes: Axes, ticks: int) -> None:
        set_y(axes, self._low, self._high, self._measure.log, ticks)
        set_x(axes, 0, max(self._end, 1), False, ticks)

    def _draw_target(self, axes: Axes) -> list[LineEnd]:
        """A dotted line across the axes."""
        if self.target is None:
            return []
        look = Look(GREY, (1.0, 2.0), "")
        axes.axhline(self.target, color=GREY, linewidth=1.0, linestyle=look.linestyle, zorder=3)
        return [LineEnd(self._end, self.target, self._target_name, look, "")]

    @property
    def _target_name(self) -> str:
        return f"target {shown_number(str(self.target))}"

    def _grey(self, axes: Axes, entries: Sequence[Entry], alpha: float) -> None:
        """Draw medians as a background."""
        medians = [self._medians[entry.setting] for entry in entries]
        _lines(axes, medians, 50, colors=GREY, linewidths=0.7, alpha=alpha, zorder=2)

    def _line(self, axes: Axes, entry: Entry, width: float = 2.0, alpha: float = 1.0) -> float:
        """Draw a median, and return its last y: the bad end of the axes if it is infinite."""
        steps, values = self._medians[entry.setting]
        look = self.looks[entry.setting]
        finite = np.isfinite(values)
        axes.plot(
            *thinned(steps[finite], values[finite]), color=look.colour, alpha=alpha,
            linewidth=width, linestyle=look.linestyle, dash_capstyle="butt", zorder=4,
            gid=part("curve", entry.setting.label),
        )  # fmt: skip
        if finite.all():
            return float(values[-1]) if len(values) else self._high
        self._cross(axes, steps[finite], values[finite], entry, 6, alpha)
        return self._high if self._measure.mode == "min" else self._low

    def _cross(
        self, axes: Axes, steps: np.ndarray, values: np.ndarray, entry: Entry, size: float,
        alpha: float,
    ) -> None:  # fmt: skip
        """Mark the last finite value before a divergence, inside the axes in any case."""
        axes.plot(
            steps[-1:], np.clip(values[-1:], self._low, self._high), marker="x",
            color=self.looks[entry.setting].colour, alpha=alpha, markersize=size,
            markeredgewidth=0.3 * size, clip_on=False, zorder=5,
            gid=part("mark", entry.setting.label),
        )  # fmt: skip

    def _seeds(self, axes: Axes, entry: Entry) -> None:
        colour = self.looks[entry.setting].colour
        runs = self._drawn(entry)
        curves = [self._curves_of(run)[self._measure.tag] for run in runs]
        shown = [(steps, self._measure.above_floor(values)) for steps, values in curves]
        _lines(
            axes, shown, 120, colors=colour, linewidths=0.7, alpha=0.35, zorder=3,
            gid=part("seeds", entry.setting.label),
        )  # fmt: skip
        for run, (steps, values) in zip(runs, shown, strict=True):
            if run.status == "diverged":
                finite = np.isfinite(values)
                self._cross(axes, steps[finite], values[finite], entry, 4, 0.7)

    def _median(self, entry: Entry) -> tuple[np.ndarray, np.ndarray]:
        tag, mode = self._measure.tag, self._measure.mode
        steps, values = median_curve(self._drawn(entry), self._curves_of, tag, mode, self._end)
        return steps, self._measure.above_floor(values)

    def _drawn(self, entry: Entry) -> list[RunRow]:
        tag, empty = self._measure.tag, ((), ())
        return [
            run
            for run in entry.runs
            if run.finished and len(self._curves_of(run).get(tag, empty)[0])
        ]

    def _limits(self) -> tuple[float, float]:
        """From the lowest median to the highest start; a median that explodes is cut."""
        medians = [self._medians[entry.setting][1] for entry in self.leaders]
        finite = [values[np.isfinite(values)] for values in medians]
        finite = [values for values in finite if len(values)]
        if self._measure.mode == "max" or not finite:
            ends = [v for values in finite for v in (values.min(), values.max())]
            return limits(ends, self._measure.log)
        highest = 10 * float(np.median([abs(values[0]) for values in finite]))
        ends = [v for values in finite for v in (values.min(), min(values.max(), highest))]
        return limits(ends, self._measure.log)

    def _include(self, target: float | None) -> float | None:
        """Widen the limits for the target, up to twice their length."""
        if target is None or (self._measure.log and target <= 0):
            return None
        convert = math.log if self._measure.log else float
        low, high = limits([self._low, self._high, target], self._measure.log, 0.03)
        if convert(high) - convert(low) > 2 * (convert(self._high) - convert(self._low)):
            return None
        if not self._low < target < self._high:
            self._low, self._high = min(self._low, low), max(self._high, high)
        return target

    def _name(self, entry: Entry, wide: bool) -> str:
        method, numbers = _split(entry)
        diverged = "" if math.isfinite(entry.median) or not entry.n else " \u00d7"
        if self._one_method:
            return (numbers or method) + diverged
        return (entry.setting.label if wide else method) + diverged


def _split(entry: Entry) -> tuple[str, str]:
    """The method and the rest of a setting's label."""
    method = entry.setting.method
    return method, entry.setting.label.removeprefix(method).strip()


def _lines(
    axes: Axes, curves: Sequence[tuple[np.ndarray, np.ndarray]], points: int, **style: Any
) -> None:
    """Draw many lines of one style as one collection, which is several times as fast."""
    from matplotlib.collections import LineCollection

    finite = [(steps, values, np.isfinite(values)) for steps, values in curves]
    thin = [thinned(steps[known], values[known], points) for steps, values, known in finite]
    axes.add_collection(LineCollection([np.column_stack(line) for line in thin], **style))


def _sortable(setting: Setting) -> list[tuple[int, float, str]]:
    """A key for sorting: numbers by size, before text by the alphabet."""
    keys = []
    for _, text in setting.values:
        try:
            keys.append((0, float(text), ""))
        except ValueError:
            keys.append((1, 0.0, text))
    return keys
