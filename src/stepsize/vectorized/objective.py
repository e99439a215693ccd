"""The loss and its gradient for many runs at once, in pieces that fit the cache."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from stepsize.modules import Module
from stepsize.vectorized.batches import Batch
from stepsize.vectorized.layout import Layout
from stepsize.vectorized.one_model import OneModel
from stepsize.vectorized.programs import Program, Stacked
from stepsize.vectorized.values import Values, joined

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
