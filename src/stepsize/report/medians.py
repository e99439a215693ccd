"""TensorBoard runs of the median over seeds: 300 runs compared as 15 curves."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from stepsize.config.schema import larger_is_better
from stepsize.loggers.event_file import remove_run, write_event_file
from stepsize.report.answer import SweepAnswer
from stepsize.report.curves import CurveReader, Curves, on_grid, worst
from stepsize.report.read import RunRow
from stepsize.report.task import Entry
from stepsize.stats.intervals import quantiles

_PREFIX = "median"
_UNSAFE = re.compile(r"[^\w.,=+()\[\]@ -]+", re.ASCII)
_LONGEST = 200  # bytes; file systems take 255
# Neither small nor large is better, so a diverged run has no worst value of them.
_NEUTRAL = ("lr/", "grad_norm/", "update_ratio/")


def write_aggregates(answer: SweepAnswer, out: Path, curves: CurveReader) -> None:
    """Write a TensorBoard run of medians and quartiles per hyperparameter setting.

    A tag of the single runs has the median over seeds, as long as it is finite. The tags
    ``quartiles/<tag>/q25``, ``q50`` and ``q75`` hold the bands of the CUSTOM SCALARS tab; they end
    at the first step at which one of the three is infinite. A diverged run counts as infinitely bad
    from its divergence on. Runs of the tuning stage have medians of their own. Nothing is written
    if every hyperparameter setting has one seed. Earlier medians in ``out`` are removed.

    Args:
        answer: of the sweeps.
        out: the report's folder.
        curves: reads a run's curves.
    """
    for old in out.glob(f"{_PREFIX} *"):
        remove_run(old)
    entries = dict(_named_entries(answer))
    if not any(len(_finished(entry)) > 1 for entry in entries.values()):
        return
    from torch.utils.tensorboard.summary import custom_scalars

    aggregates = {name: aggregate(_finished(entry), curves) for name, entry in entries.items()}
    tags = dict.fromkeys(tag for found in aggregates.values() for tag in found)
    banded = [tag for tag in tags if f"quartiles/{tag}/q50" in tags]
    banded.sort(key=lambda tag: tag.startswith(_NEUTRAL))
    # TensorBoard (2.21) shows the margin charts of a category in reverse order.
    charts = {
        tag: ["Margin", [f"quartiles/{tag}/{name}" for name in ("q50", "q25", "q75")]]
        for tag in reversed(banded)
    }
    layout = custom_scalars({"median over seeds, from lower to upper quartile": charts})
    for name, found in aggregates.items():
        if found:
            write_event_file(out / name, found, layout)
            layout = None  # TensorBoard merges the layouts of all runs: one is enough


def aggregate(runs: Sequence[RunRow], curves_of: CurveReader) -> Curves:
    """The median and the quartiles over runs, by tag.

    Args:
        runs: runs of one hyperparameter setting that completed or diverged, one per seed.
        curves_of: reads a run's curves.

    Returns:
        ``{tag: (steps, medians), "quartiles/<tag>/q25": ...}`` with finite points only. Every point
        is over all runs, except that learning rates and norms skip diverged runs.
    """
    found: Curves = {}
    for tag in dict.fromkeys(tag for run in runs for tag in curves_of(run)):
        larger = larger_is_better(tag, runs[0].monitor, runs[0].mode)
        mode = "max" if larger else "min"
        having = [run for run in runs if tag in curves_of(run)]
        if tag.startswith(_NEUTRAL):
            counted = having = [run for run in having if run.status != "diverged"]
        else:
            counted = [run for run in runs if run in having or run.status == "diverged"]
        if not counted:
            continue
        grid = np.unique(np.concatenate([curves_of(run)[tag][0] for run in having]))
        values = np.stack([_values(run, curves_of(run), tag, grid, mode) for run in counted])
        known = ~np.isnan(values).any(axis=0)
        steps, (low, middle, high) = grid[known], quantiles(values[:, known], (0.25, 0.5, 0.75))
        finite = np.isfinite(middle)
        found[tag] = (steps[finite], middle[finite])
        if not tag.startswith("lr/"):
            whole = finite & np.isfinite(low) & np.isfinite(high)
            for name, quartile in (("q25", low), ("q50", middle), ("q75", high)):
                found[f"quartiles/{tag}/{name}"] = (steps[whole], quartile[whole])
    return {tag: curve for tag, curve in found.items() if len(curve[0])}


def _named_entries(answer: SweepAnswer) -> Iterator[tuple[str, Entry]]:
    """The report's hyperparameter settings by the names of their folders."""
    comparisons = [task.comparison for task in answer.tasks]
    for comparison in comparisons:
        task = [comparison.task] if len(comparisons) > 1 else []
        tuning = comparison.tuning if comparison.two_stages else ()
        for stage, entries in ([], comparison.entries), (["tuning"], tuning):
            for entry in entries:
                parts = [_PREFIX, *task, *stage, entry.setting.label]
                yield _file_name(" ".join(parts)), entry


def _finished(entry: Entry) -> list[RunRow]:
    return [run for run in entry.runs if run.finished]


def _values(run: RunRow, curves: Curves, tag: str, grid: np.ndarray, mode: str) -> np.ndarray:
    """A run's values at the steps of ``grid``; NaN before its first value."""
    if tag in curves:
        return on_grid(run, curves, tag, grid, mode)
    return np.where(grid >= run.steps, worst(mode), np.nan)  # it diverged before its first value


def _file_name(name: str) -> str:
    """A valid file name; a changed or shortened name ends with a digest of the original."""
    safe = _UNSAFE.sub("_", name)
    if safe == name and len(safe) <= _LONGEST:
        return safe
    return f"{safe[: _LONGEST - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
