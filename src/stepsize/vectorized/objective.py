"""The loss and its gradient for many runs at once, in pieces that fit the cache."""

from __future__ import annotations

import copy
import logging
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap

from stepsize.errors import one_line
from stepsize.modules import Module
from stepsize.vectorized.layout import Layout

log = logging.getLogger(__name__)

# Runs per piece that are tried, and of which the fastest is taken.
_PIECES = (24, 64, 160, 512, 2048)
# Compiling takes 4 to 12 seconds; it must save more than that.
_SECONDS_WORTH_COMPILING = 15.0
_COMPILED_PIECE = 64


class Values(NamedTuple):
    """What an evaluation of all runs gives, a number for each.

    Attributes:
        loss: [runs].
        metrics: by name, [runs] each.
    """

    loss: Tensor
    metrics: dict[str, Tensor]


class _Objective(nn.Module):
    """Makes ``module.step`` what :func:`torch.func.functional_call` calls."""

    def __init__(self, module: Module) -> None:
        super().__init__()
        self.module = module
        self.points = 1  # of the last batch

    def forward(self, batch: Any, with_metrics: bool) -> tuple[Tensor, dict[str, Tensor]]:
        step = self.module.step(batch)
        self.points = len(step.prediction) if step.prediction.ndim else 1
        return step.loss, self.module.metrics(step) if with_metrics else {}


class StackedObjective:
    """Evaluates one model with the weights of many runs.

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
        self.dtype = dtype
        self._module = copy.deepcopy(module).to(device, dtype)
        self._train = _Objective(self._module)
        self._evaluate = _Objective(copy.deepcopy(self._module).eval())
        self._piece: int | None = None  # None: each run by itself
        self._bound = (0, 0)  # which row is the module's own at the moment
        self._compiled: dict[Any, Callable[..., Any]] = {}
        self.seconds_compiling = 0.0

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
            if self._piece is None:
                return self._one_by_one(weights, batch, out, with_metrics)
            return self._in_pieces(weights, batch, out, self._piece, with_metrics)

    def gradients_in_pieces(self, weights: Tensor, batch: Batch, out: Tensor, piece: int) -> Values:
        """The same by :func:`torch.vmap`, with a given number of runs in each piece."""
        with _default_dtype(self.dtype):
            return self._in_pieces(weights, batch, out, piece, True)

    @torch.no_grad()
    def evaluate(self, weights: Tensor, batch: Batch, piece: int = 256) -> Values:
        """The objective in evaluation mode."""

        def one(row: Tensor, batch: Any) -> tuple[Tensor, dict[str, Tensor]]:
            return self._call(self._evaluate, row, batch, True)

        pieces = []
        with _default_dtype(self.dtype):
            if len(weights) == 1:  # vmap alone would take several times as long
                tensors, axis = batch.of(slice(0, 1))
                single = tensors if axis is None else tuple(tensor[0] for tensor in tensors)
                loss, metrics = one(weights[0], single)
                return Values(loss[None], {name: value[None] for name, value in metrics.items()})
            for start in range(0, len(weights), piece):
                rows = slice(start, start + piece)
                tensors, axis = batch.of(rows)
                pieces.append(vmap(one, in_dims=(0, axis))(weights[rows], tensors))
        return _joined(pieces)

    def validate(self, weights: Tensor, batch: Batch) -> Values:
        """The same as Lightning logs it in a validation: a mean over batches, here of one."""
        loss, metrics = self.evaluate(weights, batch)
        points = self._evaluate.points

        def mean(value: Tensor) -> Tensor:
            return (value * points).to(self.dtype) / points

        return Values(mean(loss), {name: mean(value) for name, value in metrics.items()})

    def choose(self, weights: Tensor, batch: Batch, steps: int, compile: bool | None) -> str:
        """Measure how many runs to evaluate in one piece, and whether to compile.

        Args:
            weights: of all runs, [runs, columns].
            batch: a batch of these.
            steps: how many evaluations are to come.
            compile: whether to; None where it is worth its time.

        Returns:
            What was chosen, in words.
        """
        runs = len(weights)
        scratch = torch.empty_like(weights)
        pieces = [None, *(p for p in _PIECES if p < runs), runs]
        per_run: dict[int | None, float] = {}
        with _default_dtype(self.dtype):
            for piece in pieces:
                few = slice(0, min(runs, piece or 1))
                part = batch.first(few.stop)

                def evaluate(
                    piece: int | None = piece, few: slice = few, part: Batch = part
                ) -> Any:
                    if piece is None:
                        return self._one_by_one(weights[few], part, scratch, False)
                    return self._in_pieces(weights[few], part, scratch, piece, False)

                evaluate()
                per_run[piece] = (
                    min(_seconds(evaluate, weights.device) for _ in range(3)) / few.stop
                )
        # A piece that is not filled costs as much Python as a full one.
        cost = {
            piece: per_run[piece] * (runs if piece is None else -(-runs // piece) * piece)
            for piece in pieces
        }
        self._piece = min(pieces, key=lambda piece: cost[piece])
        seconds = cost[self._piece] * steps
        if compile is None:
            compile = seconds > _SECONDS_WORTH_COMPILING
        if compile and runs > 1:
            return self._compile(weights, batch, scratch, eager=per_run[self._piece])
        if self._piece is None:
            return f"{runs} one by one, {per_run[None] * 1e6:.0f} us per run and step"
        return f"in pieces of {self._piece}, {per_run[self._piece] * 1e6:.1f} us per run and step"

    def _compile(self, weights: Tensor, batch: Batch, scratch: Tensor, eager: float) -> str:
        if weights.device.type == "cpu" and not any(map(shutil.which, ("g++", "clang++", "cl"))):
            log.info("no C++ compiler was found: not compiled, and a few times slower for that")
            return "not compiled, for want of a C++ compiler"
        piece = min(_COMPILED_PIECE, len(weights)) if weights.device.type == "cpu" else self._piece
        piece = piece or len(weights)
        part = batch.first(piece)
        tensors, axis = part.of(slice(0, piece))
        eager_piece = self._piece
        began = time.perf_counter()
        try:
            with _default_dtype(self.dtype), torch.no_grad():
                self._compiled[_shapes(tensors, axis)] = self._traced(
                    self._stacked(axis, True), weights[:piece], tensors
                )
                self._piece = piece

                def evaluate() -> Any:
                    return self._in_pieces(weights[:piece], part, scratch, piece, True)

                evaluate()
                self.seconds_compiling = time.perf_counter() - began
                seconds = min(_seconds(evaluate, weights.device) for _ in range(3)) / piece
            if seconds > eager:  # as large matrix products are, whoever calls them
                self._compiled.clear()
                self._piece = eager_piece
                return (
                    f"not compiled, which takes {seconds * 1e6:.1f} us per run and step and not "
                    f"{eager * 1e6:.1f}"
                )
        except Exception as error:
            self._compiled.clear()
            self._piece = eager_piece
            log.debug("compiling ended with this error", exc_info=True)
            log.info("not compiled, and a few times slower for that: %s", one_line(error))
            return f"not compiled: {type(error).__name__}"
        return (
            f"compiled in {self.seconds_compiling:.1f} s, in pieces of {piece}, "
            f"{seconds * 1e6:.1f} us per run and step ({eager * 1e6:.0f} before)"
        )

    @staticmethod
    def _traced(
        function: Callable[..., Any], weights: Tensor, tensors: tuple[Tensor, ...]
    ) -> Callable[..., Any]:
        """Trace ``function`` once, and compile the trace.

        A function that :func:`torch.compile` returns looks at its guards in each call, which takes
        as long as a tenth of the computation; here the shapes are what they were.
        """
        from torch._inductor import compile as inductor
        from torch.fx.experimental.proxy_tensor import make_fx

        names: list[str] = []

        def flat(weights: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
            gradient, (loss, metrics) = function(weights, tensors)
            names[:] = metrics
            return gradient, loss, *metrics.values()

        # Inductor tries for seconds what the compiler can do with this processor; torch knows what
        # the processor can do, and a compiler that cannot is found out in the first call.
        options = {"cpp.vec_isa_ok": True} if weights.device.type == "cpu" else {}
        inputs: list[Any] = [weights, *tensors]
        compiled = inductor(make_fx(flat)(*inputs), inputs, options=options)

        def call(weights: Tensor, tensors: tuple[Tensor, ...]) -> Any:
            with torch.no_grad():
                gradient, loss, *values = compiled(weights, *tensors)
            return gradient, (loss, dict(zip(names, values, strict=True)))

        return call

    def _call(
        self, objective: _Objective, row: Tensor, batch: Any, with_metrics: bool
    ) -> tuple[Tensor, dict[str, Tensor]]:
        weights = {f"module.{name}": value for name, value in self.layout.split(row).items()}
        return functional_call(objective, weights, (batch, with_metrics))

    def _stacked(self, axis: int | None, with_metrics: bool) -> Callable[..., Any]:
        def one(row: Tensor, batch: Any) -> tuple[Tensor, dict[str, Tensor]]:
            return self._call(self._train, row, batch, with_metrics)

        return vmap(grad_and_value(one, has_aux=True), in_dims=(0, axis))

    def _in_pieces(
        self, weights: Tensor, batch: Batch, out: Tensor, piece: int, with_metrics: bool
    ) -> Values:
        pieces = []
        for start in range(0, len(weights), piece):
            rows = slice(start, min(start + piece, len(weights)))
            count = rows.stop - rows.start
            tensors, axis = batch.of(rows)
            function = self._compiled.get(_shapes(tensors, axis)) if self._compiled else None
            part = weights[rows]
            if function is None:
                function = self._stacked(axis, with_metrics)
            elif count < piece:
                # One shape, so that it is compiled once: what is missing repeats the last run.
                part = torch.cat([part, part[-1:].expand(piece - count, -1)])
                if axis is not None:
                    tensors = tuple(
                        torch.cat([t, t[-1:].expand(piece - count, *t.shape[1:])]) for t in tensors
                    )
            gradient, (loss, metrics) = function(part, tensors)
            out[rows].copy_(gradient[:count])
            pieces.append((loss[:count], {name: value[:count] for name, value in metrics.items()}))
        return _joined(pieces)

    def _bind(self, row: Tensor, gradient: Tensor) -> None:
        """Make a row the module's parameters, and another their gradients."""
        rows = zip(row.split(self.layout.sizes), gradient.split(self.layout.sizes), strict=True)
        for parameter, (value, slot) in zip(self._module.parameters(), rows, strict=True):
            parameter.data = value.view(parameter.shape)
            parameter.grad = slot.view(parameter.shape)

    def _one_by_one(self, weights: Tensor, batch: Batch, out: Tensor, with_metrics: bool) -> Values:
        """Each run with a plain backward pass: for one or a few, vmap's overhead is larger."""
        values = []
        for index in range(len(weights)):
            row, gradient = weights[index], out[index]
            place = row.data_ptr(), gradient.data_ptr()
            if place != self._bound:
                self._bind(row, gradient)
                self._bound = place
            gradient.zero_()
            tensors, axis = batch.of(slice(index, index + 1))
            if axis is not None:
                tensors = tuple(tensor[0] for tensor in tensors)
            loss, metrics = self._train(tensors, with_metrics)
            loss.backward()
            values.append(
                (loss.detach()[None], {name: v.detach()[None] for name, v in metrics.items()})
            )
        return _joined(values)


class Batch:
    """What the runs see in one step.

    Args:
        tensors: of each stream of batches.
        stream: which of them each run sees, [runs]; not looked at where there is only one.
    """

    def __init__(self, tensors: list[tuple[Tensor, ...]], stream: Tensor) -> None:
        self.single = len(tensors) == 1
        self.tensors = (
            tensors[0] if self.single else tuple(map(torch.stack, zip(*tensors, strict=True)))
        )
        self.stream = stream

    def of(self, rows: slice) -> tuple[tuple[Tensor, ...], int | None]:
        """The tensors of some runs, and the axis of the runs; None where all share them."""
        if self.single:
            return self.tensors, None
        chosen = self.stream[rows]
        return tuple(tensor.index_select(0, chosen) for tensor in self.tensors), 0

    def first(self, count: int) -> Batch:
        """That of the first runs alone."""
        part = copy.copy(self)
        part.stream = self.stream[:count]
        return part


def _joined(pieces: list[tuple[Tensor, dict[str, Tensor]]]) -> Values:
    if len(pieces) == 1:
        return Values(*pieces[0])
    losses, metrics = zip(*pieces, strict=True)
    return Values(
        torch.cat(losses), {name: torch.cat([m[name] for m in metrics]) for name in metrics[0]}
    )


def _shapes(tensors: tuple[Tensor, ...], axis: int | None) -> Any:
    """What one compiled function is for; the number of runs in a piece does not count."""
    return axis, *(tensor.shape if axis is None else tensor.shape[1:] for tensor in tensors)


def _seconds(call: Callable[[], Any], device: torch.device) -> float:
    began = time.perf_counter()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """As Lightning's precision plugins evaluate a model."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
