"""Drawings with a size in CSS pixels, rendered as inline SVG or as PNG.

The page has a wide and a narrow variant of each large figure, and small panels side by side, so
that text keeps its size on a phone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stepsize.plots.style import INK, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_UNITS_PER_INCH = 72  # of matplotlib's SVG; with it, font sizes in points are pixels
_PNG_SCALE = 2
FONT = 11.0

Draw = Callable[["Axes"], None]


@dataclass(frozen=True)
class Panel:
    """A drawing.

    Attributes:
        draw: draws into the axes.
        width: of the whole, in pixels.
        height: of the whole, in pixels.
        margins: left, right, top and bottom of the axes, in pixels.
    """

    draw: Draw
    width: int
    height: int
    margins: tuple[int, int, int, int]


def large_panel(draw: Draw, wide: bool, names: Sequence[str], height: int, top: int = 30) -> Panel:
    """A figure as wide as the page or as a phone, with names of lines at its right."""
    right = 34 + int(6.6 * max(map(len, names)))
    return Panel(draw, 880 if wide else 390, height, (46, right, top, 40))


def small_panel(draw: Draw, top: int = 26) -> Panel:
    """One of several panels side by side."""
    return Panel(draw, 210, 165, (38, 18, top, 22))


def svg(panel: Panel, name: str) -> str:
    """The panel as an ``<svg>`` element whose colours are the page's.

    Args:
        panel: what to draw.
        name: unique on the page; matplotlib hashes it into the names of references.
    """
    import io

    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    stream = io.StringIO()
    with styled() as figure, matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        _fill(figure, [panel], 1)
        figure.patch.set_visible(False)
        # savefig would draw everything twice.
        FigureCanvasSVG(figure).print_svg(stream, metadata={"Date": None})
    return _inlined(stream.getvalue(), panel)


def write_png(panels: Sequence[Panel], file: Path, columns: int = 4) -> None:
    """Write panels of equal size in rows."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    with styled() as figure:
        figure.set_dpi(_PNG_SCALE * _UNITS_PER_INCH)
        _fill(figure, panels, min(columns, len(panels)))
        FigureCanvasAgg(figure).print_png(file)


def _fill(figure: Figure, panels: Sequence[Panel], columns: int) -> None:
    import matplotlib

    matplotlib.rcParams["font.size"] = FONT
    rows = -(-len(panels) // columns)
    width, height = panels[0].width, panels[0].height
    whole = (columns * width, rows * height)
    figure.set_layout_engine("none")
    figure.set_size_inches(whole[0] / _UNITS_PER_INCH, whole[1] / _UNITS_PER_INCH)
    for place, panel in enumerate(panels):
        left, right, top, bottom = panel.margins
        x = place % columns * width + left
        y = (rows - 1 - place // columns) * height + bottom
        box = (width - left - right, height - top - bottom)
        axes = figure.add_axes(
            (x / whole[0], y / whole[1], box[0] / whole[0], box[1] / whole[1]),
            facecolor="none",
        )
        axes.tick_params(length=3, pad=3, labelsize=FONT - 1)
        panel.draw(axes)


def _inlined(text: str, panel: Panel) -> str:
    """The ``<svg>`` element alone, with short numbers, the page's font and no needless ids."""
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(
        r"<svg [^>]*>", f'<svg viewBox="0 0 {panel.width} {panel.height}">', text, count=1
    )
    text = re.sub(r"<!--.*?-->\s*", "", text)
    text = re.sub(r' id="[A-Za-z][\w.]*_\d+"', "", text)
    # Digits below a tenth of a pixel are invisible, and half of a curve's characters.
    text = re.sub(
        r' (d|x|y|transform)="[^"]*"',
        lambda match: re.sub(r"(\d+\.\d)\d+", r"\1", match[0]),
        text,
    )
    text = re.sub(r"('DejaVu Sans'|sans-serif)(, *('[^']*'|[a-z-]+))*", "var(--sans)", text)
    text = re.sub(r"\n *([MLCz])", r" \1", text)
    text = text.replace("xlink:href", "href").replace("stroke: #000000", f"stroke: {INK.lower()}")
    return re.sub(r"\s*\n\s*", "\n", text)
