"""One model as a function of a row of numbers, its parameters; and for many rows at once."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap

from stepsize.modules import Module
from stepsize.vectorized.batches import Batch
from stepsize.vectorized.layout import Layout
from stepsize.vectorized.programs import Stacked
from stepsize.vectorized.values import Values, joined


class _Step(nn.Module):
    """Makes ``module.step`` what :func:`torch.func.functional_call` calls."""

    def __init__(self, module: Module) -> None:
        super().__init__()
        self.module = module
        self.points = 1  # of the last batch

    def forward(self, batch: Any, with_metrics: bool) -> tuple[Tensor, dict[str, Tensor]]:
        step = self.module.step(batch)
        self.points = len(step.prediction) if step.prediction.ndim else 1
        return step.loss, self.module.metrics(step) if with_metrics else {}


class OneModel:
    """A module's step, in training and in evaluation mode.

    Args:
        module: gives the computation; its own weights do not count.
        layout: of its parameters.
        dtype: of weights and data.
        device: where they are.
    """

    def __init__(
        self, module: Module, layout: Layout, dtype: torch.dtype, device: torch.device
    ) -> None:
        self.layout = layout
        self._module = copy.deepcopy(module).to(device, dtype)
        self._train = _Step(self._module)
        self._evaluate = _Step(copy.deepcopy(self._module).eval())
        self._bound = (0, 0)  # which row is the module's own at the moment

    @property
    def evaluated_points(self) -> int:
        """How many there were in the last batch that was evaluated."""
        return self._evaluate.points

    def stacked(self, axis: int | None, with_metrics: bool, with_gradients: bool) -> Stacked:
        """The function of many rows: the loss, the gradient if it is wanted, and metrics by name.

        Args:
            axis: of the runs in the batch's tensors; None where all see the same.
            with_metrics: whether to compute them.
            with_gradients: in training mode with gradients, or in evaluation mode without.
        """
        step = self._train if with_gradients else self._evaluate

        def one(row: Tensor, batch: Any) -> tuple[Tensor, dict[str, Tensor]]:
            return self._call(step, row, batch, with_metrics)

        if not with_gradients:

            def evaluated(weights: Tensor, tensors: tuple[Tensor, ...]) -> Any:
                loss, metrics = vmap(one, in_dims=(0, axis))(weights, tensors)
                return (loss,), metrics

            return evaluated

        def differentiated(weights: Tensor, tensors: tuple[Tensor, ...]) -> Any:
            both = vmap(grad_and_value(one, has_aux=True), in_dims=(0, axis))
            gradient, (loss, metrics) = both(weights, tensors)
            return (loss, gradient), metrics

        return differentiated

    def evaluate(self, row: Tensor, batch: Batch, with_metrics: bool) -> Values:
        """Those of a single run: vmap alone would take several times as long."""
        loss, metrics = self._call(self._evaluate, row, _single(batch, 0), with_metrics)
        return Values(loss[None], {name: value[None] for name, value in metrics.items()})

    def one_by_one(self, weights: Tensor, batch: Batch, out: Tensor, with_metrics: bool) -> Values:
        """Each run with a plain backward pass, the gradients into ``out``."""
        losses, metrics = [], []
        for index in range(len(weights)):
            row, gradient = weights[index], out[index]
            place = row.data_ptr(), gradient.data_ptr()
            if place != self._bound:
                self._bind(row, gradient)
                self._bound = place
            gradient.zero_()
            loss, named = self._train(_single(batch, index), with_metrics)
            loss.backward()
            losses.append(loss.detach()[None])
            metrics.append({name: value.detach()[None] for name, value in named.items()})
        return joined(losses, metrics)

    def _call(
        self, step: _Step, row: Tensor, batch: Any, with_metrics: bool
    ) -> tuple[Tensor, dict[str, Tensor]]:
        weights = {f"module.{name}": value for name, value in self.layout.split(row).items()}
        return functional_call(step, weights, (batch, with_metrics))

    def _bind(self, row: Tensor, gradient: Tensor) -> None:
        """Make a row the module's parameters, and another their gradients."""
        rows = zip(row.split(self.layout.sizes), gradient.split(self.layout.sizes), strict=True)
        for parameter, (value, slot) in zip(self._module.parameters(), rows, strict=True):
            parameter.data = value.view(parameter.shape)
            parameter.grad = slot.view(parameter.shape)


def _single(batch: Batch, index: int) -> tuple[Tensor, ...]:
    tensors, axis = batch.of(slice(index, index + 1))
    return tensors if axis is None else tuple(tensor[0] for tensor in tensors)
