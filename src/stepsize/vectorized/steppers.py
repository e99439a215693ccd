"""One optimizer step for a contiguous block of a stack's rows, in two implementations."""

from __future__ import annotations

import copy
import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from stepsize.callbacks.optimizer_mode import with_modes
from stepsize.vectorized.eligibility import ELEMENTWISE
from stepsize.vectorized.layout import Layout
from stepsize.vectorized.per_run_scalar import PerRunArithmetic, PerRunScalar
from stepsize.vectorized.variant import SCHEDULED_OPTIONS, Variant

State = dict[int, dict[str, Any]]  # the "state" of an optimizer's state_dict


def make_steppers(
    variants: Sequence[Variant], layout: Layout, variant_of: Sequence[int]
) -> tuple[list[Stepper], list[int]]:
    """Distribute the runs over as few steppers as their optimizers' arithmetic allows.

    Args:
        variants: all variants.
        layout: of the parameters.
        variant_of: the index of each run's variant, [runs].

    Returns:
        The steppers, and the order of the runs in which each stepper's runs are contiguous.
    """
    batches: dict[Any, list[int]] = {}
    for index, variant in enumerate(variants):
        key = type(variant.optimizer) in ELEMENTWISE and variant.batch_key
        batches.setdefault((key,) if key else (None, index), []).append(index)
    steppers: list[Stepper] = []
    order: list[int] = []
    for members in batches.values():
        position = {index: position for position, index in enumerate(members)}
        runs = [run for run, index in enumerate(variant_of) if index in position]
        own = [variants[index] for index in members]
        elementwise = type(own[0].optimizer) in ELEMENTWISE
        kind = BatchedStepper if elementwise else PerRunStepper
        steppers.append(kind(own, np.array([position[variant_of[run]] for run in runs]), layout))
        order += runs
    return steppers, order


class Stepper(ABC):
    """Steps the runs in a contiguous block of rows; all have the same parameter groups.

    Args:
        variants: the distinct variants of the runs.
        variant_of: the index of each run's variant, [runs].
        layout: of the parameters.

    Attributes:
        rows: the block of rows.
        runs: the number of runs.
        group_names: the names of the parameter groups.
    """

    def __init__(self, variants: Sequence[Variant], variant_of: np.ndarray, layout: Layout) -> None:
        self.variants = list(variants)
        self.variant_of = variant_of
        self.layout = layout
        self.group_names = [str(g["name"]) for g in variants[0].optimizer.param_groups]
        self.rows = slice(0, 0)

    @property
    def runs(self) -> int:
        return len(self.variant_of)

    def lrs(self) -> np.ndarray:
        """The current learning rate of each run in each group, [runs, groups]."""
        return np.array([variant.lrs for variant in self.variants])[self.variant_of]

    @abstractmethod
    def attach(self, weights: Tensor, gradients: Tensor, start: int, kept: np.ndarray) -> None:
        """Move to the rows from ``start`` on of new tensors.

        Args:
            weights: [rows, columns]; the steps change it in place.
            gradients: [rows, columns].
            start: the first row.
            kept: the positions of the runs that stay, among the current ones.
        """

    @abstractmethod
    def step(self) -> None:
        """Update the weights from the gradients."""

    @abstractmethod
    def state_of(self, position: int) -> State:
        """The optimizer state of one run, as the run's own optimizer would have it."""

    def evaluation_weights(self) -> Tensor | None:
        """The runs' evaluation weights, [runs, columns]; None where they are the trained ones."""
        return None

    def training_weights_of(self, position: int) -> list[Tensor] | None:
        """One run's training weights in its groups' order; None if it evaluates at the same."""
        return None

    def param_groups_of(self, position: int) -> list[dict[str, Any]]:
        """The groups of one run, as in its optimizer's ``state_dict``."""
        return self.variants[self.variant_of[position]].param_groups()


# ASGD keeps these as tensors without dimensions; for several learning rates they are columns.
_ASGD_SCALARS = ("eta", "mu")


class BatchedStepper(Stepper):
    """One optimizer for all runs, on tensors [runs, columns]; for element-wise arithmetic."""

    def __init__(self, variants: Sequence[Variant], variant_of: np.ndarray, layout: Layout) -> None:
        super().__init__(variants, variant_of, layout)
        self._ranges = variants[0].ranges(layout)
        # Built as the variant's own, so that its groups are the same before the first step.
        named = variants[0].named(layout.split(torch.zeros(layout.width)))
        self._optimizer = variants[0].build(named)
        # torch's wrappers of step, for hooks and the profiler, take as long as the step itself.
        self._step = partial(inspect.unwrap(type(self._optimizer).step), self._optimizer)
        self._fresh = True
        self._scheduled = any(variant.scheduler is not None for variant in variants)

    def attach(self, weights: Tensor, gradients: Tensor, start: int, kept: np.ndarray) -> None:
        self.variant_of = self.variant_of[kept]
        self.rows = rows = slice(start, start + len(kept))
        order = torch.from_numpy(kept).to(weights.device)
        optimizer = self._optimizer
        for group, names, ranges in zip(
            optimizer.param_groups, self.variants[0].names, self._ranges, strict=True
        ):
            old: list[Tensor] = group["params"]
            new = []
            for index, (first, end) in enumerate(ranges):
                view = weights[rows, first:end]
                view.grad = gradients[rows, first:end]
                if self._fresh:
                    own = [
                        optimizer.state.get(old[names.index(name)], {})
                        for name in self._within(names, first, end)
                    ]
                    state = _repeated(own, len(kept), view)
                else:
                    state = {
                        key: value.index_select(0, order) if _is_per_run(value) else value
                        for key, value in optimizer.state[old[index]].items()
                    }
                if state:
                    optimizer.state[view] = state
                new.append(view)
            for tensor in old:
                optimizer.state.pop(tensor, None)
            group["params"] = new
            if len(self.variants) > 1 and "foreach" in group:
                group["foreach"] = False  # torch's default on CUDA, without per-run scalars
        self._fresh = False
        self._refresh()

    @torch.no_grad()
    def step(self) -> None:
        if self._scheduled:
            self._refresh()
        if len(self.variants) > 1:
            with PerRunArithmetic():
                self._step()
        else:
            self._step()

    def _refresh(self) -> None:
        """Take over the options that the schedules have changed."""
        groups = self._optimizer.param_groups
        if len(self.variants) == 1:
            for group, options in zip(groups, self.variants[0].scheduled_options, strict=True):
                group.update(options)
            return
        for index, group in enumerate(groups):
            for key in ("lr", "weight_decay"):
                values = [v.optimizer.param_groups[index].get(key) for v in self.variants]
                if values[0] is not None and len(set(values)) > 1:
                    group[key] = PerRunScalar(np.array(values, dtype=np.float64)[self.variant_of])
                elif values[0] is not None:
                    group[key] = values[0]

    def state_of(self, position: int) -> State:
        state: State = {}
        number = 0
        for group, names, ranges in zip(
            self._optimizer.param_groups, self.variants[0].names, self._ranges, strict=True
        ):
            for name in names:
                first, end = self.layout.columns(name)
                shape = self.layout.shapes[self.layout.names.index(name)]
                index = next(i for i, (a, b) in enumerate(ranges) if a <= first and end <= b)
                start = ranges[index][0]
                stacked = self._optimizer.state.get(group["params"][index], {})
                if stacked:
                    state[number] = {
                        key: _of_run(key, value, position, first - start, end - start, shape)
                        for key, value in stacked.items()
                    }
                number += 1
        return state

    def _within(self, names: Sequence[str], first: int, end: int) -> Iterator[str]:
        """The parameters among ``names`` in a range of columns, in the layout's order."""
        for name in self.layout.names:
            if name in names and first <= self.layout.columns(name)[0] < end:
                yield name


def _repeated(own: Sequence[dict[str, Any]], runs: int, view: Tensor) -> dict[str, Any]:
    """The initial state of adjacent parameters, repeated for each run."""
    state: dict[str, Any] = {}
    for key, value in own[0].items() if own else ():
        if isinstance(value, Tensor) and value.ndim:
            row = torch.cat([entry[key].reshape(-1) for entry in own]).to(view)
            state[key] = row.expand(runs, -1).clone()
        else:
            state[key] = value.clone() if isinstance(value, Tensor) else value
    return state


def _is_per_run(value: Any) -> bool:
    return isinstance(value, Tensor) and value.ndim == 2


def _of_run(key: str, value: Any, position: int, first: int, end: int, shape: torch.Size) -> Any:
    """One run's part of a state entry, as a copy."""
    if not isinstance(value, Tensor):
        return value
    if not _is_per_run(value):
        return value.clone()
    if key in _ASGD_SCALARS:
        return value[position, 0].clone()
    return value[position, first:end].clone().view(shape)


class PerRunStepper(Stepper):
    """An optimizer for each run, on tensors of the parameters' own shapes.

    These tensors are never replaced when the stack moves its rows, so that an optimizer may keep
    references to its parameters beside its groups and its state.
    """

    def __init__(self, variants: Sequence[Variant], variant_of: np.ndarray, layout: Layout) -> None:
        super().__init__(variants, variant_of, layout)
        self._optimizers: list[Optimizer] = []
        self._scheduled = any(variant.scheduler is not None for variant in variants)
        self._has_modes = False

    def attach(self, weights: Tensor, gradients: Tensor, start: int, kept: np.ndarray) -> None:
        self.variant_of = self.variant_of[kept]
        self.rows = slice(start, start + len(kept))
        self._stack = weights[self.rows], gradients[self.rows]
        if not self._optimizers:
            self._own = tuple(tensor.clone() for tensor in self._stack)
            self._own_rows = torch.arange(len(kept), device=weights.device)
            self._optimizers = [
                self._build(self.variants[index], *rows)
                for index, *rows in zip(self.variant_of, *self._own, strict=True)
            ]
            for optimizer in with_modes(self._optimizers):
                optimizer.train()  # type: ignore[attr-defined]
                self._has_modes = True
        else:
            self._own_rows = self._own_rows[torch.from_numpy(kept).to(weights.device)]
            self._optimizers = [self._optimizers[index] for index in kept]

    def _build(self, variant: Variant, weights: Tensor, gradients: Tensor) -> Optimizer:
        named = variant.named(self.layout.split(weights))
        grads = self.layout.split(gradients)
        for name, parameter in named:
            parameter.grad = grads[name]
        return variant.build(named)

    @torch.no_grad()
    def step(self) -> None:
        (weights, gradients), (own_weights, own_gradients) = self._stack, self._own
        own_gradients[self._own_rows] = gradients
        if self._scheduled:
            options = [variant.scheduled_options for variant in self.variants]
            for optimizer, index in zip(self._optimizers, self.variant_of, strict=True):
                for group, scheduled in zip(optimizer.param_groups, options[index], strict=True):
                    group.update(scheduled)
        for optimizer in self._optimizers:
            optimizer.step()
        weights.copy_(own_weights[self._own_rows])

    def state_of(self, position: int) -> State:
        return copy.deepcopy(self._optimizers[position].state_dict()["state"])

    def evaluation_weights(self) -> Tensor | None:
        if not self._has_modes:
            return None
        with self._evaluating(range(self.runs)):
            return self._own[0][self._own_rows]

    def training_weights_of(self, position: int) -> list[Tensor] | None:
        if not self._has_modes:
            return None
        return [
            parameter.detach().clone()
            for optimizer in with_modes([self._optimizers[position]])
            for group in optimizer.param_groups
            for parameter in group["params"]
        ]

    def param_groups_of(self, position: int) -> list[dict[str, Any]]:
        """The variant's groups, with the entries that the run's own optimizer has changed."""
        groups = super().param_groups_of(position)
        ignored = (*SCHEDULED_OPTIONS, "params")
        with self._evaluating([position]):
            for group, own in zip(groups, self._optimizers[position].param_groups, strict=True):
                parameters = group.pop("params")
                changed = {key: value for key, value in own.items() if key not in ignored}
                group.update(copy.deepcopy(changed), params=parameters)
        return groups

    @contextmanager
    def _evaluating(self, positions: Sequence[int]) -> Iterator[None]:
        """Context in which the parameters of some runs are their evaluation weights.

        As in :class:`stepsize.callbacks.OptimizerMode`, the training weights are restored from a
        copy, because switching to evaluation and back rounds.
        """
        weights = self._own[0]
        before = weights.clone() if self._has_modes else weights
        optimizers = list(with_modes(self._optimizers[position] for position in positions))
        for optimizer in optimizers:
            optimizer.eval()  # type: ignore[attr-defined]
        yield
        for optimizer in optimizers:
            optimizer.train()  # type: ignore[attr-defined]
        if self._has_modes:
            weights.copy_(before)
