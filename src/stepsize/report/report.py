"""Writes the report of sweeps: HTML, Markdown, ``answer.json``, ``results.csv``, figures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stepsize.report.answer import SweepAnswer, answer_sweeps
from stepsize.report.answer_file import write_answer
from stepsize.report.chapters import TaskChapters, profile_parts, run_parts
from stepsize.report.columns import write_results
from stepsize.report.curves import cached_curves
from stepsize.report.document import (
    Chapter,
    Document,
    Figure,
    Folded,
    Part,
    render_markdown,
    render_page,
)
from stepsize.report.figures.panel import write_png
from stepsize.report.line_styles import Look, looks
from stepsize.report.read import read_sweep
from stepsize.report.tensorboard import write_board
from stepsize.run.atomic import replacing


@dataclass(frozen=True)
class Report:
    """A written report.

    Attributes:
        page: path of ``report.html``.
        answer: what it says.
    """

    page: Path
    answer: SweepAnswer


def write_report(folders: Sequence[Path], out: Path, *, baseline: str | None = None) -> Report:
    """Write one report of several sweeps: page, Markdown, answer, results, PNGs.

    TensorBoard runs of the settings go beside them. Figures of an earlier report in the same folder
    are removed.

    Args:
        folders: of sweeps or of single runs; at least one.
        out: folder of the report; created if it does not exist.
        baseline: a setting's label, a method, or a value of what varies, with which the others are
            compared. None: the sweeps' own baseline, or a usual one.

    Raises:
        ValueError: a folder without runs, or an unknown baseline.
    """
    different = {folder.resolve(): folder for folder in folders}
    answer = answer_sweeps([read_sweep(folder) for folder in different.values()], baseline)
    out.mkdir(parents=True, exist_ok=True)
    write_answer(out / "answer.json", answer)
    write_results(out / "results.csv", answer.rows, answer.settings)
    curves_of = cached_curves()
    by_method = looks(answer.settings)
    tasks = [TaskChapters(task, curves_of, by_method, answer.wanted) for task in answer.tasks]
    document = _document(answer, tasks, by_method, out)
    for old in out.glob("*.png"):
        old.unlink()
    for figure in _figures(part for chapter in document.chapters for part in chapter.parts):
        write_png([figure.wide] if figure.wide else figure.panels, out / f"{figure.name}.png")
    write_board(answer, out, curves_of, {task.answer.task: task.looks for task in tasks})
    pages = {"report.md": render_markdown(document), "report.html": render_page(document)}
    for name, text in pages.items():
        with replacing(out / name) as part:  # a sweep may be killed while it writes
            part.write_text(text, "utf-8")
    return Report(out / "report.html", answer)


def _figures(parts: Iterable[Part]) -> Iterator[Figure]:
    for part in parts:
        if isinstance(part, Figure):
            yield part
        elif isinstance(part, Folded):
            yield from _figures(part.parts)


def _document(
    answer: SweepAnswer, tasks: Sequence[TaskChapters], by_method: Mapping[str, Look], out: Path
) -> Document:
    chapters = [chapter for task in tasks for chapter in task.chapters()]
    profiles = list(profile_parts([task.comparison for task in answer.tasks], by_method))
    if profiles:
        chapters.append(Chapter("Performance profiles", profiles))
    headlines = [(task.task, task.conclusion.headline) for task in answer.tasks]
    return Document(
        title=answer.title,
        facts=answer.facts,
        headlines=headlines if len(headlines) > 1 else [],
        chapters=[*chapters, Chapter("What was run", list(run_parts(answer, out)))],
    )
