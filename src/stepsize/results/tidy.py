"""``results.csv``: one row per run, one column per variable."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from stepsize.results.rows import RunRow
from stepsize.results.settings import Setting, varied_words
from stepsize.results.tables import main_tags


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
