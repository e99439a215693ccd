"""The style of all plots: size, fonts, and colours for a projector and colour-blind readers."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito, "Color Universal Design" (2008)
BLUE = "#0072B2"
ORANGE = "#E69F00"
GREEN = "#009E73"
VERMILION = "#D55E00"
PURPLE = "#CC79A7"
SKY = "#56B4E9"
YELLOW = "#F0E442"
CYCLE = (BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, YELLOW)

INK = "#262626"
GREY = "#7A7A7A"
FAINT = "#D9D9D9"

_INCHES = (6.0, 4.0)
DPI = 150
_TITLE_WIDTH = 72  # characters of the title's size that fit into six inches
_STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib: the same on every machine
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.formatter.useoffset": False,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "figure.constrained_layout.h_pad": 0.1,
    "figure.constrained_layout.w_pad": 0.1,
}


@contextmanager
def styled() -> Iterator[Figure]:
    """An empty figure; everything drawn inside the ``with`` block has this style.

    pyplot is not used, because it keeps every figure in memory and may open windows. The user's own
    matplotlib settings are restored afterwards.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=_INCHES, dpi=DPI, layout="constrained")
        FigureCanvasAgg(figure)
        yield figure


def write_title(figure: Figure, sentence: str) -> None:
    """Write a title above the axes; one that is too long for a line is broken after its colon."""
    lines = [sentence]
    if len(sentence) > _TITLE_WIDTH:
        parts = sentence.replace(": ", ":\n", 1).split("\n")
        lines = [line for part in parts for line in textwrap.wrap(part, _TITLE_WIDTH)]
    figure.suptitle("\n".join(lines), x=0.02, ha="left", fontsize=11, linespacing=1.3)


def rendered(figure: Figure) -> np.ndarray:
    """The figure's pixels: bytes [height, width, 3]."""
    import numpy as np

    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()  # type: ignore[attr-defined]


def note(axes: Axes, text: str) -> None:
    """Write a note in the middle of the axes, about something that cannot be shown."""
    axes.text(
        0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=VERMILION,
        fontsize=11, bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 6},
    )  # fmt: skip


def mix(colour: str, share: float) -> tuple[float, float, float]:
    """A tint: ``share`` of the colour, the rest white."""
    from matplotlib.colors import to_rgb

    red, green, blue = (1 - share + share * part for part in to_rgb(colour))
    return red, green, blue
