"""A run's metrics as rows by step: kept in memory, written to ``metrics.csv``."""

from __future__ import annotations

import csv
import math
import time
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.loggers import Logger

from stepsize.config.direction import larger_is_better
from stepsize.run.atomic import replacing

# Of the recipe and of how the steps go, not of where they lead; and the gap a second time.
_NO_RESULTS = ("lr/", "grad_norm/", "update_ratio/", "train/log10_gap")
_SECONDS_BETWEEN_WRITES = 10.0


class History(Logger):
    """A Lightning logger that merges what is logged at one step into one row.

    ``metrics.csv`` has ``step`` first, then the tags in the order of their first appearance; a cell
    is empty where a tag was not logged at that step. The file is replaced whole, so it is never
    half written; at most every ten seconds, and less often when writing takes long.

    Args:
        file: where the rows go; None keeps them in memory.

    Attributes:
        rows: ``{step: {tag: value}}``.
    """

    def __init__(self, file: Path | None = None) -> None:
        super().__init__()
        self.file = file
        self.rows: dict[int, dict[str, float]] = {}
        self._ends: set[tuple[int, str]] = set()
        self._next_write = time.monotonic() + _SECONDS_BETWEEN_WRITES

    @property
    def name(self) -> str:
        return "history"

    @property
    def version(self) -> str:
        return ""

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Hyperparameters are in ``.hydra`` and ``result.json``, not in the table of metrics."""

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Merge ``metrics`` into the row of ``step``; Lightning's own ``epoch`` is left out."""
        if step is None:
            return
        values = {tag: float(value) for tag, value in metrics.items() if tag != "epoch"}
        self.rows.setdefault(step, {}).update(values)
        if time.monotonic() > self._next_write:
            self.write()

    def finalize(self, status: str) -> None:
        self.write()

    def write(self) -> None:
        """Bring ``metrics.csv`` up to date."""
        if self.file is None:
            return
        started = time.monotonic()
        tags = list(dict.fromkeys(tag for row in self.rows.values() for tag in row))
        with (
            replacing(self.file) as part,
            part.open("w", newline="", encoding="utf-8") as stream,
        ):
            table = csv.writer(stream)
            table.writerow(["step", *tags])
            for step in sorted(self.rows):
                get = self.rows[step].get
                table.writerow([step, *(get(tag, "") for tag in tags)])  # floats as repr has them
        finished = time.monotonic()
        self._next_write = finished + max(_SECONDS_BETWEEN_WRITES, 20 * (finished - started))

    def summary(self, monitor: str, mode: str) -> dict[str, dict[str, float]]:
        """First, final and best value of the losses, metrics and gaps, and of ``monitor``.

        Learning rates, norms and the logarithm of the gap are curves only.

        A larger value is better for accuracies and their like, and for ``monitor`` when ``mode``
        is "max". Values that are not finite are never the best; best is NaN if there is no other.
        """
        curves: dict[str, list[float]] = {}
        for step in sorted(self.rows):
            for tag, value in self.rows[step].items():
                if tag == monitor or not tag.startswith(_NO_RESULTS):
                    curves.setdefault(tag, []).append(value)
        result = {}
        for tag, values in curves.items():
            larger = larger_is_better(tag, monitor, mode)
            finite = [value for value in values if math.isfinite(value)]
            best = (max if larger else min)(finite, default=math.nan)
            result[tag] = {"first": values[0], "final": values[-1], "best": best}
        return result

    def first_step(self, tag: str, value: float, *, larger: bool) -> int | None:
        """The first logged step at which ``tag`` is at least as good as ``value``, or None."""
        for step in sorted(self.rows):
            reached = self.rows[step].get(tag, math.nan)
            if reached >= value if larger else reached <= value:
                return step
        return None

    def mark_end(self, step: int, tags: list[str]) -> None:
        """Note values that are logged only because the run ends here, not by its rhythm."""
        self._ends = {(step, tag) for tag in tags if tag not in self.rows.get(step, {})}

    def drop_end(self) -> None:
        """Forget these values: the run goes on."""
        for step, tag in self._ends:
            self.rows[step].pop(tag)
            if not self.rows[step]:
                del self.rows[step]
        self._ends = set()

    def state_dict(self) -> dict[str, Any]:
        """The curves as tensors by tag, and which values only the end of this run has logged."""
        curves: dict[str, tuple[list[int], list[float]]] = {}
        for step in sorted(self.rows):
            for tag, value in self.rows[step].items():
                steps, values = curves.setdefault(tag, ([], []))
                steps.append(step)
                values.append(value)
        # Most tags are logged at the same steps: these are saved once.
        known = {tuple(steps): torch.tensor(steps) for steps, _ in curves.values()}
        return {
            "curves": {
                tag: {
                    "step": known[tuple(steps)],
                    "value": torch.tensor(values, dtype=torch.float64),
                }
                for tag, (steps, values) in curves.items()
            },
            "ends": sorted(self._ends),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for tag, curve in state_dict["curves"].items():
            for step, value in zip(curve["step"].tolist(), curve["value"].tolist(), strict=True):
                self.rows.setdefault(step, {})[tag] = value
        self._ends = {(step, tag) for step, tag in state_dict["ends"]}
