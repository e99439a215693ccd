"""A report as Markdown, for a terminal or a repository; its pictures are PNGs beside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from stepsize.results.document import (
    Bullets,
    Code,
    Document,
    Figure,
    Folded,
    Part,
    Table,
    Text,
)


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
        yield _table(part)
    elif isinstance(part, Figure):
        yield f"![{part.alt}]({part.name}.png)"
    elif isinstance(part, Folded):
        yield f"{part.summary}:"
        for inner in part.parts:
            yield from _part(inner)


def _bullets(items: Sequence[str]) -> str:
    return "\n".join(f"- {item}" for item in items)


def _table(table: Table) -> str:
    rows = [[cell.replace("|", "\\|") for cell in row] for row in table.rows]
    titles = [column.title.replace("\n", " ") for column in table.columns]
    widths = [max(3, *(len(row[i]) for row in [titles, *rows])) for i in range(len(titles))]
    rule = [
        f"{'-' * (width - 1)}:" if column.is_number else "-" * width
        for column, width in zip(table.columns, widths, strict=True)
    ]
    lines = []
    for row in [titles, rule, *rows]:
        cells = [
            cell.rjust(width) if column.is_number else cell.ljust(width)
            for cell, column, width in zip(row, table.columns, widths, strict=True)
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
