"""Drawings with a size in CSS pixels, rendered as inline SVG or as PNG.

The page has a wide and a narrow variant of each large figure, and small panels side by side, so
that text keeps its size on a phone.

The page's script finds a line by ``data-line``, the name of its hyperparameter setting, and
converts its pixels back to values with ``data-axes``. A drawing names its lines with :func:`part`.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stepsize.plots.style import INK, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_UNITS_PER_INCH = 72  # of matplotlib's SVG; with it, font sizes in points are pixels
_PNG_SCALE = 2
_GAP = 10  # between panels
FONT = 11.0

WIDE, NARROW = 960, 390  # the text width of the page, and a phone
LOG_SCALE = " (log scale)"  # after the name of an axis
_KINDS = ("curve", "seeds", "mark", "label")

Draw = Callable[["Axes"], None]


def part(kind: str, line: str) -> str:
    """A gid for matplotlib: this artist is a part of the line of a hyperparameter setting.

    Args:
        kind: "curve" has values to read under the pointer; "seeds", "mark" and "label" have none.
        line: the setting's label.
    """
    assert kind in _KINDS
    return f"{kind}:{line}"


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
    return Panel(draw, WIDE if wide else NARROW, height, (46, right, top, 36))


def small_panel(draw: Draw, count: int, top: int = 26) -> Panel:
    """One of ``count`` panels side by side, in :func:`columns` columns."""
    each = columns(count)
    return Panel(draw, (WIDE - (each - 1) * _GAP) // each, 164 + top, (46, 14, top, 38))


def columns(count: int) -> int:
    """Columns of panels: at most five, in rows that are as equal as possible."""
    return -(-count // -(-count // 5))


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
    # Simplified paths would lose the points whose values the page shows.
    options: dict[Any, Any] = {"svg.fonttype": "none", "svg.hashsalt": name, "path.simplify": False}
    with styled() as figure, matplotlib.rc_context(options):
        _fill(figure, [panel], 1)
        figure.patch.set_visible(False)
        # savefig would draw everything twice.
        FigureCanvasSVG(figure).print_svg(stream, metadata={"Date": None})
        axes = _axes_in_pixels(figure.axes[0], panel)
    return _inlined(stream.getvalue(), panel, axes)


def write_png(panels: Sequence[Panel], file: Path) -> None:
    """Write panels of equal size in rows."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    with styled() as figure:
        figure.set_dpi(_PNG_SCALE * _UNITS_PER_INCH)
        _fill(figure, panels, columns(len(panels)))
        FigureCanvasAgg(figure).print_png(file)


def _fill(figure: Figure, panels: Sequence[Panel], across: int) -> None:
    import matplotlib

    matplotlib.rcParams["font.size"] = FONT
    rows = -(-len(panels) // across)
    width, height = panels[0].width, panels[0].height
    whole = (across * width, rows * height)
    figure.set_layout_engine("none")
    figure.set_size_inches(whole[0] / _UNITS_PER_INCH, whole[1] / _UNITS_PER_INCH)
    for place, panel in enumerate(panels):
        left, right, top, bottom = panel.margins
        x = place % across * width + left
        y = (rows - 1 - place // across) * height + bottom
        box = (width - left - right, height - top - bottom)
        axes = figure.add_axes(
            (x / whole[0], y / whole[1], box[0] / whole[0], box[1] / whole[1]),
            facecolor="none",
        )
        axes.tick_params(length=3, pad=3, labelsize=FONT - 1)
        panel.draw(axes)


def _axes_in_pixels(axes: Axes, panel: Panel) -> str:
    """Name, pixels and values of both ends of each axis, and whether it is logarithmic, as JSON."""
    left, right, top, bottom = panel.margins
    x, y = (name.removesuffix(LOG_SCALE) for name in (axes.get_xlabel(), axes.get_ylabel()))
    across, up = (left, panel.width - right), (panel.height - bottom, top)
    return json.dumps(
        {
            "x": [x, *across, *axes.get_xlim(), axes.get_xscale() == "log"],
            "y": [y, *up, *axes.get_ylim(), axes.get_yscale() == "log"],
        }
    )


def _inlined(text: str, panel: Panel, axes: str) -> str:
    """The ``<svg>`` element alone, with short numbers, the page's font and no needless ids."""
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    start = f'<svg viewBox="0 0 {panel.width} {panel.height}" data-axes="{html.escape(axes)}">'
    text = re.sub(r"<svg [^>]*>", lambda _: start, text, count=1)
    text = re.sub(r"<!--.*?-->\s*", "", text)
    text = re.sub(r' id="[A-Za-z][\w.]*_\d+"', "", text)
    # An id is unique on a page; a setting has a line in several figures.
    text = re.sub(
        rf""" id=(["'])({"|".join(_KINDS)}):(.*?)\1""",
        lambda m: f' class="{m[2]}" data-line="{html.escape(html.unescape(m[3]))}"',
        text,
    )
    # More digits are invisible, and half of a curve's characters.
    text = re.sub(
        r' (d|x|y|transform)="[^"]*"',
        lambda match: re.sub(r"(\d+\.\d)\d+", r"\1", match[0]),
        text,
    )
    text = re.sub(r"('DejaVu Sans'|sans-serif)(, *('[^']*'|[a-z-]+))*", "var(--sans)", text)
    text = re.sub(r"\n *([MLCz])", r" \1", text)
    text = text.replace("xlink:href", "href").replace("stroke: #000000", f"stroke: {INK.lower()}")
    return re.sub(r"\s*\n\s*", "\n", text)
