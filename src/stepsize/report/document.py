"""The parts of a report, and how they become ``report.html`` and ``report.md``.

The text of all parts is Markdown: paragraphs, lists, fenced code, `code` and ``**strong**``. Any
other syntax is shown as it stands, because labels and error messages may look like it.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from stepsize.plots.style import BLUE, FAINT, GREEN, GREY, INK, ORANGE, PURPLE, SKY, VERMILION
from stepsize.report.conclusion import Conclusion
from stepsize.report.figures.panel import Panel, columns, svg
from stepsize.report.line_styles import Look

# The colours of figures, and the variables in page.css that replace them, in light and in dark.
_CSS_VARIABLES = {
    INK: "ink", GREY: "muted", FAINT: "faint", "#FFFFFF": "paper", BLUE: "blue",
    VERMILION: "vermilion", GREEN: "green", ORANGE: "orange", PURPLE: "purple", SKY: "sky",
}  # fmt: skip
_COLOUR = re.compile("|".join(_CSS_VARIABLES), re.IGNORECASE)


@dataclass(frozen=True)
class Text:
    """Blocks of Markdown.

    Attributes:
        markdown: paragraphs, lists and fenced code.
        quiet: whether it is a note to the part above it, in smaller type.
    """

    markdown: str
    quiet: bool = False


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        titles: of the columns.
        rows: cells as text.
        align: "l" or "r" for each column.
        looks: of each row, how its line is drawn in the figures; None for no sample of the line.
        strong: whether the first row stands out.
        links: of each row, a relative address for its first cell; None for no link.
    """

    titles: Sequence[str]
    rows: Sequence[Sequence[str]]
    align: str
    looks: Sequence[Look | None] = ()
    strong: bool = False
    links: Sequence[str | None] = ()


@dataclass(frozen=True)
class Figure:
    """A figure.

    Attributes:
        name: of its PNG, without the ending; unique in the report.
        alt: description for readers who cannot see it.
        wide: for a desktop, and for the PNG; None if there are panels.
        narrow: for a phone.
        panels: small ones, side by side.
    """

    name: str
    alt: str
    wide: Panel | None = None
    narrow: Panel | None = None
    panels: Sequence[Panel] = ()


@dataclass(frozen=True)
class Folded:
    """Parts that the page shows on a click on their summary.

    Attributes:
        summary: one line.
        parts: in order.
        only_on_screen: whether ``report.md`` and a print leave it out, because it is only useful
            with its links.
    """

    summary: str
    parts: Sequence[Part]
    only_on_screen: bool = False


Part = Text | Table | Conclusion | Figure | Folded


@dataclass(frozen=True)
class Chapter:
    """A heading and the parts below it.

    Attributes:
        title: text of the heading.
        parts: in order.
        level: of the heading: 2, or 3 for a section of the chapter before.
    """

    title: str
    parts: Sequence[Part]
    level: int = 2


@dataclass(frozen=True)
class Document:
    """A report.

    Attributes:
        title: the names of the sweeps.
        facts: numbers of runs, hyperparameter settings, seeds and statuses.
        headlines: of the answers by task, if there are several tasks.
        chapters: all else.
    """

    title: str
    facts: Sequence[str]
    headlines: Sequence[tuple[str, str]]
    chapters: Sequence[Chapter]


def bullets(items: Sequence[str]) -> str:
    """A Markdown list."""
    return "\n".join(f"- {item}" for item in items)


def render_page(document: Document) -> str:
    """The report as one HTML file that loads nothing: style, script and figures are inside it.

    Without JavaScript it is complete; with it, tables sort and curves show their values.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markdown_it import MarkdownIt
    from markupsafe import Markup

    text = MarkdownIt("zero").enable(["backticks", "emphasis", "fence", "list"])
    names = (f"figure{number}" for number in itertools.count(1))
    environment = Environment(
        loader=PackageLoader("stepsize", "report"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {
        "markdown": lambda block: Markup(text.render(block)),
        "inline": lambda line: Markup(text.renderInline(line)),
        "svg": lambda panel: Markup(_in_css_colours(svg(panel, next(names)))),
        "colour": lambda look: _in_css_colours(look.colour),
        "columns": lambda panels: columns(len(panels)),
        "kind": lambda part: type(part).__name__,
        "anchor": lambda title: re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-"),
    }
    return environment.get_template("page.html.j2").render(document=document)


def _in_css_colours(text: str) -> str:
    return _COLOUR.sub(lambda match: f"var(--{_CSS_VARIABLES[match[0].upper()]})", text)


def render_markdown(document: Document) -> str:
    """The report as Markdown with aligned tables, to be read in a terminal too."""
    return "\n\n".join(_blocks(document)) + "\n"


def _blocks(document: Document) -> Iterator[str]:
    yield f"# {document.title}"
    yield ", ".join(document.facts)
    if document.headlines:
        yield bullets([f"**{task}**: {headline}" for task, headline in document.headlines])
    for chapter in document.chapters:
        yield f"{'#' * chapter.level} {chapter.title}"
        for part in chapter.parts:
            yield from _part_blocks(part)


def _part_blocks(part: Part) -> Iterator[str]:
    if isinstance(part, Text):
        yield part.markdown
    elif isinstance(part, Table):
        yield markdown_table(part)
    elif isinstance(part, Conclusion):
        yield f"**{part.headline}**"
        sentences = [*part.sentences, *([part.fastest] if part.fastest else [])]
        if sentences:
            yield " ".join(sentences)
        if part.caveats:
            yield bullets(part.caveats)
    elif isinstance(part, Figure):
        yield f"![{part.alt}]({part.name}.png)"
    elif not part.only_on_screen:
        yield f"{part.summary}:"
        for inner in part.parts:
            yield from _part_blocks(inner)


def markdown_table(table: Table) -> str:
    """A table in Markdown, aligned."""
    titles = [title.replace("\n", " ") for title in table.titles]
    rows = [titles]
    for place, row in enumerate(table.rows):
        escaped = [cell.replace("|", "\\|") for cell in row]
        if table.links and table.links[place]:
            escaped[0] = f"[{escaped[0]}]({table.links[place]})"
        rows.append(escaped)
    widths = [max(3, *map(len, column)) for column in zip(*rows, strict=True)]
    rule = ["-" * (width - 1) + ("-" if side == "l" else ":")
            for width, side in zip(widths, table.align, strict=True)]  # fmt: skip
    lines = []
    for row in (titles, rule, *rows[1:]):
        cells = zip(row, widths, table.align, strict=True)
        padded = [cell.ljust(n) if side == "l" else cell.rjust(n) for cell, n, side in cells]
        lines.append(f"| {' | '.join(padded)} |")
    return "\n".join(lines)
