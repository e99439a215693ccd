"""What steps some of the runs of a stack."""

from __future__ import annotations

import copy
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
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
from stepsize.vectorized.per_run_scalar import Each, EachRun
from stepsize.vectorized.variant import MOVED, Setting

State = dict[int, dict[str, Any]]


class Update(ABC):
    """Steps the runs in some neighbouring rows of the stack; all have the same groups.

    Args:
        settings: those of the runs, each once.
        owners: which of them each run has, [runs].
        layout: of the parameters.

    Attributes:
        rows: where its runs are.
        runs: how many there are.
    """

    def __init__(self, settings: Sequence[Setting], owners: np.ndarray, layout: Layout) -> None:
        self.settings = list(settings)
        self.owners = owners
        self.layout = layout
        self.names = [str(g["name"]) for g in settings[0].optimizer.param_groups]
        self.stretches = settings[0].stretches(layout)
        self.rows = slice(0, 0)

    @property
    def runs(self) -> int:
        return len(self.owners)

    def rates(self) -> np.ndarray:
        """The present rate of each run in each group, [runs, groups]."""
        return np.array([setting.rates for setting in self.settings])[self.owners]

    @abstractmethod
    def attach(self, weights: Tensor, gradients: Tensor, start: int, kept: np.ndarray) -> None:
        """Move to the rows from ``start`` on of a new stack.

        Args:
            weights: [runs, columns], to be changed in place.
            gradients: the same shape.
            start: the first row.
            kept: which of the present runs go on, their positions.
        """

    @abstractmethod
    def step(self) -> None:
        """Change the weights by the gradients."""

    @abstractmethod
    def state_of(self, run: int) -> State:
        """The state of one run, by its position, as an optimizer of its own would have it."""

    def answers(self) -> Tensor | None:
        """The weights that its runs answer for, [runs, columns]; None: those that they train at."""
        return None

    def training_weights_of(self, run: int) -> list[Tensor] | None:
        """Where other weights count, those that one run trains at, in its groups' order."""
        return None

    def groups_of(self, run: int) -> list[dict[str, Any]]:
        """The groups of one run, as in its optimizer's ``state_dict``."""
        return self.settings[self.owners[run]].groups()


# ASGD keeps these as tensors without dimensions; of several rates, as columns.
_NUMBERS = ("eta", "mu")


class SharedUpdate(Update):
    """One optimizer for all runs, on tensors [runs, columns]: for element-wise arithmetic."""

    def __init__(self, settings: Sequence[Setting], owners: np.ndarray, layout: Layout) -> None:
        super().__init__(settings, owners, layout)
        # The same as its schedule's: what that has done to the groups before the first step counts.
        named = settings[0].named(layout.split(torch.zeros(layout.width)))
        self._optimizer = settings[0].build(named)
        # What torch wraps around a class's step, hooks and the profiler, takes as long as the step.
        self._step = partial(inspect.unwrap(type(self._optimizer).step), self._optimizer)
        self._fresh = True
        self._moves = any(setting.scheduler is not None for setting in settings)

    def attach(self, weights: Tensor, gradients: Tensor, start: int, kept: np.ndarray) -> None:
        self.owners = self.owners[kept]
        self.rows = rows = slice(start, start + len(kept))
        order = torch.from_numpy(kept).to(weights.device)
        optimizer = self._optimizer
        for group, names, stretches in zip(
            optimizer.param_groups, self.settings[0].names, self.stretches, strict=True
        ):
            old: list[Tensor] = group["params"]
            new = []
            for index, (first, end) in enumerate(stretches):
                view = weights[rows, first:end]
                view.grad = gradients[rows, first:end]
                if self._fresh:
                    own = [
                        optimizer.state.get(old[names.index(name)], {})
                        for name in self._within(names, first, end)
                    ]
                    state = _side_by_side(own, len(kept), view)
                else:
                    state = {
                        key: value.index_select(0, order) if _by_run(value) else value
                        for key, value in optimizer.state[old[index]].items()
                    }
                if state:
                    optimizer.state[view] = state
                new.append(view)
            for tensor in old:
                optimizer.state.pop(tensor, None)
            group["params"] = new
            if len(self.settings) > 1 and "foreach" in group:
                group["foreach"] = False  # torch's choice on CUDA, where a number is a number
        self._fresh = False
        self._refresh()

    @torch.no_grad()
    def step(self) -> None:
        if self._moves:
            self._refresh()
        if len(self.settings) > 1:
            with EachRun():
                self._step()
        else:
            self._step()

    def _refresh(self) -> None:
        groups = self._optimizer.param_groups
        if len(self.settings) == 1:
            for group, options in zip(groups, self.settings[0].moved, strict=True):
                group.update(options)
            return
        for index, group in enumerate(groups):
            for key in ("lr", "weight_decay"):
                values = [s.optimizer.param_groups[index].get(key) for s in self.settings]
                if values[0] is not None and len(set(values)) > 1:
                    group[key] = Each(np.array(values, dtype=np.float64)[self.owners])
                elif values[0] is not None:
                    group[key] = values[0]

    def state_of(self, run: int) -> State:
        state: State = {}
        position = 0
        for group, names, stretches in zip(
            self._optimizer.param_groups, self.settings[0].names, self.stretches, strict=True
        ):
            for name in names:
                first, end = self.layout.columns(name)
                shape = self.layout.shapes[self.layout.names.index(name)]
                index = next(i for i, (a, b) in enumerate(stretches) if a <= first and end <= b)
                start = stretches[index][0]
                stacked = self._optimizer.state.get(group["params"][index], {})
                if stacked:
                    state[position] = {
                        key: _of_one(key, value, run, first - start, end - start, shape)
                        for key, value in stacked.items()
                    }
                position += 1
        return state

    def _within(self, names: Sequence[str], first: int, end: int) -> Iterator[str]:
        """Those of ``names`` that lie in a stretch, in the stack's order."""
        for name in self.layout.names:
            if name in names and first <= self.layout.columns(name)[0] < end:
                yield name


def _side_by_side(own: Sequence[dict[str, Any]], runs: int, view: Tensor) -> dict[str, Any]:
    """The state before the first step, of neighbouring parameters, for many runs."""
    state: dict[str, Any] = {}
    for key, value in own[0].items() if own else ():
        if isinstance(value, Tensor) and value.ndim:
            row = torch.cat([entry[key].reshape(-1) for entry in own]).to(view)
            state[key] = row.expand(runs, -1).clone()
        else:
            state[key] = value.clone() if isinstance(value, Tensor) else value
    return state


def _by_run(value: Any) -> bool:
    return isinstance(value, Tensor) and value.ndim == 2


def _of_one(key: str, value: Any, run: int, first: int, end: int, shape: torch.Size) -> Any:
    if not isinstance(value, Tensor):
        return value
    if not _by_run(value):
        return value.clone()
    if key in _NUMBERS:
        return value[run, 0].clone()
    return value[run, first:end].clone().view(shape)


class SeparateUpdate(Update):
    """An optimizer for each run, on tensors of the parameters' own shapes.

    These tensors are never replaced, whatever happens to the stack: what an optimizer keeps of its
    parameters beside its groups and its state stays true.
    """

    def __init__(self, settings: Sequence[Setting], owners: np.ndarray, layout: Layout) -> None:
        super().__init__(settings, owners, layout)
        self._optimizers: list[Optimizer] = []
        self._moves = any(setting.scheduler is not None for setting in settings)
        self._has_modes = False

    def attach(self, weights: Tensor, gradients: Tensor, start: int, kept: np.ndarray) -> None:
        self.owners = self.owners[kept]
        self.rows = slice(start, start + len(kept))
        self._stack = weights[self.rows], gradients[self.rows]
        if not self._optimizers:
            self._own = tuple(tensor.clone() for tensor in self._stack)
            self._places = torch.arange(len(kept), device=weights.device)
            self._optimizers = [
                self._build(self.settings[owner], *rows)
                for owner, *rows in zip(self.owners, *self._own, strict=True)
            ]
            for optimizer in with_modes(self._optimizers):
                optimizer.train()  # type: ignore[attr-defined]
                self._has_modes = True
        else:
            self._places = self._places[torch.from_numpy(kept).to(weights.device)]
            self._optimizers = [self._optimizers[index] for index in kept]

    def _build(self, setting: Setting, row: Tensor, slots: Tensor) -> Optimizer:
        named = setting.named(self.layout.split(row))
        gradients = self.layout.split(slots)
        for name, parameter in named:
            parameter.grad = gradients[name]
        return setting.build(named)

    @torch.no_grad()
    def step(self) -> None:
        (weights, gradients), (own_weights, own_gradients) = self._stack, self._own
        own_gradients[self._places] = gradients
        if self._moves:
            options = [setting.moved for setting in self.settings]
            for optimizer, owner in zip(self._optimizers, self.owners, strict=True):
                for group, moved in zip(optimizer.param_groups, options[owner], strict=True):
                    group.update(moved)
        for optimizer in self._optimizers:
            optimizer.step()
        weights.copy_(own_weights[self._places])

    def state_of(self, run: int) -> State:
        return copy.deepcopy(self._optimizers[run].state_dict()["state"])

    def answers(self) -> Tensor | None:
        if not self._has_modes:
            return None
        with self._answering(range(self.runs)):
            return self._own[0][self._places]

    def training_weights_of(self, run: int) -> list[Tensor] | None:
        if not self._has_modes:
            return None
        return [
            parameter.detach().clone()
            for optimizer in with_modes([self._optimizers[run]])
            for group in optimizer.param_groups
            for parameter in group["params"]
        ]

    def groups_of(self, run: int) -> list[dict[str, Any]]:
        """Those of the setting, but for what this run's optimizer has noted in its own."""
        groups = super().groups_of(run)
        with self._answering([run]):
            for group, own in zip(groups, self._optimizers[run].param_groups, strict=True):
                parameters = group.pop("params")
                noted = {key: value for key, value in own.items() if key not in (*MOVED, "params")}
                group.update(copy.deepcopy(noted), params=parameters)
        return groups

    @contextmanager
    def _answering(self, runs: Sequence[int]) -> Iterator[None]:
        """Within the block the parameters of some runs are those that count.

        As in :class:`stepsize.callbacks.OptimizerMode`: the way there and back rounds, so that what
        was trained at is put back as it was.
        """
        weights = self._own[0]
        before = weights.clone() if self._has_modes else weights
        optimizers = list(with_modes(self._optimizers[run] for run in runs))
        for optimizer in optimizers:
            optimizer.eval()  # type: ignore[attr-defined]
        yield
        for optimizer in optimizers:
            optimizer.train()  # type: ignore[attr-defined]
        if self._has_modes:
            weights.copy_(before)


def make_updates(
    settings: Sequence[Setting], layout: Layout, owners: Sequence[int]
) -> tuple[list[Update], list[int]]:
    """Share the runs out among as few optimizers as their arithmetic allows.

    Args:
        settings: all settings.
        layout: of the parameters.
        owners: the setting of each run, [runs].

    Returns:
        The updates, and the order of the runs in which each has neighbouring rows.
    """
    families: dict[Any, list[int]] = {}
    for index, setting in enumerate(settings):
        shared = type(setting.optimizer) in ELEMENTWISE and setting.family
        families.setdefault((shared,) if shared else (None, index), []).append(index)
    updates: list[Update] = []
    order: list[int] = []
    for members in families.values():
        place = {index: position for position, index in enumerate(members)}
        runs = [run for run, owner in enumerate(owners) if owner in place]
        mine = [settings[index] for index in members]
        elementwise = type(mine[0].optimizer) in ELEMENTWISE
        kind: Callable[..., Update] = SharedUpdate if elementwise else SeparateUpdate
        updates.append(kind(mine, np.array([place[owners[run]] for run in runs]), layout))
        order += runs
    return updates, order
