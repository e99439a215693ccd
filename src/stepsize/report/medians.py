"""The median over seeds as TensorBoard runs: 300 runs compared as 15 curves."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stepsize.config.direction import larger_is_better
from stepsize.loggers.event_file import remove_run, write_event_file
from stepsize.report.curves import CurveReader, Curves, on_grid, worst
from stepsize.report.labels import name_settings
from stepsize.report.read import RunRow, Sweep
from stepsize.report.task import Entry, compare_tasks

if TYPE_CHECKING:
    from tensorboard.plugins.custom_scalar.layout_pb2 import Layout

_FIRST_WORD = "median"
_UNSAFE = re.compile(r"[^\w.,=+()\[\]@ -]+", re.ASCII)
_LONGEST = 200  # bytes; file systems take 255
# Neither good nor bad, so a run that diverged has no worst value to take their place.
_NEUTRAL = ("lr/", "grad_norm/", "update_ratio/")


def write_aggregates(sweeps: Sequence[Sweep], out: Path, curves: CurveReader) -> None:
    """Write one TensorBoard run per setting below ``out``, and a layout that shows them with bands.

    A run has the median over seeds under the tag of the runs themselves, as far as it is finite.
    ``quartiles/<tag>/q25``, ``q50`` and ``q75`` end where one of the three ends, as the bands of
    TensorBoard's CUSTOM SCALARS need it. A seed that diverged counts as infinitely bad from its
    divergence on. The settings are those of the report; where rates were chosen on other seeds
    ("tuning"), these runs have curves of their own. Nothing is written where no setting has two
    finished runs. Earlier aggregates in ``out`` are removed.

    Args:
        sweeps: at least one.
        out: the report's folder.
        curves: reads a run's curves: ``{tag: (steps [n], values [n])}``.
    """
    for old in out.glob(f"{_FIRST_WORD} *"):
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
            layout = None  # one run has it for all


def aggregate(runs: Sequence[RunRow], curves_of: CurveReader) -> Curves:
    """The median and the quartiles over runs, by tag.

    Args:
        runs: finished runs of one setting, one per seed.
        curves_of: reads their curves.

    Returns:
        ``{tag: (steps, medians), "quartiles/<tag>/q25": ...}``; points that are not finite are
        left out. Every point is over all runs, but for rates and norms, where a run that diverged
        does not count.
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
        steps, (low, middle, high) = grid[known], _quartiles(values[:, known])
        finite = np.isfinite(middle)
        found[tag] = (steps[finite], middle[finite])
        if not tag.startswith("lr/"):
            whole = finite & np.isfinite(low) & np.isfinite(high)
            for name, quartile in (("q25", low), ("q50", middle), ("q75", high)):
                found[f"quartiles/{tag}/{name}"] = (steps[whole], quartile[whole])
    return {tag: curve for tag, curve in found.items() if len(curve[0])}


def _named_entries(sweeps: Sequence[Sweep]) -> Iterator[tuple[str, Entry]]:
    """The report's settings with the names of their folders."""
    rows = [run for sweep in sweeps for run in sweep.runs]
    comparisons = compare_tasks(rows, name_settings(rows))
    for comparison in comparisons:
        task = [comparison.task] if len(comparisons) > 1 else []
        tuning = comparison.tuning if comparison.two_stages else ()
        for stage, entries in ([], comparison.entries), (["tuning"], tuning):
            for entry in entries:
                words = [_FIRST_WORD, *task, *stage, entry.setting.label]
                yield _file_name(" ".join(words)), entry


def _finished(entry: Entry) -> list[RunRow]:
    return [run for run in entry.runs if run.finished]


def _values(run: RunRow, curves: Curves, tag: str, grid: np.ndarray, mode: str) -> np.ndarray:
    """A run's values at the steps of ``grid``; NaN where nothing is known yet."""
    if tag in curves:
        return on_grid(run, curves, tag, grid, mode)
    return np.where(grid >= run.steps, worst(mode), np.nan)  # it diverged before there was a value


def _quartiles(values: np.ndarray) -> np.ndarray:
    """Quartiles over runs, as :func:`stepsize.stats.intervals.median_quartiles` defines them.

    Args:
        values: [runs, steps], infinite or not, without NaN.

    Returns:
        [3, steps]: lower quartile, median, upper quartile.
    """
    ordered = np.sort(values, axis=0)
    quartiles = []
    for share in (0.25, 0.5, 0.75):
        position = share * (len(ordered) - 1)
        below, above = ordered[math.floor(position)], ordered[math.ceil(position)]
        with np.errstate(invalid="ignore"):  # inf - inf, which is not used
            between = below + position % 1 * (above - below)
        infinite = np.where(np.isinf(below), below, above)
        quartiles.append(np.where(np.isinf(infinite), infinite, between))
    return np.stack(quartiles)


def _file_name(name: str) -> str:
    """A name that file systems take; where something had to give way, a digest ends it."""
    safe = _UNSAFE.sub("_", name)
    if safe == name and len(safe) <= _LONGEST:
        return safe
    return f"{safe[: _LONGEST - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _layout(tags: Sequence[str]) -> Layout:
    """A chart per tag: the median of each setting in a band from quartile to quartile."""
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
