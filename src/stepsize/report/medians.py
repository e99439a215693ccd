"""Writes medians over seeds as TensorBoard runs, so that 300 runs show as 15 curves."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stepsize.config.schema import larger_is_better
from stepsize.loggers.event_file import remove_run, write_event_file
from stepsize.report.curves import CurveReader, Curves, on_grid, worst
from stepsize.report.labels import name_settings
from stepsize.report.read import RunRow, Sweep
from stepsize.report.task import Entry, compare_tasks
from stepsize.stats.intervals import quartiles

if TYPE_CHECKING:
    from tensorboard.plugins.custom_scalar.layout_pb2 import Layout

_PREFIX = "median"
_UNSAFE = re.compile(r"[^\w.,=+()\[\]@ -]+", re.ASCII)
_LONGEST = 200  # bytes; file systems allow 255
# These have no worst value that could represent a diverged run.
_NEUTRAL = ("lr/", "grad_norm/", "update_ratio/")


def write_aggregates(sweeps: Sequence[Sweep], out: Path, curves: CurveReader) -> None:
    """Write one TensorBoard run with the median curves of each hyperparameter setting.

    Each has the finite part of the median over seeds, under the tag of the runs themselves, and
    the quartiles under ``quartiles/<tag>/q25``, ``q50`` and ``q75`` as far as all three are finite,
    which the bands of TensorBoard's CUSTOM SCALARS require. A diverged seed counts as infinitely
    bad after its divergence. The settings are those of the report; the runs of a tuning stage have
    curves of their own. Nothing is written if no setting has two finished runs. Earlier median
    runs in ``out`` are removed.

    Args:
        sweeps: at least one.
        out: the report's folder.
        curves: reads a run's curves: ``{tag: (steps [n], values [n])}``.
    """
    for old in out.glob(f"{_PREFIX} *"):
        remove_run(old)
    entries = dict(_named_entries(sweeps))
    if not any(len(_finished(entry)) > 1 for entry in entries.values()):
        return
    aggregates = {name: aggregate(_finished(entry), curves) for name, entry in entries.items()}
    tags = dict.fromkeys(tag for found in aggregates.values() for tag in found)
    banded = [tag for tag in tags if f"quartiles/{tag}/q50" in tags]
    layout = _layout(sorted(banded, key=lambda tag: tag.startswith(_NEUTRAL)))
    for name, found in aggregates.items():
        if found:
            write_event_file(out / name, found, layout)
            layout = None  # the layout of one run applies to all


def aggregate(runs: Sequence[RunRow], curves_of: CurveReader) -> Curves:
    """The median and the quartiles over runs, by tag.

    Args:
        runs: finished runs of one setting, one per seed.
        curves_of: reads their curves.

    Returns:
        ``{tag: (steps, medians), "quartiles/<tag>/q25": ...}`` without points that are not finite.
        Every point is over all runs, except for learning rates and norms, where diverged runs do
        not count.
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
        steps, (low, middle, high) = grid[known], quartiles(values[:, known])
        finite = np.isfinite(middle)
        found[tag] = (steps[finite], middle[finite])
        if not tag.startswith("lr/"):
            whole = finite & np.isfinite(low) & np.isfinite(high)
            for name, quartile in (("q25", low), ("q50", middle), ("q75", high)):
                found[f"quartiles/{tag}/{name}"] = (steps[whole], quartile[whole])
    return {tag: curve for tag, curve in found.items() if len(curve[0])}


def _named_entries(sweeps: Sequence[Sweep]) -> Iterator[tuple[str, Entry]]:
    """The report's hyperparameter settings with the names of their folders."""
    rows = [run for sweep in sweeps for run in sweep.runs]
    comparisons = compare_tasks(rows, name_settings(rows))
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
    """A valid file name; it ends with a digest if characters had to be replaced or cut."""
    safe = _UNSAFE.sub("_", name)
    if safe == name and len(safe) <= _LONGEST:
        return safe
    return f"{safe[: _LONGEST - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _layout(tags: Sequence[str]) -> Layout:
    """One chart for each tag: the median of each setting, with the quartiles as a band."""
    from tensorboard.plugins.custom_scalar import layout_pb2

    def chart(tag: str) -> layout_pb2.Chart:
        names = {"lower": "q25", "value": "q50", "upper": "q75"}
        series = {key: f"quartiles/{tag}/{name}" for key, name in names.items()}
        band = layout_pb2.MarginChartContent.Series(**series)
        return layout_pb2.Chart(title=tag, margin=layout_pb2.MarginChartContent(series=[band]))

    title = "median over seeds, from lower to upper quartile"
    # TensorBoard (2.21) shows the margin charts of a category in reverse order.
    charts = [chart(tag) for tag in reversed(tags)]
    return layout_pb2.Layout(category=[layout_pb2.Category(title=title, chart=charts)])
