"""Writes ``answer.json``: the answer of sweeps for other programs.

``docs/answer.md`` lists its keys. Infinity, which JSON does not have, is the text "inf" or "-inf";
null is a value that does not exist.
"""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

from stepsize.report.answer import SweepAnswer, TaskAnswer
from stepsize.report.differences import Difference
from stepsize.report.read import STATUSES, RunRow
from stepsize.report.task import LEVEL, Entry
from stepsize.run.atomic import replacing

SCHEMA = 1  # raised when a key is removed or changes its meaning


def write_answer(file: Path, answer: SweepAnswer) -> None:
    """Write ``answer.json``; the file appears whole or not at all.

    Args:
        file: to write.
        answer: of the sweeps.
    """
    text = json.dumps(_plain(answer_dict(answer, file.parent)), indent=1, allow_nan=False)
    with replacing(file) as part:
        part.write_text(text + "\n", "utf-8")


def answer_dict(answer: SweepAnswer, folder: Path) -> dict[str, Any]:
    """The content of ``answer.json``, with infinite and missing numbers as Python has them.

    Args:
        answer: of the sweeps.
        folder: of the report; the paths of the runs are relative to it.
    """
    return {
        "schema": SCHEMA,
        "sweeps": [sweep.name for sweep in answer.sweeps],
        "runs": len(answer.rows),
        "statuses": {s: sum(run.status == s for run in answer.rows) for s in STATUSES},
        "tasks": [_task(task, folder) for task in answer.tasks],
    }


def _task(answer: TaskAnswer, folder: Path) -> dict[str, Any]:
    comparison, measure, conclusion = answer.comparison, answer.measure, answer.conclusion
    leaders = {entry.setting for entry in comparison.leaders}
    return {
        "task": answer.task,
        "metric": {
            "tag": measure.tag,
            "mode": measure.mode,
            "compared_by": "ratio" if measure.log else "difference",
            "rounding_floor": measure.floor,
        },
        "headline": conclusion.headline,
        "certainty": conclusion.certainty,
        "fastest": conclusion.fastest,
        "sentences": list(conclusion.sentences),
        "caveats": list(conclusion.caveats),
        "stages": 2 if comparison.two_stages else 1,
        "settings": [
            {"rank": rank, "best_of_method": entry.setting in leaders, **_setting(entry, folder)}
            for rank, entry in enumerate(comparison.entries, 1)
        ],
        "tuning": [_setting(e, folder) for e in comparison.tuning] if comparison.two_stages else [],
        "test": answer.test,
        "level": LEVEL,
        "baseline": answer.baseline.setting.label if answer.baseline else None,
        "against_baseline": [_difference(each) for each in answer.differences],
        "against_best": [_difference(each) for each in answer.against_best],
    }


def _setting(entry: Entry, folder: Path) -> dict[str, Any]:
    low, median, high = entry.quartiles or (None, None, None)
    mean = entry.mean
    return {
        "setting": entry.setting.label,
        "method": entry.setting.method,
        "optimizer": entry.setting.optimizer,
        "values": dict(entry.setting.values),
        "lr": sorted({run.lr for run in entry.runs if run.lr is not None}),
        "n": entry.n,
        "statuses": {status: entry.count(status) for status in STATUSES},
        "steps": entry.steps,
        "median": median,
        "quartiles": None if median is None else [low, high],
        "worst": entry.worst,
        "mean": None if mean is None else mean.center,
        "mean_kind": "geometric" if entry.measure.log else "arithmetic",
        "interval": None if mean is None or mean.n < 2 else [mean.low, mean.high],
        "best_during_run": entry.best,
        "target_met": entry.hits if entry.target_steps else None,
        "target_runs": len(entry.target_steps),
        "steps_to_target": entry.median_target_steps,
        "ends_short_of_target": entry.missed_at_end if entry.target_steps else None,
        "runs": [_run(run, entry, folder) for run in entry.runs],
    }


def _run(run: RunRow, entry: Entry, folder: Path) -> dict[str, Any]:
    return {
        "folder": Path(os.path.relpath(run.folder, folder)).as_posix(),
        "seed": run.seed,
        "status": run.status,
        "final": entry.measure.of(run, "final"),
    }


def _difference(difference: Difference) -> dict[str, Any]:
    pair = difference.pair
    return {
        "setting": difference.setting,
        "n": pair.n,
        "scale": pair.scale,
        "estimate": pair.ratio_or_difference,
        "interval": None if pair.low is None or pair.n < 2 else [pair.low, pair.high],
        "wins": pair.wins,
        "losses": pair.losses,
        "ties": pair.ties,
        "p": pair.p,
        "p_adjusted": difference.p,
        "significant": difference.significant,
        "verdict": difference.verdict,
        "note": pair.note,
    }


def _plain(value: Any) -> Any:
    """The value with the numbers that JSON does not have as null or text."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value
