"""A run's metrics as rows by step: kept in memory, written to ``metrics.csv``."""

from __future__ import annotations

import csv
import math
import time
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.loggers import Logger
from pytorch_lightning.loggers.logger import DummyLogger

from stepsize.config.schema import larger_is_better
from stepsize.run.atomic import replacing

# Curves only: the recipe, the size of the steps, and the gap a second time.
_NOT_SUMMARIZED = ("lr/", "grad_norm/", "update_ratio/", "train/log10_gap")
_SECONDS_BETWEEN_WRITES = 10.0


class History(Logger):
    """A Lightning logger that merges what is logged at one step into one row.

    ``metrics.csv`` has ``step`` first, then the tags in the order of their first appearance; a cell
    is empty if a tag was not logged at that step. The file is replaced atomically, at most every
    ten seconds, and less often if writing is slow.

    Args:
        file: the CSV file; None keeps the rows in memory.

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

    @property
    def experiment(self) -> Any:
        """Takes any call and does nothing: ``self.logger.experiment`` without another logger."""
        return DummyLogger().experiment

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Hyperparameters are in ``.hydra`` and ``result.json``, not in the table of metrics."""

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Merge ``metrics`` into the row of ``step``, except Lightning's own ``epoch``."""
        if step is None:
            return
        values = {tag: float(value) for tag, value in metrics.items() if tag != "epoch"}
        self.rows.setdefault(step, {}).update(values)
        if time.monotonic() > self._next_write:
            self.write()

    def finalize(self, status: str) -> None:
        self.write()

    def write(self) -> None:
        """Write all rows to ``metrics.csv``."""
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
                table.writerow([step, *(get(tag, "") for tag in tags)])
        finished = time.monotonic()
        self._next_write = finished + max(_SECONDS_BETWEEN_WRITES, 20 * (finished - started))

    def summary(self, monitor: str, mode: str) -> dict[str, dict[str, float]]:
        """First, final and best value of the losses, metrics and gaps, and of ``monitor``.

        Learning rates, norms and the logarithm of the gap are curves only.

        A larger value is better for accuracies and similar metrics, and for ``monitor`` if ``mode``
        is "max". ``best`` ignores values that are not finite; it is NaN if there are no others.
        """
        curves: dict[str, list[float]] = {}
        for step in sorted(self.rows):
            for tag, value in self.rows[step].items():
                if tag == monitor or not tag.startswith(_NOT_SUMMARIZED):
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
        """Mark values that are logged only because the run ends at this step."""
        self._ends = {(step, tag) for tag in tags if tag not in self.rows.get(step, {})}

    def drop_end(self) -> None:
        """Remove the marked values, because the run is resumed."""
        for step, tag in self._ends:
            self.rows[step].pop(tag)
            if not self.rows[step]:
                del self.rows[step]
        self._ends = set()

    def state_dict(self) -> dict[str, Any]:
        """The curves as tensors by tag, and the values that only the end of the run logged."""
        curves: dict[str, tuple[list[int], list[float]]] = {}
        for step in sorted(self.rows):
            for tag, value in self.rows[step].items():
                steps, values = curves.setdefault(tag, ([], []))
                steps.append(step)
                values.append(value)
        # Most tags are logged at the same steps, which are saved once.
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
