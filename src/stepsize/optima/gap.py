"""The exact distance to a known optimum."""

from __future__ import annotations

import copy
import math
import sys
from typing import Any

import torch
from torch import nn

from stepsize.data import InMemoryData
from stepsize.modules import Module


class Gap:
    """The distance of the full training objective to its known minimum, in float64.

    In float32 the loss itself is known to about 1e-7, and a gap below that would be noise, often
    negative. A float64 twin of the module, on the CPU, is given the run's weights at each call.

    Args:
        module: before it is trained.
        data: its data; all training points are evaluated, whatever the batch size.
        optimum: the minimum f*.
    """

    def __init__(self, module: Module, data: InMemoryData, optimum: float) -> None:
        self.optimum = optimum
        self._twin = copy.deepcopy(module).to("cpu", torch.float64).eval()
        self._batch = tuple(t.double() if t.is_floating_point() else t for t in data.train)

    @classmethod
    def where_known(cls, module: nn.Module, data: Any) -> Gap | None:
        """The gap of a module that knows its optimum on these data, else None."""
        if not (isinstance(module, Module) and isinstance(data, InMemoryData)):
            return None
        optimum = module.optimum(data)
        return None if optimum is None else cls(module, data, optimum)

    @property
    def floor(self) -> float:
        """The smallest gap that the logarithm shows; one below it, or below 0, is shown as it.

        Next to f*, f is known to about eps |f*|, with eps = 2.2e-16 of float64. Where f* is 0,
        nothing cancels and gaps are exact, but a gap of 0 must stand somewhere: at eps^2.
        """
        eps = sys.float_info.epsilon
        return eps * max(abs(self.optimum), eps)

    def row(self, module: nn.Module) -> dict[str, float]:
        """The gap as ``train/gap`` and its decimal logarithm as ``train/log10_gap``."""
        gap = self(module)
        return {"train/gap": gap, "train/log10_gap": math.log10(max(gap, self.floor))}

    @torch.no_grad()
    def __call__(self, module: nn.Module) -> float:
        """f(weights of ``module``) - f*; at the minimum, rounding may leave it slightly below 0."""
        for twin, original in zip(self._twin.parameters(), module.parameters(), strict=True):
            twin.copy_(original)
        return self._twin.step(self._batch).loss.item() - self.optimum
