"""What a report is made of, before it is a page or Markdown.

In all text, backticks mark code and double asterisks what matters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stepsize.report.answer import Answer
from stepsize.report.figures.panel import Panel
from stepsize.report.line_styles import Look


@dataclass(frozen=True)
class Text:
    """A paragraph; a quiet one is a note to what stands above it."""

    text: str
    quiet: bool = False


@dataclass(frozen=True)
class Bullets:
    """A list of sentences."""

    items: Sequence[str]


@dataclass(frozen=True)
class Code:
    """Lines to be pasted into a terminal."""

    lines: Sequence[str]


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        titles: of the columns.
        rows: cells as text.
        align: "l" or "r" for each column.
        looks: of each row, how its line is drawn in the figures; None for no key.
        strong: whether the first row stands out.
    """

    titles: Sequence[str]
    rows: Sequence[Sequence[str]]
    align: str
    looks: Sequence[Look | None] = ()
    strong: bool = False


@dataclass(frozen=True)
class Figure:
    """A figure.

    Attributes:
        name: of its PNG, without the ending; unique in the report.
        alt: what it shows, for those who cannot see it.
        wide: for a desktop, and for the PNG; None where there are panels.
        narrow: for a telephone.
        panels: small ones, side by side.
    """

    name: str
    alt: str
    wide: Panel | None = None
    narrow: Panel | None = None
    panels: Sequence[Panel] = ()


@dataclass(frozen=True)
class Folded:
    """Parts that are shown when asked for."""

    summary: str
    parts: Sequence[Part]


Part = Text | Bullets | Code | Table | Figure | Folded


@dataclass(frozen=True)
class Chapter:
    """A heading and what stands below it.

    Attributes:
        title: level 2, or 3 where it belongs to the chapter before.
        parts: in order.
        level: of the heading.
    """

    title: str
    parts: Sequence[Part]
    level: int = 2


@dataclass(frozen=True)
class Document:
    """A report.

    Attributes:
        title: the sweeps' names.
        facts: what it is about, in a few words each.
        answers: by task.
        chapters: the rest.
    """

    title: str
    facts: Sequence[str]
    answers: Sequence[tuple[str, Answer]]
    chapters: Sequence[Chapter]
