"""A report as one HTML file that needs nothing else: no script, no font, no request."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from importlib.resources import files

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
from stepsize.report.document import (
    Bullets,
    Chapter,
    Code,
    Document,
    Figure,
    Folded,
    Part,
    Table,
    Text,
)
from stepsize.report.figures.panel import Panel, svg
from stepsize.report.line_styles import Look

# What figures are drawn with, and what the page has for it, in light and in dark.
_VARIABLES = {
    INK: "ink", GREY: "muted", FAINT: "faint", "#FFFFFF": "paper", BLUE: "blue",
    VERMILION: "vermilion", GREEN: "green", ORANGE: "orange", PURPLE: "purple", SKY: "sky",
}  # fmt: skip
_COLOUR = re.compile("|".join(_VARIABLES), re.IGNORECASE)
_LONG_CELL = 40  # characters from which a cell's text may be broken


def render_page(document: Document) -> str:
    """The whole page."""
    style = files("stepsize.report").joinpath("page.css").read_text("utf-8")
    title = _plain(document.title)
    body = "\n".join(_Page().body(document))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<link rel="icon" href="data:,">\n'
        f"<title>{title} \u00b7 stepsize</title>\n<style>\n{style}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


class _Page:
    """Numbers headings and figures while it writes."""

    def __init__(self) -> None:
        self._figures = 0

    def body(self, document: Document) -> Iterator[str]:
        facts = " \u00b7 ".join(_inline(fact) for fact in document.facts)
        yield f'<header><h1>{_inline(document.title)}</h1><p class="facts">{facts}</p></header>'
        yield '<section class="answers">'
        for task, answer in document.answers:
            yield self._answer(task, answer)
        yield "</section>"
        for chapter in document.chapters:
            yield self._heading(chapter)
            for part in chapter.parts:
                yield self._part(part)

    def _answer(self, task: str, answer: Answer) -> str:
        sentences = " ".join(map(_inline, answer.sentences))
        caveats = "".join(f"<li>{_inline(caveat)}</li>" for caveat in answer.caveats)
        return (
            f'<article class="answer"><a href="#{_anchor(f"Task {task}")}">{_plain(task)}</a>'
            f'<p class="headline">{_inline(answer.headline)}</p>'
            + (f"<p>{sentences}</p>" if sentences else "")
            + (f"<ul>{caveats}</ul>" if caveats else "")
            + "</article>"
        )

    def _heading(self, chapter: Chapter) -> str:
        anchor = f' id="{_anchor(chapter.title)}"' if chapter.level == 2 else ""
        return f"<h{chapter.level}{anchor}>{_inline(chapter.title)}</h{chapter.level}>"

    def _part(self, part: Part) -> str:
        if isinstance(part, Text):
            return f"<p{' class=quiet' if part.quiet else ''}>{_inline(part.text)}</p>"
        if isinstance(part, Bullets):
            return "<ul>" + "".join(f"<li>{_inline(item)}</li>" for item in part.items) + "</ul>"
        if isinstance(part, Code):
            return f"<pre><code>{_plain(chr(10).join(part.lines))}</code></pre>"
        if isinstance(part, Table):
            return _table(part)
        if isinstance(part, Figure):
            return self._figure(part)
        assert isinstance(part, Folded)
        inside = "".join(map(self._part, part.parts))
        return f"<details><summary>{_inline(part.summary)}</summary>{inside}</details>"

    def _figure(self, figure: Figure) -> str:
        label = f'role="img" aria-label="{_plain(figure.alt)}"'
        if figure.panels:
            drawings = "".join(map(self._svg, figure.panels))
            return f'<figure class="panels" {label}>{drawings}</figure>'
        assert figure.wide is not None
        assert figure.narrow is not None
        return (
            f'<figure {label}><div class="wide">{self._svg(figure.wide)}</div>'
            f'<div class="narrow">{self._svg(figure.narrow)}</div></figure>'
        )

    def _svg(self, panel: Panel) -> str:
        self._figures += 1
        return _in_page_colours(svg(panel, f"figure{self._figures}"))


def _table(table: Table) -> str:
    kinds = ["number" if side == "r" else "" for side in table.align]
    head = "".join(
        f"<th{_class(kind)}>{_inline(title)}</th>"
        for title, kind in zip(table.titles, kinds, strict=True)
    )
    looks: Sequence[Look | None] = table.looks or [None] * len(table.rows)
    body = []
    for place, (row, look) in enumerate(zip(table.rows, looks, strict=True)):
        strong = _class("strong" if table.strong and place == 0 else "")
        cells = []
        for column, (cell, kind) in enumerate(zip(row, kinds, strict=True)):
            key = _key(look) if column == 0 and look is not None else ""
            shape = kind or ("long" if len(cell) > _LONG_CELL and column > 0 else "")
            cells.append(f"<td{_class(shape)}>{key}{_inline(cell)}</td>")
        body.append(f"<tr{strong}>{''.join(cells)}</tr>")
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


def _key(look: Look) -> str:
    """A piece of the line that the row has in the figures."""
    dashes = " ".join(f"{2.5 * length:.3g}" for length in look.dashes)
    pattern = f' stroke-dasharray="{dashes}"' if dashes else ""
    line = f'<path d="M0 5H22" style="stroke: {look.colour}" stroke-width="2.5"{pattern}/>'
    return _in_page_colours(f'<svg class="key" viewBox="0 0 22 10" aria-hidden="true">{line}</svg>')


def _class(name: str) -> str:
    return f' class="{name}"' if name else ""


def _in_page_colours(text: str) -> str:
    return _COLOUR.sub(lambda match: f"var(--{_VARIABLES[match[0].upper()]})", text)


def _plain(text: str) -> str:
    return html.escape(text)


def _inline(text: str) -> str:
    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text))
    return re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", text)


def _anchor(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def render_markdown(document: Document) -> str:
    """The whole text. Tables are aligned, so that they can be read as they are."""
    return "\n\n".join(_blocks(document)) + "\n"


def _blocks(document: Document) -> Iterator[str]:
    yield f"# {document.title}"
    yield ", ".join(document.facts)
    for task, answer in document.answers:
        yield f"**{task}**: {answer.headline}"
        if answer.sentences:
            yield " ".join(answer.sentences)
        if answer.caveats:
            yield _bullets(answer.caveats)
    for chapter in document.chapters:
        yield f"{'#' * chapter.level} {chapter.title}"
        for part in chapter.parts:
            yield from _part(part)


def _part(part: Part) -> Iterator[str]:
    if isinstance(part, Text):
        yield part.text
    elif isinstance(part, Bullets):
        yield _bullets(part.items)
    elif isinstance(part, Code):
        yield "\n".join(["```bash", *part.lines, "```"])
    elif isinstance(part, Table):
        yield _markdown_table(part)
    elif isinstance(part, Figure):
        yield f"![{part.alt}]({part.name}.png)"
    elif isinstance(part, Folded):
        yield f"{part.summary}:"
        for inner in part.parts:
            yield from _part(inner)


def _bullets(items: Sequence[str]) -> str:
    return "\n".join(f"- {item}" for item in items)


def _markdown_table(table: Table) -> str:
    rows = [[cell.replace("|", "\\|") for cell in row] for row in table.rows]
    titles = [title.replace("\n", " ") for title in table.titles]
    widths = [max(3, *(len(row[i]) for row in [titles, *rows])) for i in range(len(titles))]
    rule = [
        f"{'-' * (width - 1)}:" if side == "r" else "-" * width
        for side, width in zip(table.align, widths, strict=True)
    ]
    lines = []
    for row in [titles, rule, *rows]:
        cells = [
            cell.rjust(width) if side == "r" else cell.ljust(width)
            for cell, side, width in zip(row, table.align, widths, strict=True)
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
