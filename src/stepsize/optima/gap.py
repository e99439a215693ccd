"""The gap: the training objective minus its known optimum, exact in float64."""

from __future__ import annotations

import copy
import math
import sys
from typing import Any

import torch
from torch import nn

from stepsize.data import InMemoryData


class Gap:
    """The full training objective minus its known optimum, in float64.

    In float32 the loss itself is known to about 1e-7, and a gap below that would be noise, often
    negative. At each call the run's weights are copied into a float64 copy of the module, on the
    CPU, and all training points are evaluated.

    Args:
        module: has ``step`` as :class:`stepsize.modules.Module` does; not yet trained.
        data: its data; the batch size makes no difference.
        optimum: the minimum f*.
    """

    def __init__(self, module: nn.Module, data: InMemoryData, optimum: float) -> None:
        self.optimum = optimum
        self._twin: Any = copy.deepcopy(module).to("cpu", torch.float64).eval()
        self._batch = tuple(t.double() if t.is_floating_point() else t for t in data.train)

    @classmethod
    def where_known(cls, module: Any, data: Any) -> Gap | None:
        """The gap of a module whose ``optimum(data)`` is known, else None."""
        if not (hasattr(module, "optimum") and isinstance(data, InMemoryData)):
            return None
        optimum = module.optimum(data)
        return None if optimum is None else cls(module, data, optimum)

    @property
    def floor(self) -> float:
        """The smallest gap of which the logarithm is taken; smaller gaps are raised to it.

        Near f*, f is known to about eps |f*|, with float64's eps = 2.2e-16. Where f* is 0, nothing
        cancels and gaps are exact, but the logarithm of a gap of 0 needs a value: that of eps^2.
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
