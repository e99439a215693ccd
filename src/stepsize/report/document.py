"""The parts of a report, and their rendering as one HTML page and as Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from markupsafe import Markup

from stepsize.plots.style import (
    BLUE,
    FAINT,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
)
from stepsize.report.answer import Answer
from stepsize.report.columns import Table
from stepsize.report.figures.panel import Panel, svg


@dataclass(frozen=True)
class Note:
    """A remark on the part above it, in Markdown and in small grey letters."""

    text: str


@dataclass(frozen=True)
class Figure:
    """A figure.

    Attributes:
        name: of its PNG, without the ending; unique in the report.
        alt: what it shows, for those who cannot see it.
        wide: for a desktop, and for the PNG; None where there are panels.
        narrow: for a telephone; None where there are panels.
        panels: small ones, side by side.
    """

    name: str
    alt: str
    wide: Panel | None = None
    narrow: Panel | None = None
    panels: Sequence[Panel] = ()


@dataclass(frozen=True)
class Folded:
    """Parts below a summary line that a click opens."""

    summary: str
    parts: Sequence[Part]


Part = str | Note | Table | Figure | Folded  # a str is a block of Markdown


@dataclass(frozen=True)
class Chapter:
    """A heading and the parts below it.

    Attributes:
        title: of the heading.
        parts: in order.
        level: of the heading: 2, or 3 where it belongs to the chapter before.
    """

    title: str
    parts: Sequence[Part]
    level: int = 2


@dataclass(frozen=True)
class Document:
    """A whole report.

    Attributes:
        title: the sweeps' names.
        facts: numbers of runs, hyperparameter settings, seeds and statuses.
        answers: ``(task, answer)`` of each task.
        chapters: in order.
    """

    title: str
    facts: Sequence[str]
    answers: Sequence[tuple[str, Answer]]
    chapters: Sequence[Chapter]


if TYPE_CHECKING:
    from jinja2 import Environment

# The CSS variable of each colour of the figures, so that they follow the page's light or dark.
_VARIABLES = {
    INK: "ink", GREY: "muted", FAINT: "faint", "#FFFFFF": "paper", BLUE: "blue",
    VERMILION: "vermilion", GREEN: "green", ORANGE: "orange", PURPLE: "purple", SKY: "sky",
}  # fmt: skip
_COLOUR = re.compile("|".join(_VARIABLES), re.IGNORECASE)


def render_page(document: Document) -> str:
    """The HTML page, which loads nothing: no script, no font, no request."""
    style = Markup(files("stepsize.report").joinpath("page.css").read_text("utf-8"))
    return _templates().get_template("page.html.j2").render(document=document, style=style)


def render_markdown(document: Document) -> str:
    """The Markdown text; its tables are aligned, so that it is readable without a viewer."""
    text = _templates().get_template("report.md.j2").render(document=document)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


@cache
def _templates() -> Environment:
    """The templates; those that end in ``.html.j2`` escape every value that is not Markup."""
    from jinja2 import Environment, PackageLoader
    from markdown_it import MarkdownIt

    blocks = MarkdownIt("commonmark", {"html": False}).disable(["link", "image", "autolink"])
    inline = MarkdownIt("zero").enable(["backticks", "emphasis"])
    environment = Environment(
        loader=PackageLoader("stepsize.report"),
        autoescape=lambda name: name is not None and name.endswith(".html.j2"),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "aligned": _aligned,
        "anchor": lambda title: re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-"),
        "inline": lambda text: Markup(inline.renderInline(text)),
        "kind": lambda part: type(part).__name__,
        "markdown": lambda text: Markup(blocks.render(text)),
        "page_colours": _page_colours,
        "svg": _svg,
    }
    return environment


def _svg(panel: Panel, name: str) -> Markup:
    return Markup(_page_colours(svg(panel, name)))


def _page_colours(text: str) -> str:
    return _COLOUR.sub(lambda match: f"var(--{_VARIABLES[match[0].upper()]})", text)


def _aligned(table: Table) -> str:
    """A Markdown table whose columns have one width each."""
    rows = [[cell.replace("|", "\\|") for cell in row] for row in table.rows]
    titles = [column.title.replace("\n", " ") for column in table.columns]
    widths = [max(3, *(len(row[i]) for row in [titles, *rows])) for i in range(len(titles))]
    numbers = [column.is_number for column in table.columns]
    rule = ["-" * (w - 1) + (":" if n else "-") for w, n in zip(widths, numbers, strict=True)]
    return "\n".join(
        "| "
        + " | ".join(
            cell.rjust(width) if is_number else cell.ljust(width)
            for cell, width, is_number in zip(row, widths, numbers, strict=True)
        )
        + " |"
        for row in [titles, rule, *rows]
    )
