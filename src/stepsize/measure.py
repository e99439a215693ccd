"""What is measured in a run: one training step's values, and the exact distance to the optimum."""

from __future__ import annotations

import copy

import pytorch_lightning as pl
import torch
from torch import Tensor


class Measurement:
    """Takes the first evaluation after it was asked for.

    An optimizer with a closure (LBFGS) evaluates the model many times per step. The first one is at
    the weights that the step starts from, which is what a curve against steps must show.

    Attributes:
        wanted: true from ``ask`` until ``take``.
        values: what was taken, by name; empty when nothing was.
    """

    def __init__(self) -> None:
        self.wanted = False
        self.values: dict[str, Tensor] = {}

    def ask(self) -> None:
        self.wanted, self.values = True, {}

    def take(self, values: dict[str, Tensor]) -> None:
        self.wanted, self.values = False, {k: v.detach() for k, v in values.items()}


class Gap:
    """The distance of the full training objective to its known minimum, in float64.

    In float32 the loss itself is known to about 1e-7, and a gap below that would be noise, often
    negative. A float64 twin of the module, on the CPU, is given the run's weights at each call.

    Args:
        module: a ``stepsize.modules.Module`` before it is trained.
        data: its data; all training points are evaluated, whatever the batch size.
        optimum: the minimum f*.
    """

    def __init__(self, module: pl.LightningModule, data: pl.LightningDataModule, optimum: float):
        self.optimum = optimum
        self._twin = copy.deepcopy(module).to("cpu", torch.float64).eval()
        self._batch = tuple(t.double() if t.is_floating_point() else t for t in data.train)

    @torch.no_grad()
    def __call__(self, module: pl.LightningModule) -> float:
        """f(weights of ``module``) - f*; at the minimum, rounding may leave it slightly below 0."""
        for twin, original in zip(self._twin.parameters(), module.parameters(), strict=True):
            twin.copy_(original)
        return self._twin.step(self._batch).loss.item() - self.optimum
