"""The loss and gradient of many runs at once, in chunks of runs that fit the cache."""

from __future__ import annotations

import copy
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx

from stepsize.modules import Module
from stepsize.vectorized.batches import Batch
from stepsize.vectorized.layout import Layout

# Weights [runs, columns] and a batch -> tensors with a row for each run, and named tensors.
StackedFunction = Callable[
    [Tensor, tuple[Tensor, ...]], tuple[tuple[Tensor, ...], dict[str, Tensor]]
]


class TracedFunction:
    """A function traced for one shape of weights and batch.

    Args:
        function: the function to trace.
        weights: example weights, [runs, columns]; every call must have this shape.
        tensors: an example batch.
    """

    def __init__(
        self, function: StackedFunction, weights: Tensor, tensors: tuple[Tensor, ...]
    ) -> None:
        self._names: list[str] = []
        self._inputs: list[Any] = [weights, *tensors]

        def flat(weights: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
            values, named = function(weights, tensors)
            self._names = list(named)
            return *values, *named.values()

        self._graph: GraphModule = make_fx(flat)(*self._inputs)
        self._graph.graph.eliminate_dead_code()
        self._graph.recompile()
        self._run: Callable[..., Any] = self._graph.forward

    def __call__(
        self, weights: Tensor, tensors: tuple[Tensor, ...]
    ) -> tuple[tuple[Tensor, ...], dict[str, Tensor]]:
        with torch.no_grad():
            values = self._run(weights, *tensors)
        count = len(values) - len(self._names)
        return values[:count], dict(zip(self._names, values[count:], strict=True))

    def compiled(self) -> TracedFunction:
        """This function compiled by torch's Inductor.

        :func:`torch.compile` would check its guards in each call, which takes a tenth of the
        computation's time; here the shapes never change.
        """
        from torch._inductor import compile as inductor

        # Inductor would test for seconds which instructions the compiler supports; torch knows
        # those of the processor, and a compiler without them fails in the first call.
        on_cpu = self._inputs[0].device.type == "cpu"
        options = {"cpp.vec_isa_ok": True} if on_cpu else {}
        compiled = copy.copy(self)
        with torch.no_grad():
            compiled._run = inductor(self._graph, self._inputs, options=options)
            compiled._run(*self._inputs)
        return compiled


def has_compiler(device: torch.device) -> bool:
    """Whether Inductor can compile for a device: a CPU needs a C++ compiler."""
    return device.type != "cpu" or any(map(shutil.which, ("g++", "clang++", "cl")))


_CALLS_BEFORE_TRACING = 4  # tracing a function takes as long as some twenty calls without it
_EVALUATION_CHUNK_SIZE = 256
_SMALLEST_CHUNK_SIZE = 8


class Values(NamedTuple):
    """The result of an evaluation, one value per run.

    Attributes:
        loss: [runs].
        metrics: by name, [runs] each.
    """

    loss: Tensor
    metrics: dict[str, Tensor]


class StackedObjective:
    """Evaluates one model with the weights of many runs.

    Args:
        module: the model; its own weights are ignored.
        layout: of its parameters.
        dtype: of weights and data.
        device: of weights and data.

    Attributes:
        chunk_size: how many runs :meth:`gradients` evaluates at once. None evaluates each run with
            a plain backward pass, which is the fastest for one or a few runs.
    """

    def __init__(
        self, module: Module, layout: Layout, dtype: torch.dtype, device: torch.device
    ) -> None:
        self.dtype = dtype
        self._model = _Model(module, layout, dtype, device)
        self.chunk_size: int | None = None
        self._traced: dict[Any, TracedFunction] = {}
        self._compiled: dict[Any, TracedFunction] = {}
        self._calls: Counter[Any] = Counter()

    def gradients(
        self, weights: Tensor, batch: Batch, out: Tensor, *, with_metrics: bool = True
    ) -> Values:
        """The training objective; its gradient is written to ``out``.

        Args:
            weights: [runs, columns].
            batch: of these runs.
            out: receives the gradients, [runs, columns].
            with_metrics: whether to compute the metrics, which take a third of a logistic
                regression's step.
        """
        with _default_dtype(self.dtype):
            if self.chunk_size is None:
                return self._model.plain_gradients(weights, batch, out, with_metrics)
            return self._in_chunks(weights, batch, self.chunk_size, with_metrics, out)

    @torch.no_grad()
    def evaluate(self, weights: Tensor, batch: Batch, *, with_metrics: bool = True) -> Values:
        """The objective in evaluation mode."""
        with _default_dtype(self.dtype):
            if len(weights) > 1:
                return self._in_chunks(weights, batch, _EVALUATION_CHUNK_SIZE, with_metrics)
            return self._model.evaluate(weights[0], batch, with_metrics)

    def validate(self, weights: Tensor, batch: Batch) -> Values:
        """The objective as Lightning logs it in a validation: a mean over batches, here of one."""
        loss, metrics = self.evaluate(weights, batch)
        points = self._model.evaluated_points

        def mean(value: Tensor) -> Tensor:
            return (value * points).to(self.dtype) / points

        return Values(mean(loss), {name: mean(value) for name, value in metrics.items()})

    def trace(self, weights: Tensor, batch: Batch, chunk_size: int | None) -> None:
        """Set the chunk size, and trace the function of a chunk."""
        self.chunk_size = chunk_size
        self._compiled.clear()
        if chunk_size is not None:
            rows = slice(0, min(chunk_size, len(weights)))
            with _default_dtype(self.dtype):
                self._function(weights[rows], *batch.of(rows), False, True, trace_now=True)

    def compile(self, weights: Tensor, batch: Batch, chunk_size: int) -> None:
        """Set the chunk size, and compile the function of a chunk.

        Raises:
            Exception: what Inductor and the compiler raise; the objective is then unchanged.
        """
        rows = slice(0, chunk_size)
        tensors, axis = batch.of(rows)
        with _default_dtype(self.dtype):
            # Always with metrics: a second compilation would take longer than computing them.
            compiled = TracedFunction(
                self._model.stacked(axis, True, True), weights[rows], tensors
            ).compiled()
        for with_metrics in (False, True):
            self._compiled[_key(chunk_size, tensors, axis, with_metrics, True)] = compiled
        self.chunk_size = chunk_size

    def _in_chunks(
        self,
        weights: Tensor,
        batch: Batch,
        chunk_size: int,
        with_metrics: bool,
        gradients: Tensor | None = None,
    ) -> Values:
        """Evaluate chunk after chunk; with ``gradients`` in training mode, which it receives."""
        losses, metrics = [], []
        for start in range(0, len(weights), chunk_size):
            rows = slice(start, min(start + chunk_size, len(weights)))
            count = rows.stop - rows.start
            tensors, axis = batch.of(rows)
            part = weights[rows]
            missing = self._padded(count, chunk_size, gradients is not None) - count
            if missing:
                part = _repeat_last(part, missing)
                if axis is not None:
                    tensors = tuple(_repeat_last(tensor, missing) for tensor in tensors)
            function = self._function(part, tensors, axis, with_metrics, gradients is not None)
            (loss, *gradient), named = function(part, tensors)
            if gradients is not None:
                gradients[rows].copy_(gradient[0][:count])
            losses.append(loss[:count])
            metrics.append({name: value[:count] for name, value in named.items()})
        return _joined(losses, metrics)

    def _padded(self, count: int, chunk_size: int, with_gradients: bool) -> int:
        """The padded size of a chunk: one of a few sizes, so that few functions are traced."""
        size = chunk_size
        if self._compiled and with_gradients:
            return size
        while size // 2 >= max(count, _SMALLEST_CHUNK_SIZE):
            size //= 2
        return size

    def _function(
        self,
        weights: Tensor,
        tensors: tuple[Tensor, ...],
        axis: int | None,
        with_metrics: bool,
        with_gradients: bool,
        *,
        trace_now: bool = False,
    ) -> StackedFunction:
        key = _key(len(weights), tensors, axis, with_metrics, with_gradients)
        known = self._compiled.get(key) or self._traced.get(key)
        if known is not None:
            return known
        function = self._model.stacked(axis, with_metrics, with_gradients)
        self._calls[key] += 1
        if self._calls[key] <= _CALLS_BEFORE_TRACING and not trace_now:
            return function
        self._traced[key] = TracedFunction(function, weights, tensors)
        return self._traced[key]


def _repeat_last(tensor: Tensor, times: int) -> Tensor:
    return torch.cat([tensor, tensor[-1:].expand(times, *tensor.shape[1:])])


def _key(runs: int, tensors: tuple[Tensor, ...], axis: int | None, *flags: bool) -> Any:
    """The shapes and flags that a traced function is valid for."""
    return runs, axis, *flags, *(t.shape if axis is None else t.shape[1:] for t in tensors)


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """Set torch's default dtype, as Lightning's precision plugins do while a model is evaluated."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


class _Step(nn.Module):
    """Wraps ``module.step`` as the ``forward`` that :func:`torch.func.functional_call` calls."""

    def __init__(self, module: Module) -> None:
        super().__init__()
        self.module = module
        self.points = 1  # of the last batch

    def forward(self, batch: Any, with_metrics: bool) -> tuple[Tensor, dict[str, Tensor]]:
        step = self.module.step(batch)
        self.points = len(step.prediction) if step.prediction.ndim else 1
        return step.loss, self.module.metrics(step) if with_metrics else {}


class _Model:
    """A module's step, in training and in evaluation mode; arguments as in StackedObjective."""

    def __init__(
        self, module: Module, layout: Layout, dtype: torch.dtype, device: torch.device
    ) -> None:
        self.layout = layout
        self._module = copy.deepcopy(module).to(device, dtype)
        self._train = _Step(self._module)
        self._evaluate = _Step(copy.deepcopy(self._module).eval())
        self._bound = (0, 0)  # the addresses of the bound weights and gradient

    @property
    def evaluated_points(self) -> int:
        """The number of points in the last batch that was evaluated."""
        return self._evaluate.points

    def stacked(
        self, axis: int | None, with_metrics: bool, with_gradients: bool
    ) -> StackedFunction:
        """The function of many rows: the loss, the gradient if requested, and the metrics.

        Args:
            axis: of the runs in the batch's tensors; None where all runs share them.
            with_metrics: whether to compute the metrics.
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
        """The values of one run; for a single run, vmap would take several times as long."""
        loss, metrics = self._call(self._evaluate, row, _single(batch, 0), with_metrics)
        return Values(loss[None], {name: value[None] for name, value in metrics.items()})

    def plain_gradients(
        self, weights: Tensor, batch: Batch, out: Tensor, with_metrics: bool
    ) -> Values:
        """Evaluate each run with a plain backward pass; ``out`` receives the gradients."""
        losses, metrics = [], []
        for index in range(len(weights)):
            row, gradient = weights[index], out[index]
            addresses = row.data_ptr(), gradient.data_ptr()
            if addresses != self._bound:
                self._bind(row, gradient)
                self._bound = addresses
            gradient.zero_()
            loss, named = self._train(_single(batch, index), with_metrics)
            loss.backward()
            losses.append(loss.detach()[None])
            metrics.append({name: value.detach()[None] for name, value in named.items()})
        return _joined(losses, metrics)

    def _call(
        self, step: _Step, row: Tensor, batch: Any, with_metrics: bool
    ) -> tuple[Tensor, dict[str, Tensor]]:
        weights = {f"module.{name}": value for name, value in self.layout.split(row).items()}
        return functional_call(step, weights, (batch, with_metrics))

    def _bind(self, row: Tensor, gradient: Tensor) -> None:
        """Make ``row`` the module's parameters, and ``gradient`` their gradients."""
        sizes = self.layout.sizes
        views = zip(row.split(sizes), gradient.split(sizes), strict=True)
        for parameter, (value, grad) in zip(self._module.parameters(), views, strict=True):
            parameter.data = value.view(parameter.shape)
            parameter.grad = grad.view(parameter.shape)


def _single(batch: Batch, index: int) -> tuple[Tensor, ...]:
    tensors, axis = batch.of(slice(index, index + 1))
    return tensors if axis is None else tuple(tensor[0] for tensor in tensors)


def _joined(losses: list[Tensor], metrics: list[dict[str, Tensor]]) -> Values:
    """The values of several chunks or single runs, concatenated."""
    if len(losses) == 1:
        return Values(losses[0], metrics[0])
    return Values(
        torch.cat(losses), {name: torch.cat([m[name] for m in metrics]) for name in metrics[0]}
    )
