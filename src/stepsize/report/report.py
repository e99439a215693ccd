"""Writes the report of sweeps: HTML, Markdown, ``results.csv``, figures and medians."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from stepsize.report.answer import answer
from stepsize.report.chapters import TaskChapters, profile_parts, run_parts
from stepsize.report.columns import write_results
from stepsize.report.curves import CurveReader, cached_curves
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
from stepsize.report.read import RunRow, Sweep, read_sweep
from stepsize.report.task import TaskComparison, check_baseline, compare_tasks
from stepsize.report.wording import count, listed
from stepsize.run.atomic import replacing


def write_report(folders: Sequence[Path], out: Path, *, baseline: str | None = None) -> Path:
    """Write one report of several sweeps: ``report.html``, ``report.md``, ``results.csv`` and PNGs.

    TensorBoard runs of the medians over seeds go beside them. Figures of an earlier report in the
    same folder are removed.

    Args:
        folders: of sweeps or of single runs; at least one.
        out: folder of the report; created if it does not exist.
        baseline: a setting's label, a method, or a value of what varies, with which the others are
            compared. None: the sweeps' own baseline, or a usual one.

    Returns:
        The path of ``report.html``.

    Raises:
        ValueError: a folder without runs, or an unknown baseline.
    """
    different = {folder.resolve(): folder for folder in folders}
    sweeps = [read_sweep(folder) for folder in different.values()]
    rows = [run for sweep in sweeps for run in sweep.runs]
    settings = name_settings(rows)
    curves_of = cached_curves()
    document = _document(sweeps, settings, curves_of, baseline, out)
    out.mkdir(parents=True, exist_ok=True)
    write_results(out / "results.csv", rows, settings)
    for old in out.glob("*.png"):
        old.unlink()
    for figure in _figures(part for chapter in document.chapters for part in chapter.parts):
        write_png([figure.wide] if figure.wide else figure.panels, out / f"{figure.name}.png")
    write_aggregates(sweeps, out, curves_of)
    pages = {"report.md": render_markdown(document), "report.html": render_page(document)}
    for name, text in pages.items():
        with replacing(out / name) as part:  # a sweep may be killed while it writes
            part.write_text(text, "utf-8")
    return out / "report.html"


def _figures(parts: Iterable[Part]) -> Iterator[Figure]:
    for part in parts:
        if isinstance(part, Figure):
            yield part
        elif isinstance(part, Folded):
            yield from _figures(part.parts)


def _document(
    sweeps: Sequence[Sweep],
    settings: Sequence[Setting],
    curves_of: CurveReader,
    baseline: str | None,
    out: Path,
) -> Document:
    rows = [run for sweep in sweeps for run in sweep.runs]
    comparisons = compare_tasks(rows, settings)
    check_baseline(comparisons, baseline)
    wanted = baseline or next((sweep.baseline for sweep in sweeps if sweep.baseline), None)
    by_method = looks(settings)
    answers = [answer(comparison) for comparison in comparisons]
    chapters = [
        chapter
        for comparison, found in zip(comparisons, answers, strict=True)
        for chapter in TaskChapters(comparison, found, curves_of, by_method, wanted).chapters()
    ]
    profiles = list(profile_parts(comparisons, by_method))
    if profiles:
        chapters.append(Chapter("Performance profiles", profiles))
    runs = Chapter("What was run", list(run_parts(sweeps, comparisons, out)))
    headlines = [(c.task, found.headline) for c, found in zip(comparisons, answers, strict=True)]
    return Document(
        title=listed([sweep.name for sweep in sweeps]),
        facts=_facts(rows, comparisons),
        headlines=headlines if len(headlines) > 1 else [],
        chapters=[*chapters, runs],
    )


def _facts(rows: Sequence[RunRow], comparisons: Sequence[TaskComparison]) -> list[str]:
    statuses = Counter(run.status for run in rows)
    settings = {entry.setting for c in comparisons for entry in (*c.entries, *c.tuning)}
    tasks = len(comparisons)
    return [
        count(len(rows), "run"),
        count(len(settings), "setting"),
        count(len({run.seed for run in rows}), "seed"),
        *([count(tasks, "task")] if tasks > 1 else []),
        *(f"{amount:,} {status}" for status, amount in statuses.most_common()),
    ]
