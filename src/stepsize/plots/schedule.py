"""The plot of schedules: rate against optimizer step, a panel for each run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe and Ito's palette, told apart with any colour vision; viridis where it has too few colours.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
INK, FAINT, GRID = "#333333", "#767676", "#e6e6e6"


@dataclass(frozen=True)
class Panel:
    """The rates of one run.

    Attributes:
        title: the schedule, and what differs between panels.
        note: the task, and what else the curve rests on.
        rates: for each group's name, the rate of every step.
    """

    title: str
    note: str
    rates: dict[str, list[float]]

    @property
    def lines(self) -> list[tuple[str, list[float]]]:
        """The distinct lines, highest first, with the names of the groups that share one."""
        named: dict[tuple[float, ...], list[str]] = {}
        for name, rates in self.rates.items():
            named.setdefault(tuple(rates), []).append(name)
        return [(", ".join(named[key]), list(key)) for key in sorted(named, key=max, reverse=True)]


def draw_panels(panels: Sequence[Panel]) -> Figure:
    """One panel for each run, with a line for each rate that a parameter group has."""
    columns = min(len(panels), 4)
    rows = math.ceil(len(panels) / columns)
    size = (7.5, 4.0) if len(panels) == 1 else (3.6 * columns, 2.6 * rows)
    figure = Figure(figsize=size, layout="constrained", facecolor="white")
    axes = figure.subplots(rows, columns, squeeze=False, sharey=True)
    peak = max(max(rates) for panel in panels for rates in panel.rates.values())
    for index, axis in enumerate(axes.flat):
        if index >= len(panels):
            axis.set_visible(False)
            continue
        _draw_panel(axis, panels[index], peak)
        if index % columns == 0:
            axis.set_ylabel("learning rate", color=INK)
        if index + columns >= len(panels):
            axis.set_xlabel("optimizer step", color=INK)
    return figure


def _draw_panel(axis: Axes, panel: Panel, peak: float) -> None:
    lines = panel.lines
    steps = len(lines[0][1])
    colors: Any = COLORS
    if len(lines) > len(COLORS):
        colors = mpl.colormaps["viridis"](np.linspace(0, 0.9, len(lines)))
    height = math.inf
    for (name, rates), color in zip(lines, colors, strict=False):
        style = "steps-post" if steps < 200 else "default"
        axis.plot([*rates, rates[-1]], color=color, linewidth=2, drawstyle=style, clip_on=False)
        if len(lines) > 1:
            # Beside the line's peak, or as close below as the label above allows.
            height = min(max(rates), height - 0.08 * peak)
            label: dict[str, Any] = {
                "xy": (1, height),
                "xycoords": axis.get_yaxis_transform(),
                "textcoords": "offset points",
                "va": "center",
            }
            axis.annotate("\u2014", xytext=(6, 0), color=color, fontweight="bold", **label)
            text = f"{name}  {max(rates):.3g}"
            axis.annotate(text, xytext=(20, 0), color=INK, fontsize=9, **label)
    axis.set_title(panel.title, loc="left", fontsize=11, fontweight="bold", color=INK, pad=18)
    note = axis.annotate(panel.note, (0, 1.04), xycoords="axes fraction", fontsize=9, color=FAINT)
    note.set_in_layout(False)  # a long one must not make the axes narrower
    axis.set_xlim(0, steps)
    axis.set_ylim(0, 1.03 * peak or 1)
    axis.set_xticks([0, steps // 2, steps])
    axis.set_yticks([0, peak / 2, peak])
    axis.xaxis.set_major_formatter("{x:,.0f}")
    axis.yaxis.set_major_formatter("{x:g}")
    axis.grid(axis="y", color=GRID)
    axis.set_axisbelow(True)
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.spines["bottom"].set_color(FAINT)
    axis.tick_params(colors=INK, length=0, labelsize=9)
