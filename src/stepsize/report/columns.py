r"""Columns of the report's tables and of ``results.csv``; append your own to ``COLUMNS``.

One :class:`Column` gives a value of each run, which ``results.csv`` has, and a summary over the
seeds of a hyperparameter setting, which ``report.html`` and ``report.md`` show. A column of your
own is one entry::

    from stepsize.report.columns import COLUMNS, Column

    def ms_per_step(run):
        return 1000 * run.seconds / run.steps if run.finished and run.steps else None

    COLUMNS.append(Column("ms per\nstep", ms_per_step, legend="Median time of a step."))

A sweep imports the modules of ``allowed_packages`` before it writes its report, and
``python -m stepsize compare FOLDER --columns my_module`` imports ``my_module``.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

from stepsize.report.answer import TaskAnswer
from stepsize.report.document import Table
from stepsize.report.labels import LR, Setting, grid_of, shown_number, varied_overrides
from stepsize.report.line_styles import Look
from stepsize.report.read import STATUSES, RunRow, Sweep
from stepsize.report.task import Entry, TaskComparison
from stepsize.report.wording import NOTHING, bounds, listed, number, p_value, seconds, steps
from stepsize.stats.intervals import median_quartiles

_MAX_VALUES = 12  # of one key in the table of the grid
_MAX_PROBLEMS = 40  # rows in the table of runs that did not complete


@dataclass(frozen=True)
class Column:
    r"""A value of each run in ``results.csv``, and its summary in the table of settings.

    Attributes:
        title: heading in the table; ``\n`` breaks the line.
        of_run: value of a run of any status for ``results.csv``, None for an empty cell. Without
            this function the column is not in ``results.csv``.
        of_setting: text or number of a hyperparameter setting for the table; by default the median
            of ``of_run`` over the seeds that completed or diverged.
        legend: sentence below the table that explains the column.
        csv: heading in ``results.csv``; by default the title on one line.
        shown: whether the table of a task has the column.
    """

    title: str
    of_run: Callable[[RunRow], Any] | None = None
    of_setting: Callable[[Entry], str | float | None] | None = None
    legend: str | Callable[[TaskComparison], str] = ""
    csv: str | None = None
    shown: Callable[[TaskComparison], bool] = lambda comparison: True

    def cell(self, entry: Entry) -> str:
        """The text of a hyperparameter setting's cell."""
        value = self.of_setting(entry) if self.of_setting else self._median(entry)
        return value if isinstance(value, str) else number(value)

    def _median(self, entry: Entry) -> float | None:
        assert self.of_run is not None
        values = [self.of_run(run) for run in entry.runs if run.finished]
        known = [value for value in values if value is not None]
        return median_quartiles(known)[1] if known else None


def _for_csv(*attributes: str) -> list[Column]:
    """Attributes of a run that only ``results.csv`` has."""
    return [Column(name, attrgetter(name), shown=lambda comparison: False) for name in attributes]


def _count(status: str, shown: bool = False) -> Column:
    """The number of runs with a status; hidden if it is 0 everywhere, unless always shown."""
    return Column(
        status,
        of_setting=lambda entry: str(entry.count(status)),
        shown=lambda comparison: shown or any(e.count(status) for e in comparison.entries),
    )


def _is_rounding(entry: Entry) -> bool:
    return 0 < entry.at_rounding == entry.n


def _center(entry: Entry) -> str | float | None:
    if _is_rounding(entry):
        return f"<{entry.measure.floor:.1e}"
    return entry.mean.center if entry.mean else None


def _mean(title: str, interval: str, log: bool) -> Column:
    return Column(
        title,
        of_setting=_center,
        legend=f"If a run diverged, no mean is given. The interval is {interval}.",
        shown=lambda comparison: comparison.measure.log == log,
    )


def _has_target(comparison: TaskComparison) -> bool:
    return any(entry.target_steps for entry in comparison.entries)


def _hits(entry: Entry) -> str:
    return f"{entry.hits}/{len(entry.target_steps)}" if entry.target_steps else NOTHING


def _target_legend(comparison: TaskComparison) -> str:
    targets = [run.target for run in comparison.runs if run.target is not None]
    named = {f"{target.metric} of {shown_number(str(target.value))}" for target in targets}
    return f"Hits are the runs that met the target: {listed(sorted(named))}."


def _lr(entry: Entry) -> str:
    """The learning rates of the runs; a dash for an optimizer without one."""
    lrs = {run.lr for run in entry.runs}
    return listed([NOTHING if lr is None else shown_number(str(lr)) for lr in lrs], maximum=2)


def _lr_is_hidden(comparison: TaskComparison) -> bool:
    """Whether settings differ in learning rates that their labels do not show."""
    lrs = {run.lr for entry in comparison.entries for run in entry.runs}
    return len(lrs) > 1 and not any(LR in dict(e.setting.values) for e in comparison.entries)


def _has_spread(comparison: TaskComparison) -> bool:
    return comparison.seed_matters and any(entry.n > 1 for entry in comparison.entries)


_N = Column(
    "n",
    of_setting=lambda entry: str(entry.n),
    legend="n is the number of seeds whose run completed or diverged.",
)
_INTERVAL = Column(
    "95% interval\nof the mean",
    of_setting=lambda entry: NOTHING if _is_rounding(entry) else bounds(entry.mean),
    shown=lambda comparison: comparison.seed_matters,
)
_HITS = Column("hits", of_setting=_hits, legend=_target_legend, shown=_has_target)
_TARGET_STEPS = Column(
    "steps to\ntarget",
    attrgetter("target_steps"),
    lambda entry: steps(entry.median_target_steps),
    legend="Steps to target are the median; a miss counts as infinite.",
    csv="target_steps",
    shown=_has_target,
)

# The first column of every table is the hyperparameter setting.
COLUMNS: list[Column] = [
    *_for_csv("sweep", "run", "stage", "status", "reason", "task", "optimizer", "scheduler"),
    *_for_csv("param_groups", "seed", "lr"),
    Column("lr", of_setting=_lr, shown=_lr_is_hidden),
    _N,
    _count("diverged", shown=True),
    _count("failed"),
    _count("interrupted"),
    _count("missing"),
    *_for_csv("steps", "monitor", "mode", "objective", "optimum"),
    Column(
        "final\nmedian",
        of_setting=attrgetter("median"),
        legend="The median counts a diverged run as infinitely bad.",
    ),
    _mean("final\ngeo. mean", "Student's t interval, computed from the logarithms", log=True),
    _mean("final\nmean", "Student's t interval", log=False),
    _INTERVAL,
    Column(
        "worst\nseed",
        of_setting=attrgetter("worst"),
        legend="The worst seed shows how much the seed matters.",
        shown=_has_spread,
    ),
    Column(
        "best\nmedian",
        of_setting=attrgetter("best"),
        legend="Best is the best value during a run.",
    ),
    *_for_csv("target_metric", "target_value"),
    _HITS,
    _TARGET_STEPS,
    Column(
        "time",
        attrgetter("seconds"),
        lambda entry: seconds(entry.seconds),
        legend="Time is the median duration of a run.",
        csv="seconds",
    ),
    *_for_csv("config_hash"),
]  # fmt: skip


def settings_table(
    comparison: TaskComparison, entries: Sequence[Entry], looks: Mapping[str, Look]
) -> Table:
    """One row per hyperparameter setting, the best first."""
    shown = [column for column in COLUMNS if column.shown(comparison)]
    return _table(shown, entries, looks, strong=len(entries) > 1)


def legend(comparison: TaskComparison) -> str:
    """The sentences that explain the columns of :func:`settings_table`."""
    texts = [column.legend for column in COLUMNS if column.shown(comparison)]
    return " ".join(text if isinstance(text, str) else text(comparison) for text in texts if text)


def other_metrics_table(
    comparison: TaskComparison, entries: Sequence[Entry], looks: Mapping[str, Look]
) -> Table | None:
    """The median final value of the metrics that do not rank the task; None without any."""
    tags = [tag for tag in main_tags(comparison.runs) if tag != comparison.measure.tag]
    return _table(list(map(_final, tags)), entries, looks) if tags else None


def _table(
    columns: Sequence[Column],
    entries: Sequence[Entry],
    looks: Mapping[str, Look],
    strong: bool = False,
) -> Table:
    rows = [[entry.setting.label, *(column.cell(entry) for column in columns)] for entry in entries]
    return Table(
        ["setting", *(column.title for column in columns)],
        rows,
        "l" + "r" * len(columns),
        [looks.get(row[0]) for row in rows],
        strong,
    )


def main_tags(runs: Sequence[RunRow]) -> list[str]:
    """The tags of losses, gaps, scores and whatever a module logs itself.

    Norms and learning rates are no results: ``result.json`` does not have them.
    """
    return list(dict.fromkeys(tag for run in runs for tag in run.metrics))


def _final(tag: str) -> Column:
    """The final value of a metric; no median where a run diverged or lacks the metric."""

    def of_run(run: RunRow) -> float | None:
        return run.metrics.get(tag, {}).get("final")

    def of_setting(entry: Entry) -> float | None:
        values = [
            None if run.status == "diverged" else of_run(run) for run in entry.runs if run.finished
        ]
        known = [value for value in values if value is not None]
        return median_quartiles(known)[1] if known and len(known) == len(values) else None

    return Column(tag, of_run, of_setting, csv=f"{tag} final")


def _best(tag: str) -> Column:
    return Column(f"{tag} best", lambda run: run.metrics.get(tag, {}).get("best"))


def write_results(file: Path, rows: Sequence[RunRow], settings: Sequence[Setting]) -> None:
    """Write ``results.csv``: every run of every sweep, whatever its status.

    A cell is empty without a value: one that was not finite, or a learning rate that
    an optimizer does not have. ``target_steps`` is ``inf`` for a miss. ``final`` and ``best`` are
    as logged, also in diverged runs: see ``status``.

    Args:
        file: to write.
        rows: the runs.
        settings: the hyperparameter setting of each run.
    """
    columns = [column for column in COLUMNS if column.of_run is not None]
    columns += [column for tag in main_tags(rows) for column in (_final(tag), _best(tag))]
    overrides = varied_overrides(rows)
    keys = list(dict.fromkeys(key for given in overrides for key in given))
    with file.open("w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream)
        titles = [column.csv or column.title.replace("\n", " ") for column in columns]
        table.writerow(["setting", *titles, *keys])
        for row, setting, given in zip(rows, settings, overrides, strict=True):
            values = [column.of_run(row) for column in columns if column.of_run]
            table.writerow([setting.label, *values, *map(given.get, keys)])


def differences_table(answer: TaskAnswer, looks: Mapping[str, Look]) -> Table:
    """One row per hyperparameter setting that is compared with the baseline."""
    differences, seed_matters = answer.differences, answer.comparison.seed_matters
    ratio = all(difference.pair.scale == "ratio" for difference in differences)
    titles = [
        "setting", "n", "ratio" if ratio else "difference", "95% interval", "seeds\nwon",
        "p\n(adjusted)", "verdict",
    ]  # fmt: skip
    rows = [
        [
            difference.setting,
            str(difference.pair.n),
            number(difference.pair.ratio_or_difference),
            bounds(difference.pair) if seed_matters else NOTHING,
            f"{difference.pair.wins}/{difference.pair.n}",
            p_value(difference.p) if seed_matters else NOTHING,
            f"**{difference.verdict}**" if difference.significant else difference.verdict,
        ]
        for difference in differences
    ]
    return Table(titles, rows, "lrrrrrl", [looks.get(d.setting) for d in differences])


def short_table(answer: TaskAnswer) -> Table:
    """The judged metric of each method's best setting, the best first: for a terminal."""
    comparison = answer.comparison
    tag = comparison.measure.tag
    columns = [
        _N,
        *(_count(status) for status in STATUSES[1:]),
        Column(f"median\n{tag}", of_setting=attrgetter("median")),
        _INTERVAL,
        _HITS,
        _TARGET_STEPS,
    ]
    shown = [column for column in columns if column.shown(comparison)]
    return _table(shown, comparison.leaders, {}, strong=len(comparison.leaders) > 1)


def grid_table(runs: Sequence[RunRow]) -> Table:
    """Every key that was overridden, with its values."""
    rows = []
    for key, values in grid_of(runs).items():
        if values == ["none"]:
            continue
        more = f" and {len(values) - _MAX_VALUES} more" if len(values) > _MAX_VALUES else ""
        shown = ", ".join(f"`{value}`" for value in values[:_MAX_VALUES]) + more
        rows.append([f"`{key}`", str(len(values)), shown])
    return Table(["key", "values", "which"], rows, "lrl")


def trouble_table(sweeps: Sequence[Sweep]) -> tuple[Table, int]:
    """Runs that did not complete, with the reason; and the number of rows beyond the limit."""
    order = ("failed", "missing", "interrupted", "diverged")
    rows = [
        [
            f"{run.sweep}/{run.run}" if len(sweeps) > 1 else run.run,
            run.status,
            run.reason or NOTHING,
        ]
        for sweep in sweeps
        for status in order
        for run in sweep.runs
        if run.status == status
    ]
    table = Table(["run", "status", "reason"], rows[:_MAX_PROBLEMS], "lll")
    return table, max(len(rows) - _MAX_PROBLEMS, 0)
