"""Functions of many runs as straight lists of operations: traced, and compiled where it pays.

:func:`torch.vmap` and :func:`torch.func.grad` find out in every call what there is to do, which
takes several times as long as doing it where models are small. What is found is the same in every
step. So it is noted down once, and from then on just done: the same operations, the same bits.
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

# Weights [runs, columns] and a batch -> tensors with a row for each run, and some by name.
Stacked = Callable[[Tensor, tuple[Tensor, ...]], tuple[tuple[Tensor, ...], dict[str, Tensor]]]


class Program:
    """A function for one shape of weights and batch.

    Args:
        function: what is traced.
        weights: of as many runs as every call will have.
        tensors: of a batch.
    """

    def __init__(self, function: Stacked, weights: Tensor, tensors: tuple[Tensor, ...]) -> None:
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

    def compiled(self) -> Program:
        """The same, compiled by torch's Inductor.

        Not by :func:`torch.compile`: the function that it returns looks at its guards in each call,
        which takes as long as a tenth of the computation; here the shapes are what they were.
        """
        from torch._inductor import compile as inductor

        # Inductor tries for seconds what the compiler can do with this processor; torch knows what
        # the processor can do, and a compiler that cannot is found out in the first call.
        on_cpu = self._inputs[0].device.type == "cpu"
        options = {"cpp.vec_isa_ok": True} if on_cpu else {}
        program = copy.copy(self)
        with torch.no_grad():
            program._run = inductor(self._graph, self._inputs, options=options)
            program._run(*self._inputs)
        return program


def compiler_at_hand(device: torch.device) -> bool:
    """Whether there is what Inductor needs: on a CPU a C++ compiler."""
    return device.type != "cpu" or any(map(shutil.which, ("g++", "clang++", "cl")))
