"""The columns of the report's tables and of results.csv, in one list.

A column of your own is one more entry. Put it into a module that your ``train.py`` imports, and
both the report at a sweep's end and ``python -m stepsize compare`` called from there show it::

    def final_norm(run: RunRow) -> float | None:
        return run.metric("grad_norm/default", "final")

    COLUMNS.append(Column("grad norm", final_norm, median_over_seeds(final_norm)))
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stepsize.report.labels import Setting, grid_of, overrides_of, varied_keys
from stepsize.report.line_styles import Look
from stepsize.report.read import RunRow, Sweep
from stepsize.report.task import Entry, TaskComparison
from stepsize.report.wording import NOTHING, bounds, number, p_value, seconds, steps
from stepsize.stats.intervals import Interval, median_quartiles
from stepsize.stats.paired import Paired

_MOST_VALUES = 12  # of one key in the grid
_SEVERITY = ("failed", "missing", "interrupted", "diverged")  # the order of the runs with trouble


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        title: its heading in a table, where a line break splits it.
        value: its cell in ``results.csv``, from a run; None where the file does not have it.
        cell: its cell in a table, from what the row stands for: an :class:`Entry` (a hyperparameter
            setting on a task) in ``COLUMNS``. In Markdown. None where the table does not have it.
        explanation: a sentence of the legend below the table; may be empty.
        name: its heading in ``results.csv``; the title by default.
        is_number: whether the table aligns it to the right.
        shown: whether the table of a task has it.
    """

    title: str
    value: Callable[[RunRow], Any] | None = None
    cell: Callable[[Any], str] | None = None
    explanation: str = ""
    name: str = ""
    is_number: bool = True
    shown: Callable[[TaskComparison], bool] = lambda comparison: True


@dataclass(frozen=True)
class Table:
    """A table of text.

    Attributes:
        columns: whose titles and alignment it has.
        rows: cells in Markdown.
        looks: of each row, how its line is drawn in the figures; None for no key.
        strong: whether the first row stands out.
    """

    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]
    looks: Sequence[Look | None] = ()
    strong: bool = False


def median_over_seeds(value: Callable[[RunRow], float | None]) -> Callable[[Entry], str]:
    """A cell with the median of a run's value over the seeds of a hyperparameter setting.

    The cell is a dash where a seed diverged, because it is not known how bad that is, where a
    finished run has no such value, and where no run has finished.
    """

    def cell(entry: Entry) -> str:
        finished = [run for run in entry.runs if run.finished]
        known = [v for v in map(value, finished) if v is not None]
        if not known or entry.count("diverged") or len(known) < len(finished):
            return NOTHING
        return number(median_quartiles(known)[1])

    return cell


def _count_of(title: str, status: str, always: bool = False) -> Column:
    return Column(
        title,
        cell=lambda entry: str(entry.count(status)),
        shown=lambda comparison: always or any(e.count(status) for e in comparison.entries),
    )


def _mean_in(title: str, log: bool) -> Column:
    return Column(
        title,
        cell=lambda entry: number(entry.mean.center) if entry.mean else NOTHING,
        shown=lambda comparison: comparison.measure.log == log,
    )


def _interval_in(explanation: str, log: bool) -> Column:
    return Column(
        "its 95%\ninterval",
        cell=lambda entry: bounds(entry.mean) or NOTHING,
        explanation=explanation,
        shown=lambda comparison: comparison.measure.log == log and comparison.seed_matters,
    )


def _has_target(comparison: TaskComparison) -> bool:
    return any(entry.target_steps for entry in comparison.entries)


def _overrides(runs: Sequence[RunRow]) -> list[Column]:
    """A column of results.csv for each override that varies."""

    def value(key: str) -> Callable[[RunRow], str | None]:
        return lambda run: overrides_of(run).get(key)

    return [Column(key, value(key)) for key in varied_keys(runs)]


def _metric(tag: str, which: str) -> Callable[[RunRow], float | None]:
    return lambda run: run.metric(tag, which)


def _metrics(runs: Sequence[RunRow]) -> list[Column]:
    """Two columns of results.csv for each main metric: its final and its best value."""
    return [
        Column(f"{tag} {which}", _metric(tag, which))
        for tag in main_tags(runs)
        for which in ("final", "best")
    ]


# A function stands for the columns that it makes of all runs.
COLUMNS: list[Column | Callable[[Sequence[RunRow]], list[Column]]] = [
    Column("sweep", lambda run: run.sweep),
    Column("run", lambda run: run.run),
    Column("setting", lambda run: run.label, lambda entry: entry.setting.label, is_number=False),
    Column(
        "n",
        cell=lambda entry: str(entry.n),
        explanation="n is the number of seeds that completed or diverged.",
    ),
    _count_of("diverged", "diverged", always=True),  # readers look for these two
    _count_of("failed", "failed", always=True),
    _count_of("interrupted", "interrupted"),
    _count_of("missing", "missing"),
    Column("stage", lambda run: run.stage),
    Column("status", lambda run: run.status),
    Column("reason", lambda run: run.reason),
    Column("task", lambda run: run.task),
    Column("optimizer", lambda run: run.optimizer),
    Column("scheduler", lambda run: run.scheduler),
    Column("param_groups", lambda run: run.param_groups),
    Column("seed", lambda run: run.seed),
    Column("lr", lambda run: run.lr),
    _overrides,
    Column("steps", lambda run: run.steps),
    Column("seconds", lambda run: run.seconds),
    Column("monitor", lambda run: run.monitor),
    Column("mode", lambda run: run.mode),
    Column("objective", lambda run: run.objective),
    Column("optimum", lambda run: run.optimum),
    Column(
        "final\nmedian",
        cell=lambda entry: number(entry.median),
        explanation="A diverged run counts as infinitely bad in medians and gives no mean.",
    ),
    _mean_in("final\ngeo. mean", log=True),
    _mean_in("final\nmean", log=False),
    _interval_in("The interval is Student's t interval, computed on log values.", log=True),
    _interval_in("The interval is Student's t interval.", log=False),
    Column("best\nmedian", cell=lambda entry: number(entry.best)),
    _metrics,
    Column("target_metric", lambda run: run.target and run.target.metric),
    Column("target_value", lambda run: run.target and run.target.value),
    Column(
        "hits",
        cell=lambda e: f"{e.hits}/{len(e.target_steps)}" if e.target_steps else NOTHING,
        explanation="Hits are the runs that reached the target.",
        shown=_has_target,
    ),
    Column(
        "steps to\ntarget",
        lambda run: run.target_steps,
        lambda entry: steps(entry.median_target_steps),
        "Steps to target is a median in which a miss counts as infinite.",
        name="target_steps",
        shown=_has_target,
    ),
    Column(
        "time",
        cell=lambda entry: seconds(entry.seconds),
        explanation="Time is the median duration of a run.",
    ),
    Column("config_hash", lambda run: run.config_hash),
]


def _table_columns(comparison: TaskComparison) -> list[Column]:
    columns = [c for c in COLUMNS if isinstance(c, Column) and c.cell is not None]
    return [column for column in columns if column.shown(comparison)]


def legend(comparison: TaskComparison) -> str:
    """What the columns of :func:`settings_table` mean, as one paragraph."""
    return " ".join(c.explanation for c in _table_columns(comparison) if c.explanation)


def write_results(file: Path, runs: Sequence[RunRow], settings: Sequence[Setting]) -> None:
    """Write a CSV row for each run of each sweep, whatever its status.

    A cell is empty where there is no value: a metric that is not finite, the learning rate of an
    optimizer without one. ``target_steps`` is ``inf`` where the target was missed. ``final`` and
    ``best`` are the logged values, those of diverged runs too.

    Args:
        file: to write.
        runs: of all sweeps.
        settings: of each run, in the same order.
    """
    runs = [replace(run, label=s.label) for run, s in zip(runs, settings, strict=True)]
    groups = [[c] if isinstance(c, Column) else c(runs) for c in COLUMNS]
    columns = [column for group in groups for column in group]
    values = [(c.name or c.title, c.value) for c in columns if c.value is not None]
    with file.open("w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream)
        table.writerow(name for name, _ in values)
        table.writerows([value(run) for _, value in values] for run in runs)


def _table(
    columns: Sequence[Column], items: Sequence[Any], looks: Sequence[Look | None] = ()
) -> Table:
    rows = [[column.cell(item) for column in columns if column.cell] for item in items]
    return Table(columns, rows, looks)


def settings_table(
    comparison: TaskComparison, entries: Sequence[Entry], looks: Mapping[str, Look]
) -> Table:
    """One row for each hyperparameter setting, the best first."""
    keys = [looks.get(entry.setting.label) for entry in entries]
    table = _table(_table_columns(comparison), entries, keys)
    return replace(table, strong=len(entries) > 1)


def other_metrics_table(
    comparison: TaskComparison, entries: Sequence[Entry], looks: Mapping[str, Look]
) -> Table | None:
    """The median final value of the metrics that do not rank the task; None without any."""
    tags = [tag for tag in main_tags(comparison.runs) if tag != comparison.measure.tag]
    if not tags:
        return None
    columns = [Column("setting", cell=lambda entry: entry.setting.label, is_number=False)]
    columns += [Column(tag, cell=median_over_seeds(_metric(tag, "final"))) for tag in tags]
    return _table(columns, entries, [looks.get(entry.setting.label) for entry in entries])


def main_tags(runs: Sequence[RunRow]) -> list[str]:
    """The tags of losses, gaps and scores, without ``grad_norm/...`` and the like."""
    tags = dict.fromkeys(tag for run in runs for tag in run.metrics)
    main = [tag for tag in tags if tag.split("/")[0] in ("train", "val", "test")]
    return [tag for tag in main if tag != "train/log10_gap"]


def differences_table(
    comparison: TaskComparison,
    pairs: Mapping[str, tuple[Paired, float | None]],
    looks: Mapping[str, Look],
) -> Table:
    """One row for each hyperparameter setting that is compared with the baseline."""
    ratio = all(pair.scale == "ratio" for pair, _ in pairs.values())
    matters = comparison.seed_matters
    columns = [
        Column("setting", cell=lambda row: row[0], is_number=False),
        Column("n", cell=lambda row: str(row[1].n)),
        Column(
            "ratio" if ratio else "difference", cell=lambda row: number(row[1].ratio_or_difference)
        ),
        Column("95% interval", cell=lambda row: _interval(row[1]) if matters else NOTHING),
        Column("seeds\nwon", cell=lambda row: f"{row[1].wins}/{row[1].n}"),
        Column("p\n(Holm)", cell=lambda row: p_value(row[2]) if matters else NOTHING),
        Column("verdict", cell=lambda row: verdict(comparison, *row[1:]), is_number=False),
    ]
    rows = [(label, pair, adjusted) for label, (pair, adjusted) in pairs.items()]
    return _table(columns, rows, [looks.get(label) for label in pairs])


def _interval(pair: Paired) -> str:
    if pair.low is None or pair.high is None:
        return NOTHING
    return bounds(Interval(0.0, pair.low, pair.high, pair.n)) or NOTHING


def verdict(comparison: TaskComparison, pair: Paired, adjusted: float | None) -> str:
    """The verdict of one comparison, after the correction for their number."""
    if pair.verdict == "identical":
        return "identical"
    if not comparison.seed_matters:
        return "exact: the seed has no effect"
    if pair.n == 0:
        return "no seed in common"
    if pair.verdict in ("better", "worse") and not comparison.claims(pair, adjusted):
        return "not distinguishable after Holm's correction"
    return f"**{pair.verdict}**" if comparison.claims(pair, adjusted) else pair.verdict


def grid_table(runs: Sequence[RunRow]) -> Table:
    """Every key that was given a value, with its values."""
    rows = []
    for key, values in grid_of(runs).items():
        if values == ["none"]:
            continue
        more = f" and {len(values) - _MOST_VALUES} more" if len(values) > _MOST_VALUES else ""
        shown = ", ".join(f"`{value}`" for value in values[:_MOST_VALUES]) + more
        rows.append([f"`{key}`", str(len(values)), shown])
    columns = [Column("key", is_number=False), Column("values"), Column("which", is_number=False)]
    return Table(columns, rows)


def trouble_table(sweeps: Sequence[Sweep], most: int = 40) -> tuple[Table, int]:
    """Each run that did not complete, with its reason, and how many rows the table skips."""
    several = len(sweeps) > 1
    rows = [
        [f"{run.sweep}/{run.run}" if several else run.run, run.status, run.reason or NOTHING]
        for sweep in sweeps
        for run in sorted(sweep.runs, key=lambda run: (*_SEVERITY, run.status).index(run.status))
        if run.status != "completed"
    ]
    columns = [Column(title, is_number=False) for title in ("run", "status", "reason")]
    return Table(columns, rows[:most]), max(len(rows) - most, 0)
