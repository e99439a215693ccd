"""Learning curves of runs, read from ``metrics.csv``, and their median over seeds."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from stepsize.report.read import RunRow
from stepsize.stats.intervals import quantiles

Curve = tuple[np.ndarray, np.ndarray]  # steps [n] of int64, values [n] of float64
Curves = dict[str, Curve]  # by tag
CurveReader = Callable[[RunRow], Curves]


def cached_curves() -> CurveReader:
    """A function of a run that reads each ``metrics.csv`` once; empty without one."""
    read = functools.cache(read_curves)
    return lambda run: read(run.folder / "metrics.csv")


def read_curves(file: Path) -> Curves:
    """Read ``metrics.csv``; an empty cell is a metric that was not logged at that step.

    Several times as fast as ``csv.reader``, because all cells are numbers without quotes.
    """
    try:
        header, *lines = file.read_text("utf-8").splitlines()
    except (FileNotFoundError, ValueError):
        return {}
    tags = header.split(",")[1:]
    rows = [line.split(",") for line in lines]
    whole = [row for row in rows if len(row) == len(tags) + 1]
    if not whole:
        return {}
    first, *columns = zip(*whole, strict=True)
    steps = np.array(first, dtype=np.int64)
    curves = {}
    for tag, column in zip(tags, columns, strict=True):
        if "" in column:
            kept = [index for index, cell in enumerate(column) if cell]
            cells: Sequence[str] = [column[index] for index in kept]
            curves[tag] = (steps[kept], np.array(cells, dtype=np.float64))
        else:
            curves[tag] = (steps, np.array(column, dtype=np.float64))
    return curves


def worst(mode: str) -> float:
    """The value that a diverged run has from its divergence on: inf, or -inf for ``max``."""
    return math.inf if mode == "min" else -math.inf


def on_grid(run: RunRow, curves: Curves, tag: str, grid: np.ndarray, mode: str) -> np.ndarray:
    """A run's latest logged value at each step of ``grid``.

    A diverged run is infinitely bad from its first value that is not finite, or from its end. A
    completed run keeps its last value.

    Args:
        run: a run that completed or diverged.
        curves: the run's curves.
        tag: the metric.
        grid: steps [n], rising.
        mode: "min" or "max".

    Returns:
        [n]; NaN before the first logged step.
    """
    steps, values = curves[tag]
    finite = np.isfinite(values)
    if run.status == "diverged":
        broken = np.nonzero(~finite)[0]
        end = steps[broken[0]] if len(broken) else max(run.steps, int(steps[-1])) + 1
    else:
        end = np.inf
    index = np.searchsorted(steps, grid, side="right") - 1
    result = np.where(index < 0, np.nan, np.where(finite, values, worst(mode))[index])
    result[grid >= end] = worst(mode)
    return result


def median_curve(
    runs: Sequence[RunRow], curves_of: CurveReader, tag: str, mode: str, end: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The median over runs at each step that any of them logged.

    Args:
        runs: runs that completed or diverged, and logged the metric.
        curves_of: reads a run's curves.
        tag: the metric.
        mode: "min" or "max".
        end: last step of the curve; a run that ended earlier keeps its last value.

    Returns:
        steps [n] and medians [n]; infinite where half of the runs diverged.
    """
    grids = [curves_of(run)[tag][0] for run in runs]
    last = np.array([] if end is None else [end], dtype=np.int64)
    same = all(len(grid) == len(grids[0]) and (grid == grids[0]).all() for grid in grids[1:])
    steps = np.unique(np.concatenate([*(grids[:1] if same else grids), last]))
    values = np.stack([on_grid(run, curves_of(run), tag, steps, mode) for run in runs])
    known = ~np.isnan(values).any(axis=0)
    return steps[known], quantiles(values[:, known], (0.5,))[0]


def thinned(
    steps: np.ndarray, values: np.ndarray, points: int = 160
) -> tuple[np.ndarray, np.ndarray]:
    """A curve reduced to about ``points`` points: the lowest and highest of each stretch."""
    if len(steps) <= points:
        return steps, values
    stretch = -(-len(steps) // (points // 2))
    # The last value fills the last stretch.
    places = np.minimum(np.arange(-(-len(steps) // stretch) * stretch), len(steps) - 1)
    places = places.reshape(-1, stretch)
    inside = values[places]
    rows = np.arange(len(places))
    lows, highs = (places[rows, pick(axis=1)] for pick in (inside.argmin, inside.argmax))
    order = np.unique(np.concatenate([[0], lows, highs, [len(steps) - 1]]))
    return steps[order], values[order]
