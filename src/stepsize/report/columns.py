"""The report's tables."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from stepsize.report.document import Column, Table
from stepsize.report.labels import Setting, grid_of, varied_words
from stepsize.report.line_styles import Look
from stepsize.report.read import RunRow, Sweep
from stepsize.report.task import Entry, TaskComparison
from stepsize.report.wording import NOTHING, bounds, number, p_value, seconds, steps
from stepsize.stats.paired import Paired

_MOST_VALUES = 12  # of one key in the grid


def settings_table(
    comparison: TaskComparison, entries: Sequence[Entry], looks: Mapping[str, Look]
) -> Table:
    """One row per setting, the best first."""
    counted = {
        "diverged": ("diverged",),
        "failed": ("failed",),
        "cut off": ("interrupted",),
        "missing": ("missing",),
    }
    # Divergence and failure always have a column: a reader looks for them.
    shown = {
        title: statuses
        for title, statuses in counted.items()
        if title in ("diverged", "failed") or any(e.count(*statuses) for e in comparison.entries)
    }
    with_target = any(entry.target_steps for entry in entries)
    mean = "geo. mean" if comparison.measure.log else "mean"
    columns = [
        Column("setting", False),
        Column("n"),
        *(Column(title) for title in shown),
        Column("final\nmedian"),
        Column(f"final\n{mean}"),
        Column("its 95%\ninterval"),
        Column("best\nmedian"),
        *([Column("hits"), Column("steps to\ntarget")] if with_target else []),
        Column("time"),
    ]
    rows = []
    for entry in entries:
        rows.append(
            [
                entry.setting.label,
                str(entry.n),
                *(str(entry.count(*statuses)) for statuses in shown.values()),
                number(entry.median),
                number(entry.mean.center) if entry.mean else NOTHING,
                (bounds(entry.mean) if comparison.seed_matters else "") or NOTHING,
                number(entry.best),
                *(_target_cells(entry) if with_target else []),
                seconds(entry.seconds),
            ]
        )
    keys = [looks.get(entry.setting.label) for entry in entries]
    return Table(columns, rows, keys, strong=len(rows) > 1)


def _target_cells(entry: Entry) -> list[str]:
    if not entry.target_steps:
        return [NOTHING, NOTHING]
    return [f"{entry.hits}/{len(entry.target_steps)}", steps(entry.median_target_steps)]


def differences_table(
    comparison: TaskComparison,
    pairs: Mapping[str, tuple[Paired, float | None]],
    looks: Mapping[str, Look],
) -> Table:
    """One row per setting that is compared with the baseline."""
    ratio = all(pair.scale == "ratio" for pair, _ in pairs.values())
    columns = [
        Column("setting", False),
        Column("n"),
        Column("ratio" if ratio else "difference"),
        Column("95% interval"),
        Column("seeds\nwon"),
        Column("p\n(Holm)"),
        Column("verdict", False),
    ]
    rows = [
        [
            label,
            str(pair.n),
            number(pair.ratio_or_difference),
            _interval(pair) if comparison.seed_matters else NOTHING,
            f"{pair.wins}/{pair.n}",
            p_value(adjusted) if comparison.seed_matters else NOTHING,
            verdict(comparison, pair, adjusted),
        ]
        for label, (pair, adjusted) in pairs.items()
    ]
    return Table(columns, rows, [looks.get(label) for label in pairs])


def _interval(pair: Paired) -> str:
    if pair.low is None or pair.high is None or pair.n < 2:
        return NOTHING
    return f"[{number(pair.low)}, {number(pair.high)}]"


def verdict(comparison: TaskComparison, pair: Paired, adjusted: float | None) -> str:
    """What can be claimed, all comparisons of the table together."""
    if pair.verdict == "identical":
        return "identical"
    if not comparison.seed_matters:
        return "exact: the seed changes nothing"
    if pair.n == 0:
        return "no seed in common"
    if pair.verdict in ("better", "worse") and not comparison.claims(pair, adjusted):
        return "not distinguishable, of so many"
    return f"**{pair.verdict}**" if comparison.claims(pair, adjusted) else pair.verdict


def other_metrics_table(
    comparison: TaskComparison, entries: Sequence[Entry], looks: Mapping[str, Look]
) -> Table | None:
    """The median final value of what the task is not judged by; None where there is nothing."""
    tags = [tag for tag in main_tags(comparison.runs) if tag != comparison.measure.tag]
    if not tags:
        return None
    rows = []
    for entry in entries:
        cells = [entry.setting.label]
        for tag in tags:
            cells.append(number(_median_final(entry, tag)))
        rows.append(cells)
    columns = [Column("setting", False), *(Column(tag) for tag in tags)]
    return Table(columns, rows, [looks.get(entry.setting.label) for entry in entries])


def _median_final(entry: Entry, tag: str) -> float | None:
    from stepsize.stats.intervals import median_quartiles

    finished = [run for run in entry.runs if run.finished]
    if not finished or any(run.status == "diverged" for run in finished):
        return None  # which infinity a metric falls to is not known of all of them
    values = [run.metrics.get(tag, {}).get("final") for run in finished]
    known = [value for value in values if value is not None]
    return median_quartiles(known)[1] if len(known) == len(finished) else None


def main_tags(runs: Sequence[RunRow]) -> list[str]:
    """The tags of losses, gaps and scores; ``grad_norm/...`` and its like describe the way."""
    tags = dict.fromkeys(tag for run in runs for tag in run.metrics)
    return [
        tag
        for tag in tags
        if tag.split("/")[0] in ("train", "val", "test") and tag != "train/log10_gap"
    ]


def grid_table(runs: Sequence[RunRow]) -> Table:
    """Every key that was given a value, with its values."""
    rows = []
    for key, values in grid_of(runs).items():
        if values == ["none"]:
            continue
        more = f" and {len(values) - _MOST_VALUES} more" if len(values) > _MOST_VALUES else ""
        shown = ", ".join(f"`{value}`" for value in values[:_MOST_VALUES]) + more
        rows.append([f"`{key}`", str(len(values)), shown])
    return Table([Column("key", False), Column("values"), Column("which", False)], rows)


def trouble_table(sweeps: Sequence[Sweep], most: int = 40) -> tuple[Table, int]:
    """Every run that was not completed, with its reason, and how many rows were left out."""
    several = len(sweeps) > 1
    rows = [
        [f"{run.sweep}/{run.run}" if several else run.run, run.status, run.reason or NOTHING]
        for sweep in sweeps
        for run in sorted(sweep.runs, key=lambda run: _SEVERITY.get(run.status, 9))
        if run.status != "completed"
    ]
    columns = [Column("run", False), Column("status", False), Column("reason", False)]
    return Table(columns, rows[:most]), max(len(rows) - most, 0)


_SEVERITY = {"failed": 0, "missing": 1, "interrupted": 2, "diverged": 3}


def write_results(file: Path, rows: Sequence[RunRow], settings: Sequence[Setting]) -> None:
    """Write every run of every sweep, whatever became of it.

    A cell is empty where there is nothing: a value that was not finite, a rate that an optimizer
    does not have. ``target_steps`` is ``inf`` for a miss. ``final`` and ``best`` are as they were
    logged, of runs that diverged too: see ``status``.
    """
    tags = main_tags(rows)
    words = varied_words(rows)
    extra = list(dict.fromkeys(key for each in words for key in each))
    header = [
        "sweep", "run", "setting", "stage", "status", "reason", "task", "optimizer", "scheduler",
        "param_groups", "seed", "lr", *extra, "steps", "seconds", "monitor", "mode", "objective",
        "optimum", *(f"{tag} {which}" for tag in tags for which in ("final", "best")),
        "target_metric", "target_value", "target_steps", "config_hash",
    ]  # fmt: skip
    with file.open("w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream)
        table.writerow(header)
        for row, setting, given in zip(rows, settings, words, strict=True):
            target = row.target
            table.writerow(
                [
                    row.sweep, row.run, setting.label, row.stage, row.status, row.reason, row.task,
                    row.optimizer, row.scheduler, row.param_groups, row.seed, row.lr,
                    *(given.get(key) for key in extra),
                    row.steps, row.seconds, row.monitor, row.mode, row.objective, row.optimum,
                    *(
                        row.metrics.get(tag, {}).get(which)
                        for tag in tags
                        for which in ("final", "best")
                    ),
                    target and target.metric, target and target.value, row.target_steps,
                    row.config_hash,
                ]
            )  # fmt: skip
