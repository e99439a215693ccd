"""The figure of learning curves: each seed as a thin line, the median over seeds bold."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from stepsize.plots.style import GREY
from stepsize.report.curves import CurveReader, median_curve, thinned
from stepsize.report.figures.panel import Panel
from stepsize.report.figures.scales import label_ends, limits, set_steps, set_y, title
from stepsize.report.line_styles import Look, ordered_looks
from stepsize.report.read import RunRow
from stepsize.report.task import Entry, TaskComparison
from stepsize.report.wording import count

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_NAMED = 8  # lines with a name in one figure; further ones are grey
_WITH_SEEDS = 4  # lines in one figure up to which every seed is drawn beside its median


class LearningCurves:
    """The learning curves of a task.

    Args:
        comparison: the task.
        curves_of: reads the curves of a run.
        looks: line styles by method.
    """

    def __init__(
        self, comparison: TaskComparison, curves_of: CurveReader, looks: Mapping[str, Look]
    ) -> None:
        self.measure = comparison.measure
        self._curves_of = curves_of
        leaders = [entry for entry in comparison.leaders if self._drawn(entry)]
        self._all = [entry for entry in comparison.entries if self._drawn(entry)]
        self.leaders = leaders
        self._end = max((entry.steps for entry in leaders), default=0)
        self._medians = {entry.setting: self._median(entry) for entry in self._all}
        self._looks = {entry.setting: looks[entry.setting.method] for entry in comparison.entries}
        self._one_method = len({entry.setting.method for entry in leaders}) == 1
        if self._one_method and len(leaders) > 1:
            # The values of one method are ordered, and so are their colours.
            ordered = sorted(leaders, key=lambda entry: _sortable(entry.setting.values))
            for entry, look in zip(ordered, ordered_looks(len(ordered)), strict=True):
                self._looks[entry.setting] = look
        self._low, self._high = self._limits()

    @property
    def there_are_any(self) -> bool:
        """Whether there is a curve to draw."""
        return bool(self.leaders)

    def look(self, entry: Entry) -> Look:
        """The line style of a hyperparameter setting."""
        return self._looks[entry.setting]

    @property
    def hidden(self) -> int:
        """How many leaders are grey in the overview, because their names do not fit."""
        return max(len(self.leaders) - _NAMED, 0)

    @property
    def seeds_in_overview(self) -> bool:
        """Whether the overview shows each seed, so that panels are not needed."""
        return len(self.leaders) <= _WITH_SEEDS

    def overview(self, wide: bool) -> Panel:
        """All leaders in one figure."""
        names = [self._name(entry, wide) for entry in self.leaders[:_NAMED]]
        right = 34 + int(6.6 * max(map(len, names)))
        size = (880, 400) if wide else (390, 330)
        return Panel(partial(self._overview, wide), *size, (46, right, 30, 40))

    def panels(self) -> list[Panel]:
        """One small panel for each leader, with the medians of all others in grey."""
        return [
            Panel(partial(self._panel, entry), 210, 165, (38, 18, 26, 22)) for entry in self.leaders
        ]

    def _overview(self, wide: bool, axes: Axes) -> None:
        named, others = self.leaders[:_NAMED], self.leaders[_NAMED:]
        self._grey(axes, others, 0.5)
        for entry in named:
            if self.seeds_in_overview:
                self._seeds(axes, entry)
        ends = []
        for entry in reversed(named):
            end = self._line(axes, entry)
            ends.append((self._end, end, self._name(entry, wide), self._looks[entry.setting]))
        self._scales(axes, 5)
        axes.set_xlabel("optimizer steps", color=GREY)
        seeds = max(entry.n for entry in named)
        title(axes, self.measure.tag, f"median of {count(seeds, 'seed')}" if seeds > 1 else "", 12)
        label_ends(axes, ends, room=22)

    def _panel(self, entry: Entry, axes: Axes) -> None:
        self._grey(axes, [other for other in self.leaders if other is not entry], 0.35)
        for other in self._all:
            if other.setting.method == entry.setting.method and other is not entry:
                self._line(axes, other, 0.8, alpha=0.4)
        self._seeds(axes, entry)
        self._line(axes, entry)
        self._scales(axes, 3)
        setting = entry.setting
        if self._one_method:
            title(axes, setting.label.removeprefix(setting.method).strip() or setting.method)
        else:
            title(axes, setting.method, setting.label.removeprefix(setting.method).strip())

    def _scales(self, axes: Axes, ticks: int) -> None:
        set_y(axes, self._low, self._high, self.measure.log, ticks)
        set_steps(axes, max(self._end, 1), ticks)

    def _grey(self, axes: Axes, entries: Sequence[Entry], alpha: float) -> None:
        """Draw the medians of these settings as a grey background."""
        medians = [self._medians[entry.setting] for entry in entries]
        _lines(axes, medians, 50, colors=GREY, linewidths=0.7, alpha=alpha, zorder=2)

    def _line(self, axes: Axes, entry: Entry, width: float = 2.0, alpha: float = 1.0) -> float:
        """Draw a median; returns its last y, which is the bad end of the axis if it is infinite."""
        steps, values = self._medians[entry.setting]
        look = self._looks[entry.setting]
        finite = np.isfinite(values)
        axes.plot(
            *thinned(steps[finite], values[finite]), color=look.colour, alpha=alpha,
            linewidth=width, linestyle=look.linestyle, dash_capstyle="butt", zorder=4,
        )  # fmt: skip
        if finite.all():
            return float(values[-1]) if len(values) else self._high
        if finite.any():
            last = np.nonzero(finite)[0][-1]
            self._cross(axes, steps[last], values[last], look.colour, 6, alpha)
        return self._high if self.measure.mode == "min" else self._low

    def _cross(
        self, axes: Axes, step: float, value: float, colour: str, size: float, alpha: float
    ) -> None:
        """Mark the end of a curve that diverged, inside the axes."""
        axes.plot(
            step, np.clip(value, self._low, self._high), marker="x", color=colour, alpha=alpha,
            markersize=size, markeredgewidth=0.3 * size, clip_on=False, zorder=5,
        )  # fmt: skip

    def _seeds(self, axes: Axes, entry: Entry) -> None:
        colour = self._looks[entry.setting].colour
        runs = self._drawn(entry)
        curves = [self._curves_of(run)[self.measure.tag] for run in runs]
        shown = [(steps, self._shown(values)) for steps, values in curves]
        _lines(axes, shown, 120, colors=colour, linewidths=0.7, alpha=0.35, zorder=3)
        for run, (steps, values) in zip(runs, shown, strict=True):
            finite = np.nonzero(np.isfinite(values))[0]
            if run.status == "diverged" and len(finite):
                self._cross(axes, steps[finite[-1]], values[finite[-1]], colour, 4, 0.7)

    def _median(self, entry: Entry) -> tuple[np.ndarray, np.ndarray]:
        measure = self.measure
        steps, values = median_curve(
            self._drawn(entry), self._curves_of, measure.tag, measure.mode, self._end
        )
        return steps, self._shown(values)

    def _shown(self, values: np.ndarray) -> np.ndarray:
        """The values, with gaps below the rounding error raised to it."""
        return np.maximum(values, self.measure.floor) if self.measure.floor else values

    def _drawn(self, entry: Entry) -> list[RunRow]:
        return [
            run
            for run in entry.runs
            if run.finished and len(self._curves_of(run).get(self.measure.tag, ((), ()))[0])
        ]

    def _limits(self) -> tuple[float, float]:
        """From the lowest median to ten times the medians' initial values, not beyond."""
        medians = [self._medians[entry.setting][1] for entry in self.leaders]
        finite = [values[np.isfinite(values)] for values in medians]
        finite = [values for values in finite if len(values)]
        if not finite:
            return limits([], self.measure.log)
        if self.measure.mode == "max":
            return limits([v for values in finite for v in (values.min(), values.max())], False)
        highest = 10 * float(np.median([abs(values[0]) for values in finite]))
        ends = [v for values in finite for v in (values.min(), min(values.max(), highest))]
        return limits(ends, self.measure.log)

    def _name(self, entry: Entry, wide: bool) -> str:
        setting = entry.setting
        rest = setting.label.removeprefix(setting.method).strip()
        name = rest or setting.method if self._one_method else setting.method
        if wide and not self._one_method:
            name = setting.label
        lost = "" if math.isfinite(entry.median) or not entry.n else " \u00d7"
        return name + lost


def _lines(
    axes: Axes, curves: Sequence[tuple[np.ndarray, np.ndarray]], points: int, **style: Any
) -> None:
    """Draw many lines of one style in one collection, which is several times as fast."""
    from matplotlib.collections import LineCollection

    finite = [(steps, values, np.isfinite(values)) for steps, values in curves]
    thin = [thinned(steps[known], values[known], points) for steps, values, known in finite]
    axes.add_collection(LineCollection([np.column_stack(line) for line in thin], **style))


def _sortable(values: Sequence[tuple[str, str]]) -> list[tuple[int, float, str]]:
    """A sort key: numbers by size, then other values in alphabetical order."""
    keys = []
    for _, value in values:
        try:
            keys.append((0, float(value), ""))
        except ValueError:
            keys.append((1, 0.0, value))
    return keys
