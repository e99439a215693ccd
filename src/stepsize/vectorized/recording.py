"""The rows of many runs: what Record, Norms and Divergence do for one, at the same steps."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stepsize.callbacks.divergence import Divergence
from stepsize.modules import Module
from stepsize.optima.gap import Gap
from stepsize.vectorized.batches import Batch, placed
from stepsize.vectorized.layout import Layout
from stepsize.vectorized.objective import StackedObjective, Values
from stepsize.vectorized.stack import Stack
from stepsize.vectorized.steppers import Update


class Recorder:
    """Logs rows, and tells which runs have diverged.

    Rows of the table (a run's step) and rows of the stack (a run's place in it) are two things.

    Args:
        runs: how many there are.
        stack: the rows that they are in now.
        gap: where the optimum is known.
        divergence: the arguments of each callback ``Divergence`` of a run.
    """

    def __init__(
        self,
        runs: int,
        stack: Stack,
        gap: StackedGap | None,
        divergence: Sequence[Mapping[str, Any]],
    ) -> None:
        self.curves = Curves(runs)
        self.gap = gap
        self._stack = stack
        self.watches = [[Divergence(**arguments) for arguments in divergence] for _ in range(runs)]
        self._latest: dict[str, np.ndarray] = {}  # by tag: the last value of each run
        self._given: dict[str, np.ndarray] = {}  # by tag: which runs have a value
        self._validated: dict[int, int] = {}  # by run: when

    def log(self, step: int, tag: str, values: np.ndarray, rows: np.ndarray | None = None) -> None:
        """Log the values of some rows of the stack; without ``rows`` of all, the ended left out."""
        if rows is None:
            rows = self._stack.going_on
            values = values[rows]
        runs = self._stack.runs[rows]
        self.curves.add(step, tag, runs, values)
        seen = self._latest.setdefault(tag, np.full(self.curves.runs, np.nan))
        # Callbacks look at what Record and Norms log as tensors of float32.
        with np.errstate(over="ignore"):
            seen[runs] = values if tag.startswith("val/") else np.asarray(values, np.float32)
        self._given.setdefault(tag, np.zeros(self.curves.runs, dtype=bool))[runs] = True
        if tag == "val/loss":
            self._validated.update(dict.fromkeys(runs.tolist(), step))

    def latest(self, run: int, tag: str) -> float | None:
        """The last value of a tag; None before there is one."""
        given = self._given.get(tag)
        return None if given is None or not given[run] else float(self._latest[tag][run])

    def last(self, run: int, dtype: torch.dtype) -> dict[str, Tensor]:
        """The last value of each tag, as Lightning keeps it for callbacks.

        Args:
            run: its number.
            dtype: of validations; all else is float32.
        """
        found: dict[str, Tensor] = {}
        for tag, seen in self._latest.items():
            if self._given[tag][run]:
                own = dtype if tag.startswith("val/") else torch.float32
                found[tag] = torch.tensor(seen[run], dtype=own)
        if run in self._validated:
            found["step"] = torch.tensor(float(self._validated[run]))
        return found

    def values(self, step: int, phase: str, values: Values, rows: np.ndarray | None = None) -> None:
        """Log a loss and its metrics."""
        self.log(step, f"{phase}/loss", numbers(values.loss), rows)
        for name, metric in values.metrics.items():
            self.log(step, f"{phase}/{name}", numbers(metric), rows)

    def rates(self, step: int, tables: Sequence[np.ndarray]) -> None:
        """Log the rates [runs, groups] of each update of the stack."""
        for update, table in zip(self._stack.updates, tables, strict=True):
            rows, alive = self._rows_of(update)
            for name, column in zip(update.names, table.T, strict=True):
                if not np.isnan(column).all():  # else an optimizer without lr
                    self.log(step, f"lr/{name}", column[alive], rows[alive])

    def gaps(self, step: int, gaps: np.ndarray | None, rows: np.ndarray | None = None) -> None:
        """Log the gap and its logarithm, where there is one."""
        if gaps is not None and self.gap is not None:
            self.log(step, "train/gap", gaps, rows)
            self.log(step, "train/log10_gap", self.gap.log10(gaps), rows)

    def norms(
        self,
        step: int,
        gradients: Sequence[Sequence[Tensor]],
        before: Tensor,
    ) -> None:
        """Log the norms of the gradients, and of what they have changed relative to the weights.

        Args:
            step: that of the change.
            gradients: of each update of the stack the norms of its groups, [runs] each.
            before: the weights before the change, [rows, columns].
        """
        after = self._stack.weights
        for update, own in zip(self._stack.updates, gradients, strict=True):
            rows, alive = self._rows_of(update)
            old = before[update.rows]
            changes = group_norms(update, after[update.rows] - old)
            sizes = group_norms(update, old)
            for name, norm in zip(update.names, own, strict=True):
                self.log(step, f"grad_norm/{name}", numbers(norm)[alive], rows[alive])
            for name, change, size in zip(update.names, changes, sizes, strict=True):
                there = alive & (numbers(size) != 0)
                with np.errstate(all="ignore"):
                    ratio = numbers(change) / numbers(size)
                self.log(step, f"update_ratio/{name}", ratio[there], rows[there])

    def diverged(self, step: int) -> dict[int, str]:
        """The rows of the stack whose runs end here, and why."""
        ending: dict[int, str] = {}
        for row in self._stack.going_on.tolist():
            run = self._stack.runs[row]
            for watch in self.watches[run]:
                seen = self._latest.get(watch.monitor)
                if seen is not None:
                    watch.reason = watch.judge(float(seen[run]), step)
                    if watch.reason:
                        ending.setdefault(row, watch.reason)
        return ending

    def _rows_of(self, update: Update) -> tuple[np.ndarray, np.ndarray]:
        rows = np.arange(update.rows.start, update.rows.stop)
        return rows, self._stack.alive[rows]


def numbers(values: Tensor) -> np.ndarray:
    """As float64, on the CPU."""
    return values.detach().to("cpu", torch.float64).numpy()


class Curves:
    """What is logged, for all runs of a group at once.

    Args:
        runs: how many there are.
    """

    def __init__(self, runs: int) -> None:
        self.runs = runs
        # For each tag: step, which runs have a value there, and these.
        self._entries: dict[str, list[tuple[int, np.ndarray, np.ndarray]]] = {}

    def add(self, step: int, tag: str, runs: np.ndarray, values: np.ndarray) -> None:
        """Log ``values`` [n] of the runs with the numbers ``runs`` [n] in the row of ``step``."""
        if len(runs):
            self._entries.setdefault(tag, []).append((step, runs, np.asarray(values, np.float64)))

    @cached_property
    def tables(self) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """By tag: its steps [steps], the values [runs, steps], and where there is one, likewise.

        For use when everything is logged.
        """
        tables = {}
        for tag, entries in self._entries.items():
            steps = sorted({step for step, _, _ in entries})
            column = {step: position for position, step in enumerate(steps)}
            values = np.full((self.runs, len(steps)), np.nan)
            given = np.zeros((self.runs, len(steps)), dtype=bool)
            for step, runs, numbers in entries:
                values[runs, column[step]] = numbers
                given[runs, column[step]] = True
            tables[tag] = (np.array(steps), values, given)
        return tables

    def rows(self, run: int, tags: Sequence[str] | None = None) -> dict[int, dict[str, float]]:
        """``{step: {tag: value}}`` of one run; tags in the order in which they came up."""
        rows: dict[int, dict[str, float]] = {}
        for tag in self.tables if tags is None else tags:
            steps, values, given = self.tables[tag]
            numbers, there = values[run].tolist(), given[run].tolist()
            for step, value, exists in zip(steps.tolist(), numbers, there, strict=True):
                if exists:
                    rows.setdefault(step, {})[tag] = value
        return dict(sorted(rows.items()))


def group_norms(update: Update, numbers: Tensor) -> list[Tensor]:
    """The 2-norm of each group's columns, as :class:`stepsize.callbacks.norms.Norms` computes it.

    Args:
        update: says which columns make a group.
        numbers: gradients, weights or their changes, [runs, columns]; its own rows alone.

    Returns:
        For each group, float64, [runs].
    """
    layout = update.layout
    return [
        torch.stack(
            [
                torch.linalg.vector_norm(numbers[:, slice(*layout.columns(name))], dim=1)
                for name in names
            ]
        )
        .double()
        .square()
        .sum(0)
        .sqrt()
        for names in update.settings[0].names
    ]


def clip(updates: Iterable[Update], gradients: Tensor, value: float, algorithm: str) -> None:
    """Clip each run's gradient, as Lightning does with ``trainer.gradient_clip_val``.

    Args:
        updates: say what is trained; frozen parameters do not count.
        gradients: [runs, columns], changed in place.
        value: the largest norm, or with ``algorithm`` "value" the largest entry.
        algorithm: "norm" or "value".
    """
    if algorithm == "value":
        gradients.clamp_(-value, value)
        return
    for update in updates:
        rows = gradients[update.rows]
        layout = update.layout
        norms = [
            torch.linalg.vector_norm(rows[:, slice(*layout.columns(name))], dim=1)
            for names in update.settings[0].names
            for name in names
        ]
        total = torch.linalg.vector_norm(torch.stack(norms), dim=0)
        # torch.nn.utils.clip_grads_with_norm_
        rows.mul_((value / (total + 1e-6)).clamp(max=1.0)[:, None])


class StackedGap:
    """What :class:`stepsize.optima.gap.Gap` is for one run: f - f* in float64 on the CPU.

    Args:
        gap: knows the minimum f*.
        module: the model, with its initial weights.
        data: its data; all training points are evaluated.
    """

    def __init__(self, gap: Gap, module: Module, data: Any) -> None:
        cpu = torch.device("cpu")
        self.optimum, self.floor = gap.optimum, gap.floor
        self._objective = StackedObjective(module, Layout.of(module), torch.float64, cpu)
        self._batch = Batch([placed(data.train, torch.float64, cpu)], torch.empty(0))

    @classmethod
    def where_known(cls, module: Module, data: Any) -> StackedGap | None:
        """That of a module that knows its optimum on these data, else None."""
        gap = Gap.where_known(module, data)
        return None if gap is None else cls(gap, module, data)

    def of(self, weights: Tensor) -> np.ndarray:
        """The gap of each run, [runs], at ``weights`` [runs, columns]."""
        exact = weights.to("cpu", torch.float64)
        values = self._objective.evaluate(exact, self._batch, with_metrics=False)
        return values.loss.reshape(len(weights)).numpy() - self.optimum

    def log10(self, gaps: np.ndarray) -> np.ndarray:
        """The decimal logarithm, not below that of the smallest gap that means anything."""
        # max(gap, floor) as Python has it: NaN stays NaN.
        return np.array([math.log10(max(gap, self.floor)) for gap in gaps.tolist()])
