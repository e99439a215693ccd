"""Functions of many runs as torch.fx graphs: traced once, and compiled where it pays.

:func:`torch.vmap` and :func:`torch.func.grad` work out in every call which operations to run. For
small models this takes several times as long as the operations, which are the same in every step.
So they are traced once, and each later call runs the same operations, with the same bits.
"""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx

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
