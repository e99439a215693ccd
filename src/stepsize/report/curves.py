"""Reads the curves of runs from metrics.csv, and computes their median over seeds."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from stepsize.report.read import RunRow
from stepsize.stats.intervals import quartiles

# {tag: (steps [n] of int64, values [n] of float64)}
Curves = dict[str, tuple[np.ndarray, np.ndarray]]
CurveReader = Callable[[RunRow], Curves]


class CachedCurves:
    """Reads the ``metrics.csv`` of each run once: ``curves(run)``."""

    def __init__(self) -> None:
        self._read: dict[Path, Curves] = {}

    def __call__(self, run: RunRow) -> Curves:
        """The curves of a run; empty without a ``metrics.csv``."""
        if run.folder not in self._read:
            self._read[run.folder] = read_curves(run.folder / "metrics.csv")
        return self._read[run.folder]


def read_curves(file: Path) -> Curves:
    """Read a table whose first column is the step; an empty cell has no value at that step.

    This is several times as fast as a general CSV reader, because no cell has quotes.
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
    """The value of a run after its divergence: inf, or -inf where larger is better."""
    return math.inf if mode == "min" else -math.inf


def on_grid(run: RunRow, curves: Curves, tag: str, grid: np.ndarray, mode: str) -> np.ndarray:
    """The last logged value of a run at each step of ``grid``.

    A diverged run is infinitely bad from its first value that is not finite, or after its last
    step. A run that completed at an earlier step than the grid's last one keeps its last value.

    Args:
        run: a finished run.
        curves: its curves.
        tag: of the metric.
        grid: steps [n], increasing.
        mode: "min" or "max", for the sign of infinitely bad.

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
        runs: finished runs that have the tag.
        curves_of: reads their curves.
        tag: of the metric.
        mode: "min" or "max".
        end: last step of the grid, to which the last values extend; None for the last logged one.

    Returns:
        steps [n] and medians [n]; infinite where at least half of the runs diverged.
    """
    grids = [curves_of(run)[tag][0] for run in runs]
    last = np.array([] if end is None else [end], dtype=np.int64)
    same = all(len(grid) == len(grids[0]) and (grid == grids[0]).all() for grid in grids[1:])
    steps = np.unique(np.concatenate([*(grids[:1] if same else grids), last]))
    values = np.stack([on_grid(run, curves_of(run), tag, steps, mode) for run in runs])
    known = ~np.isnan(values).any(axis=0)
    return steps[known], quartiles(values[:, known])[1]


def thinned(
    steps: np.ndarray, values: np.ndarray, points: int = 160
) -> tuple[np.ndarray, np.ndarray]:
    """About ``points`` points that draw the same curve: each stretch's lowest and highest."""
    if len(steps) <= points:
        return steps, values
    stretch = -(-len(steps) // (points // 2))
    # The last stretch is padded with the last index.
    index = np.minimum(np.arange(-(-len(steps) // stretch) * stretch), len(steps) - 1)
    index = index.reshape(-1, stretch)
    inside = values[index]
    rows = np.arange(len(index))
    lows, highs = (index[rows, pick(axis=1)] for pick in (inside.argmin, inside.argmax))
    order = np.unique(np.concatenate([[0], lows, highs, [len(steps) - 1]]))
    return steps[order], values[order]
