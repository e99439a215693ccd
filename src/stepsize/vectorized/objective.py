"""The loss and its gradient for many runs at once, in pieces that fit the cache."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap

from stepsize.modules import Module
from stepsize.vectorized.batches import Batch
from stepsize.vectorized.graphs import Program, Stacked
from stepsize.vectorized.layout import Layout

# Tracing a program takes as long as some twenty calls without it.
_CALLS_BEFORE_TRACING = 4
_PIECE_OF_EVALUATIONS = 256
_SMALLEST = 8  # runs in a piece that others are filled up to


class StackedObjective:
    """Evaluates one model with the weights of many runs.

    Args:
        module: gives the computation; its own weights do not count.
        layout: of its parameters.
        dtype: of weights and data.
        device: where they are.

    Attributes:
        piece: how many runs :meth:`gradients` evaluates at once; None for each by itself, as a
            plain loop does: for one or a few runs that is the fastest.
    """

    def __init__(
        self, module: Module, layout: Layout, dtype: torch.dtype, device: torch.device
    ) -> None:
        self.dtype = dtype
        self._model = OneModel(module, layout, dtype, device)
        self.piece: int | None = None
        self._programs: dict[Any, Program] = {}
        self._compiled: dict[Any, Program] = {}
        self._calls: Counter[Any] = Counter()

    def gradients(
        self, weights: Tensor, batch: Batch, out: Tensor, *, with_metrics: bool = True
    ) -> Values:
        """The training objective, and its gradient.

        Args:
            weights: [runs, columns].
            batch: of these runs.
            out: [runs, columns], takes the gradients.
            with_metrics: whether these will be looked at; computed in vain they would be a third of
                a logistic regression's step.
        """
        with _default_dtype(self.dtype):
            if self.piece is None:
                return self._model.one_by_one(weights, batch, out, with_metrics)
            return self._in_pieces(weights, batch, self.piece, with_metrics, out)

    @torch.no_grad()
    def evaluate(self, weights: Tensor, batch: Batch, *, with_metrics: bool = True) -> Values:
        """The objective in evaluation mode."""
        with _default_dtype(self.dtype):
            if len(weights) > 1:
                return self._in_pieces(weights, batch, _PIECE_OF_EVALUATIONS, with_metrics)
            return self._model.evaluate(weights[0], batch, with_metrics)

    def validate(self, weights: Tensor, batch: Batch) -> Values:
        """The same as Lightning logs it in a validation: a mean over batches, here of one."""
        loss, metrics = self.evaluate(weights, batch)
        points = self._model.evaluated_points

        def mean(value: Tensor) -> Tensor:
            return (value * points).to(self.dtype) / points

        return Values(mean(loss), {name: mean(value) for name, value in metrics.items()})

    def trace(self, weights: Tensor, batch: Batch, piece: int | None) -> None:
        """Evaluate in pieces of this size from now on, and trace the program for it."""
        self.piece = piece
        self._compiled.clear()
        if piece is not None:
            rows = slice(0, min(piece, len(weights)))
            with _default_dtype(self.dtype):
                self._program(weights[rows], *batch.of(rows), False, True, at_once=True)

    def compile(self, weights: Tensor, batch: Batch, piece: int) -> None:
        """Evaluate in compiled pieces of this size from now on.

        Raises:
            Exception: whatever Inductor and the compiler raise; all is then as before.
        """
        rows = slice(0, piece)
        tensors, axis = batch.of(rows)
        with _default_dtype(self.dtype):
            # With metrics also where they are not looked at: compiling twice would take longer.
            program = Program(
                self._model.stacked(axis, True, True), weights[rows], tensors
            ).compiled()
        for with_metrics in (False, True):
            self._compiled[_key(piece, tensors, axis, with_metrics, True)] = program
        self.piece = piece

    def _in_pieces(
        self,
        weights: Tensor,
        batch: Batch,
        piece: int,
        with_metrics: bool,
        gradients: Tensor | None = None,
    ) -> Values:
        """Evaluate some runs after the others, with gradients if there is a place for them."""
        losses, metrics = [], []
        for start in range(0, len(weights), piece):
            rows = slice(start, min(start + piece, len(weights)))
            count = rows.stop - rows.start
            tensors, axis = batch.of(rows)
            part = weights[rows]
            missing = self._filled_up(count, piece, gradients is not None) - count
            if missing:
                part = _repeat_last(part, missing)
                if axis is not None:
                    tensors = tuple(_repeat_last(tensor, missing) for tensor in tensors)
            function = self._program(part, tensors, axis, with_metrics, gradients is not None)
            (loss, *gradient), named = function(part, tensors)
            if gradients is not None:
                gradients[rows].copy_(gradient[0][:count])
            losses.append(loss[:count])
            metrics.append({name: value[:count] for name, value in named.items()})
        return joined(losses, metrics)

    def _filled_up(self, count: int, piece: int, with_gradients: bool) -> int:
        """The size of the piece for so many runs: a few sizes, so that few programs are traced."""
        size = piece
        if self._compiled and with_gradients:
            return size
        while size // 2 >= max(count, _SMALLEST):
            size //= 2
        return size

    def _program(
        self,
        weights: Tensor,
        tensors: tuple[Tensor, ...],
        axis: int | None,
        with_metrics: bool,
        with_gradients: bool,
        *,
        at_once: bool = False,
    ) -> Stacked:
        key = _key(len(weights), tensors, axis, with_metrics, with_gradients)
        known = self._compiled.get(key) or self._programs.get(key)
        if known is not None:
            return known
        function = self._model.stacked(axis, with_metrics, with_gradients)
        self._calls[key] += 1
        if self._calls[key] <= _CALLS_BEFORE_TRACING and not at_once:
            return function
        self._programs[key] = Program(function, weights, tensors)
        return self._programs[key]


def _repeat_last(tensor: Tensor, times: int) -> Tensor:
    return torch.cat([tensor, tensor[-1:].expand(times, *tensor.shape[1:])])


def _key(runs: int, tensors: tuple[Tensor, ...], axis: int | None, *ways: bool) -> Any:
    """What a program is for."""
    return runs, axis, *ways, *(t.shape if axis is None else t.shape[1:] for t in tensors)


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """As Lightning's precision plugins evaluate a model."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


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


class Values(NamedTuple):
    """What an evaluation of all runs gives, a number for each.

    Attributes:
        loss: [runs].
        metrics: by name, [runs] each.
    """

    loss: Tensor
    metrics: dict[str, Tensor]


def joined(losses: list[Tensor], metrics: list[dict[str, Tensor]]) -> Values:
    """Those of several pieces, or of single runs, one after the other."""
    if len(losses) == 1:
        return Values(losses[0], metrics[0])
    return Values(
        torch.cat(losses), {name: torch.cat([m[name] for m in metrics]) for name in metrics[0]}
    )
