"""An optimizer for each run, of any class that steps by the gradients alone."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from stepsize.callbacks.optimizer_mode import with_modes
from stepsize.vectorized.layout import Layout
from stepsize.vectorized.setting import MOVED, Setting
from stepsize.vectorized.update import State, Update


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
