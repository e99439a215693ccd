"""The exact distance to a known optimum, for many runs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stepsize.gap import Gap
from stepsize.modules import Module
from stepsize.vectorized.batches import Batch, placed
from stepsize.vectorized.layout import Layout
from stepsize.vectorized.objective import StackedObjective


class StackedGap:
    """What :class:`stepsize.gap.Gap` is for one run: f - f* in float64 on the CPU.

    Args:
        gap: knows the minimum f*.
        module: the model, with its initial weights.
        data: its data; all training points are evaluated.
    """

    def __init__(self, gap: Gap, module: Module, data: Any) -> None:
        cpu = torch.device("cpu")
        self.optimum, self.floor = gap.optimum, gap.floor
        self._objective = StackedObjective(module, Layout.of(module), torch.float64, cpu)
        self._batch = Batch([placed(data.train, torch.float64, cpu)], torch.empty(0))

    @classmethod
    def where_known(cls, module: Module, data: Any) -> StackedGap | None:
        """That of a module that knows its optimum on these data, else None."""
        gap = Gap.where_known(module, data)
        return None if gap is None else cls(gap, module, data)

    def of(self, weights: Tensor) -> np.ndarray:
        """The gap of each run, [runs], at ``weights`` [runs, columns]."""
        exact = weights.to("cpu", torch.float64)
        values = self._objective.evaluate(exact, self._batch, with_metrics=False)
        return values.loss.reshape(len(weights)).numpy() - self.optimum

    def log10(self, gaps: np.ndarray) -> np.ndarray:
        """The decimal logarithm, not below that of the smallest gap that means anything."""
        # max(gap, floor) as Python has it: NaN stays NaN.
        return np.array([math.log10(max(gap, self.floor)) for gap in gaps.tolist()])
