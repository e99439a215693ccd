"""The metrics of many runs, logged at the same steps as those of an individual run."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stepsize.callbacks.divergence import Divergence
from stepsize.config.instantiate import locate
from stepsize.modules import Module
from stepsize.optima.gap import Gap
from stepsize.plots.trajectory import Path, Trajectory
from stepsize.schedules.checks import is_kind
from stepsize.vectorized.batches import Batch, placed
from stepsize.vectorized.layout import Layout
from stepsize.vectorized.objective import StackedObjective, Values
from stepsize.vectorized.stack import Stack
from stepsize.vectorized.steppers import Stepper


class Recorder:
    """Logs the metrics of all runs, and decides which runs have diverged.

    Args:
        runs: the number of runs.
        stack: the current rows of the runs; a row of metrics.csv is called a step here.
        gap: None where the optimum is unknown.
        divergence: the arguments of each callback ``Divergence`` of a run.

    Attributes:
        curves: everything logged.
        divergence_callbacks: of each run.
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
        self.divergence_callbacks = [
            [Divergence(**arguments) for arguments in divergence] for _ in range(runs)
        ]
        self._latest: dict[str, np.ndarray] = {}  # by tag: the last value of each run
        self._given: dict[str, np.ndarray] = {}  # by tag: whether each run has a value
        self._validated: dict[int, int] = {}  # by run: the step of the last validation

    def log(self, step: int, tag: str, values: np.ndarray, rows: np.ndarray | None = None) -> None:
        """Log a value for each of some rows of the stack; without ``rows``, of the active ones."""
        if rows is None:
            rows = self._stack.active_rows
            values = values[rows]
        runs = self._stack.runs[rows]
        self.curves.add(step, tag, runs, values)
        latest = self._latest.setdefault(tag, np.full(self.curves.runs, np.nan))
        # Callbacks see what Record and Norms log as float32.
        with np.errstate(over="ignore"):
            latest[runs] = values if tag.startswith("val/") else np.asarray(values, np.float32)
        self._given.setdefault(tag, np.zeros(self.curves.runs, dtype=bool))[runs] = True
        if tag == "val/loss":
            self._validated.update(dict.fromkeys(runs.tolist(), step))

    def latest(self, run: int, tag: str) -> float | None:
        """The last value of a tag; None before there is one."""
        given = self._given.get(tag)
        return None if given is None or not given[run] else float(self._latest[tag][run])

    def callback_metrics(self, run: int, dtype: torch.dtype) -> dict[str, Tensor]:
        """The last value of each tag, as in Lightning's ``trainer.callback_metrics``.

        Args:
            run: its number.
            dtype: of validation metrics; all others are float32.
        """
        found: dict[str, Tensor] = {}
        for tag, latest in self._latest.items():
            if self._given[tag][run]:
                own = dtype if tag.startswith("val/") else torch.float32
                found[tag] = torch.tensor(latest[run], dtype=own)
        if run in self._validated:
            found["step"] = torch.tensor(float(self._validated[run]))
        return found

    def log_values(
        self, step: int, phase: str, values: Values, rows: np.ndarray | None = None
    ) -> None:
        """Log a loss and its metrics."""
        self.log(step, f"{phase}/loss", _numpy(values.loss), rows)
        for name, metric in values.metrics.items():
            self.log(step, f"{phase}/{name}", _numpy(metric), rows)

    def log_lrs(self, step: int, tables: Sequence[np.ndarray]) -> None:
        """Log the learning rates [runs, groups] of each stepper."""
        for stepper, table in zip(self._stack.steppers, tables, strict=True):
            rows, active = self._rows_of(stepper)
            for name, column in zip(stepper.group_names, table.T, strict=True):
                if not np.isnan(column).all():  # NaN for an optimizer without lr
                    self.log(step, f"lr/{name}", column[active], rows[active])

    def log_gaps(self, step: int, gaps: np.ndarray | None, rows: np.ndarray | None = None) -> None:
        """Log the gap and its logarithm, where the optimum is known."""
        if gaps is not None and self.gap is not None:
            self.log(step, "train/gap", gaps, rows)
            self.log(step, "train/log10_gap", self.gap.log10(gaps), rows)

    def log_norms(self, step: int, gradients: Sequence[Sequence[Tensor]], before: Tensor) -> None:
        """Log each group's gradient norm, and the norm of its update relative to its weights.

        Args:
            step: the number of the update.
            gradients: for each stepper, the gradient norm of each group, [runs].
            before: the weights before the update, [rows, columns].
        """
        after = self._stack.weights
        for stepper, own in zip(self._stack.steppers, gradients, strict=True):
            rows, active = self._rows_of(stepper)
            old = before[stepper.rows]
            changes = group_norms(stepper, after[stepper.rows] - old)
            sizes = group_norms(stepper, old)
            for name, norm in zip(stepper.group_names, own, strict=True):
                self.log(step, f"grad_norm/{name}", _numpy(norm)[active], rows[active])
            for name, change, size in zip(stepper.group_names, changes, sizes, strict=True):
                defined = active & (_numpy(size) != 0)
                with np.errstate(all="ignore"):
                    ratio = _numpy(change) / _numpy(size)
                self.log(step, f"update_ratio/{name}", ratio[defined], rows[defined])

    def diverged(self, step: int) -> dict[int, str]:
        """By row of the stack, why its run has diverged at this step."""
        reasons: dict[int, str] = {}
        for row in self._stack.active_rows.tolist():
            run = self._stack.runs[row]
            for callback in self.divergence_callbacks[run]:
                latest = self._latest.get(callback.monitor)
                if latest is not None:
                    callback.reason = callback.judge(float(latest[run]), step)
                    if callback.reason:
                        reasons.setdefault(row, callback.reason)
        return reasons

    def _rows_of(self, stepper: Stepper) -> tuple[np.ndarray, np.ndarray]:
        rows = np.arange(stepper.rows.start, stepper.rows.stop)
        return rows, self._stack.active[rows]


class Curves:
    """The logged values of all runs of a group.

    Args:
        runs: the number of runs.
    """

    def __init__(self, runs: int) -> None:
        self.runs = runs
        # For each tag: step, the runs that have a value, and the values.
        self._entries: dict[str, list[tuple[int, np.ndarray, np.ndarray]]] = {}

    def add(self, step: int, tag: str, runs: np.ndarray, values: np.ndarray) -> None:
        """Log ``values`` [n] of the runs with the numbers ``runs`` [n] at a step."""
        if len(runs):
            self._entries.setdefault(tag, []).append((step, runs, np.asarray(values, np.float64)))

    @cached_property
    def tables(self) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """By tag: the steps [steps], the values [runs, steps], and whether a value was logged.

        To be read after everything is logged.
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

    def rows(self, run: int) -> dict[int, dict[str, float]]:
        """``{step: {tag: value}}`` of one run; tags in the order of their first values."""
        rows: dict[int, dict[str, float]] = {}
        for tag, (steps, values, given) in self.tables.items():
            entries = zip(steps.tolist(), values[run].tolist(), given[run].tolist(), strict=True)
            for step, value, exists in entries:
                if exists:
                    rows.setdefault(step, {})[tag] = value
        return dict(sorted(rows.items()))


def _numpy(values: Tensor) -> np.ndarray:
    return values.detach().to("cpu", torch.float64).numpy()


def group_norms(stepper: Stepper, values: Tensor) -> list[Tensor]:
    """The 2-norm of each group's columns, as :class:`stepsize.callbacks.norms.Norms` computes it.

    Args:
        stepper: has the parameter groups.
        values: gradients, weights or their changes in the stepper's rows, [runs, columns].

    Returns:
        For each group, float64, [runs].
    """
    return [
        torch.stack(_parameter_norms(stepper, values, names)).double().square().sum(0).sqrt()
        for names in stepper.variants[0].names
    ]


def clip(steppers: Iterable[Stepper], gradients: Tensor, value: float, algorithm: str) -> None:
    """Clip each run's gradient, as Lightning does with ``trainer.gradient_clip_val``.

    Args:
        steppers: have the trained parameters; frozen ones do not count.
        gradients: [rows, columns], changed in place.
        value: the largest norm, or with ``algorithm`` "value" the largest entry.
        algorithm: "norm" or "value".
    """
    if algorithm == "value":
        gradients.clamp_(-value, value)
        return
    for stepper in steppers:
        rows = gradients[stepper.rows]
        trained = [name for names in stepper.variants[0].names for name in names]
        norms = torch.stack(_parameter_norms(stepper, rows, trained))
        total = torch.linalg.vector_norm(norms, dim=0)
        # As in torch.nn.utils.clip_grads_with_norm_.
        rows.mul_((value / (total + 1e-6)).clamp(max=1.0)[:, None])


def _parameter_norms(stepper: Stepper, values: Tensor, names: Iterable[str]) -> list[Tensor]:
    """The 2-norm of each parameter's columns, [runs] each."""
    columns = (slice(*stepper.layout.columns(name)) for name in names)
    return [torch.linalg.vector_norm(values[:, part], dim=1) for part in columns]


class StackedGap:
    """The gap f - f* of many runs in float64 on the CPU; see :class:`stepsize.optima.gap.Gap`.

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
        """The gap of a module whose optimum on these data is known, else None."""
        gap = Gap.where_known(module, data)
        return None if gap is None else cls(gap, module, data)

    def of(self, weights: Tensor) -> np.ndarray:
        """The gap of each run, [runs], at ``weights`` [runs, columns]."""
        exact = weights.to("cpu", torch.float64)
        values = self._objective.evaluate(exact, self._batch, with_metrics=False)
        return values.loss.reshape(len(weights)).numpy() - self.optimum

    def log10(self, gaps: np.ndarray) -> np.ndarray:
        """The decimal logarithm of each gap, not below that of the smallest meaningful gap."""
        # max(gap, floor) in Python, so that NaN stays NaN.
        return np.array([math.log10(max(gap, self.floor)) for gap in gaps.tolist()])


class Trajectories:
    """The iterates of many runs, which :class:`~stepsize.plots.trajectory.Trajectory` draws.

    Args:
        module: the model, with weights and buffers of the dtype of the training.
        layout: of the parameters.
        runs: the number of runs.
    """

    def __init__(self, module: Module, layout: Layout, runs: int) -> None:
        plot = Trajectory("", "")
        plot.plane = self._plane = Trajectory.plane_of(module)
        # Of a model without a point to draw, the trajectories stay empty.
        has_point = plot.point_of(module) is not None
        self._columns = slice(*layout.columns("net.x")) if has_point else None
        self._path = Path()
        self._empty = torch.full((runs, 2), torch.nan)

    @classmethod
    def where_plotted(
        cls, config: Mapping[str, Any], module: Module, layout: Layout, runs: int
    ) -> Trajectories | None:
        """The trajectories of runs whose configuration asks for the plot, else None."""
        return cls(module, layout, runs) if plots_trajectory(config) else None

    def add(self, step: int, weights: Tensor, runs: np.ndarray) -> None:
        """Keep the points before a step.

        Args:
            step: its number, from 0.
            weights: [rows, columns].
            runs: the run in each row.
        """
        if self._columns is not None and self._path.begin(step):
            x = weights[:, self._columns].detach().cpu()
            points = self._empty.to(x.dtype, copy=True)
            points[torch.from_numpy(runs)] = x if self._plane is None else x @ self._plane.to(x).T
            self._path.add(step, points)

    def of(self, runs: Sequence[int]) -> list[dict[str, Any]]:
        """The trajectories of some runs so far, as :class:`Trajectory` saves them."""
        state = self._path.state_dict()
        points = state["points"] if len(state["steps"]) else torch.zeros(0, max(runs) + 1, 2)
        return [{**state, "points": points[:, run].clone()} for run in runs]


def plots_trajectory(config: Mapping[str, Any]) -> bool:
    """Whether a configuration asks for the plot of a run's trajectory."""
    entries = (config["callbacks"] or {}).values() if config["plots"] else ()
    return any(entry and is_kind(locate(entry["_target_"]), Trajectory) for entry in entries)
