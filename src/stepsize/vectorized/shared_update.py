"""One torch optimizer for many runs, where its arithmetic is element by element."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stepsize.vectorized.each import Each, EachRun
from stepsize.vectorized.layout import Layout
from stepsize.vectorized.setting import Setting
from stepsize.vectorized.update import State, Update

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
