"""The parts of a report, before they are rendered as a page or as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stepsize.report.answer import Answer
from stepsize.report.columns import Table
from stepsize.report.figures.panel import Panel


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
