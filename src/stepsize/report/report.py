"""Writes the report of sweeps: a page, Markdown, results.csv, figures and median curves."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from stepsize.report.answer import answer
from stepsize.report.chapters import TaskChapters, profile_parts, run_parts
from stepsize.report.columns import write_results
from stepsize.report.curves import CachedCurves, CurveReader
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
from stepsize.report.labels import Setting, name_settings
from stepsize.report.line_styles import looks
from stepsize.report.medians import write_aggregates
from stepsize.report.read import Sweep, read_sweep
from stepsize.report.task import TaskComparison, check_baseline, compare_tasks
from stepsize.report.wording import count, listed


def write_report(folders: Sequence[Path], out: Path, *, baseline: str | None = None) -> Path:
    """Write one report of several sweeps: ``report.html``, ``report.md``, ``results.csv``, PNGs.

    TensorBoard runs with the medians over seeds go into the same folder. The figures of an earlier
    report there are removed.

    Args:
        folders: of sweeps or of single runs, at least one.
        out: folder of the report, which is made if it does not exist.
        baseline: of the paired differences: the label of a hyperparameter setting, a method, or a
            value of a key that varies. None for the sweeps' own baseline, or the default.

    Returns:
        The path of ``report.html``.

    Raises:
        ValueError: a folder has no runs, or no task has the baseline.
    """
    different = {folder.resolve(): folder for folder in folders}
    sweeps = [read_sweep(folder) for folder in different.values()]
    rows = [run for sweep in sweeps for run in sweep.runs]
    settings = name_settings(rows)
    curves_of = CachedCurves()
    document = build_document(sweeps, settings, curves_of, baseline)
    out.mkdir(parents=True, exist_ok=True)
    write_results(out / "results.csv", rows, settings)
    _write_figures(document, out)
    write_aggregates(sweeps, out, curves_of)
    _write(out / "report.md", render_markdown(document))
    page = out / "report.html"
    _write(page, render_page(document))
    return page


def _write_figures(document: Document, out: Path) -> None:
    for old in out.glob("*.png"):
        old.unlink()
    for figure in _figures(part for chapter in document.chapters for part in chapter.parts):
        panels = [figure.wide] if figure.wide else figure.panels
        write_png(panels, out / f"{figure.name}.png")


def _figures(parts: Iterable[Part]) -> Iterator[Figure]:
    for part in parts:
        if isinstance(part, Figure):
            yield part
        elif isinstance(part, Folded):
            yield from _figures(part.parts)


def _write(file: Path, text: str) -> None:
    """Write the whole file or nothing, because a sweep may be stopped meanwhile."""
    part = file.with_suffix(".part")
    part.write_text(text, "utf-8")
    os.replace(part, file)


def build_document(
    sweeps: Sequence[Sweep],
    settings: Sequence[Setting],
    curves_of: CurveReader,
    baseline: str | None,
) -> Document:
    """The parts of the whole report.

    Args:
        sweeps: at least one.
        settings: of each run of each sweep, in order.
        curves_of: reads a run's curves.
        baseline: of the paired differences; None for the sweeps' own, or the default.

    Raises:
        ValueError: no task has the baseline.
    """
    rows = [run for sweep in sweeps for run in sweep.runs]
    comparisons = compare_tasks(rows, settings)
    check_baseline(comparisons, baseline)
    wanted = baseline or next((sweep.baseline for sweep in sweeps if sweep.baseline), None)
    by_method = looks(settings)
    chapters: list[Chapter] = []
    for comparison in comparisons:
        chapters += TaskChapters(comparison, curves_of, by_method, wanted).chapters()
    chapters.append(Chapter("Performance profiles", list(profile_parts(comparisons, by_method))))
    chapters.append(Chapter("Runs", list(run_parts(sweeps))))
    return Document(
        title=listed([sweep.name for sweep in sweeps]),
        facts=_facts(sweeps, comparisons),
        answers=[(comparison.task, answer(comparison)) for comparison in comparisons],
        chapters=chapters,
    )


def _facts(sweeps: Sequence[Sweep], comparisons: Sequence[TaskComparison]) -> list[str]:
    rows = [run for sweep in sweeps for run in sweep.runs]
    statuses = Counter(run.status for run in rows)
    settings = {entry.setting for c in comparisons for entry in (*c.entries, *c.tuning)}
    tasks = len(comparisons)
    return [
        count(len(rows), "run"),
        count(len(settings), "hyperparameter setting"),
        count(len({run.seed for run in rows}), "seed"),
        *([count(tasks, "task")] if tasks > 1 else []),
        *(f"{amount:,} {status}" for status, amount in statuses.most_common()),
    ]
