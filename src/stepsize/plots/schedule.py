"""The plot of schedules: learning rate against optimizer step, one panel per run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stepsize.plots.style import BLUE, FAINT, GREEN, GREY, INK, ORANGE, PURPLE, SKY, VERMILION

_COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)  # for more lines, viridis


@dataclass(frozen=True)
class Panel:
    """The learning rates of one run.

    Attributes:
        title: the schedule, and the overrides that differ between panels.
        note: the task, and what else the curve depends on.
        lrs: the learning rate of every step, by the parameter group's name.
    """

    title: str
    note: str
    lrs: dict[str, list[float]]

    @property
    def lines(self) -> list[tuple[str, list[float]]]:
        """The distinct lines, highest first, each with the names of its groups."""
        named: dict[tuple[float, ...], list[str]] = {}
        for name, lrs in self.lrs.items():
            named.setdefault(tuple(lrs), []).append(name)
        return [(", ".join(named[key]), list(key)) for key in sorted(named, key=max, reverse=True)]


def draw_panels(panels: Sequence[Panel]) -> Figure:
    """One panel for each run, with a line for each learning rate of its parameter groups."""
    columns = min(len(panels), 4)
    rows = math.ceil(len(panels) / columns)
    size = (7.5, 4.0) if len(panels) == 1 else (3.6 * columns, 2.6 * rows)
    figure = Figure(figsize=size, layout="constrained", facecolor="white")
    axes = figure.subplots(rows, columns, squeeze=False, sharey=True)
    peak = max(max(lrs) for panel in panels for lrs in panel.lrs.values())
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
    colours: Any = _COLOURS
    if len(lines) > len(_COLOURS):
        colours = mpl.colormaps["viridis"](np.linspace(0, 0.9, len(lines)))
    height = math.inf
    for (name, lrs), colour in zip(lines, colours, strict=False):
        style = "steps-post" if steps < 200 else "default"
        axis.plot([*lrs, lrs[-1]], color=colour, linewidth=2, drawstyle=style, clip_on=False)
        if len(lines) > 1:
            # Beside the line's peak, or as close below it as the label above allows.
            height = min(max(lrs), height - 0.08 * peak)
            place: dict[str, Any] = {"xy": (1, height), "xycoords": axis.get_yaxis_transform()}
            place |= {"textcoords": "offset points", "va": "center"}
            axis.annotate("\u2014", xytext=(6, 0), color=colour, fontweight="bold", **place)
            text = f"{name}  {max(lrs):.3g}"
            axis.annotate(text, xytext=(20, 0), color=INK, fontsize=9, **place)
    axis.set_title(panel.title, loc="left", fontsize=11, fontweight="bold", color=INK, pad=18)
    note = axis.annotate(panel.note, (0, 1.04), xycoords="axes fraction", fontsize=9, color=GREY)
    note.set_in_layout(False)  # a long note must not make the axes narrower
    axis.set_xlim(0, steps)
    axis.set_ylim(0, 1.03 * peak or 1)
    axis.set_xticks([0, steps // 2, steps])
    axis.set_yticks([0, peak / 2, peak])
    axis.xaxis.set_major_formatter("{x:,.0f}")
    axis.yaxis.set_major_formatter("{x:g}")
    axis.grid(axis="y", color=FAINT)
    axis.set_axisbelow(True)
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.spines["bottom"].set_color(GREY)
    axis.tick_params(colors=INK, length=0, labelsize=9)
