"""Sweeps turned into a report, before it is a page or Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from stepsize.results.answer import answer
from stepsize.results.baseline import check_baseline
from stepsize.results.colours import looks
from stepsize.results.comparison import TaskComparison, compare_tasks
from stepsize.results.curves import CurveReader
from stepsize.results.document import Chapter, Document
from stepsize.results.profile_chapter import profile_parts
from stepsize.results.rows import Sweep
from stepsize.results.runs_chapter import run_parts
from stepsize.results.settings import Setting
from stepsize.results.task_chapters import TaskChapters
from stepsize.results.wording import count, listed


def build_document(
    sweeps: Sequence[Sweep],
    settings: Sequence[Setting],
    curves_of: CurveReader,
    baseline: str | None,
) -> Document:
    """The whole report.

    Args:
        sweeps: at least one.
        settings: of each run of each sweep, in order.
        curves_of: reads a run's curves.
        baseline: what differences are shown against; None for the sweeps' own, or a usual one.

    Raises:
        ValueError: there is no such baseline.
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
    chapters.append(Chapter("What was run", list(run_parts(sweeps))))
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
        count(len(settings), "setting"),
        count(len({run.seed for run in rows}), "seed"),
        *([count(tasks, "task")] if tasks > 1 else []),
        *(f"{amount:,} {status}" for status, amount in statuses.most_common()),
    ]
