"""The stack: weights and gradients of many runs, one row per run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from stepsize.vectorized.steppers import Stepper

_ENDED_SHARE = 0.1  # the share of ended runs at which their rows are removed


class Stack:
    """Weights and gradients of many runs.

    Args:
        weights: of each run, [runs, columns]; stepped in place.
        runs: the run in each row; the runs of each stepper are contiguous.
        steppers: of the runs, in the order of their rows.

    Attributes:
        weights: [rows, columns]; a row is removed some time after its run has ended.
        gradients: [rows, columns].
        runs: the run in each row.
        active: whether the run in each row is still training.
        steppers: those that have rows.
    """

    def __init__(self, weights: Tensor, runs: Sequence[int], steppers: Sequence[Stepper]) -> None:
        self.weights = weights
        self.gradients = torch.zeros_like(weights)
        self.runs = np.array(runs)
        self.active = np.ones(len(runs), dtype=bool)
        self.steppers = list(steppers)
        self._attach([np.arange(stepper.runs) for stepper in steppers])

    @property
    def active_rows(self) -> np.ndarray:
        """The rows of the runs that are still training."""
        return np.flatnonzero(self.active)

    def evaluation_weights(self, rows: np.ndarray) -> Tensor:
        """A copy of the evaluation weights in some rows; schedule-free optimizers train at others.

        Args:
            rows: the rows' numbers.
        """
        found = [(stepper.rows, stepper.evaluation_weights()) for stepper in self.steppers]
        weights = self.weights
        if any(own is not None for _, own in found):
            weights = weights.clone()
            for block, own in found:
                if own is not None:
                    weights[block] = own
        return weights[torch.from_numpy(rows).to(weights.device)]

    def stepper_of(self, row: int) -> tuple[Stepper, int]:
        """The stepper of a row, and the row's position in the stepper's block."""
        stepper = next(s for s in self.steppers if s.rows.start <= row < s.rows.stop)
        return stepper, row - stepper.rows.start

    def end(self, rows: np.ndarray) -> None:
        """End the runs in some rows; once enough have ended, their rows are removed."""
        self.active[rows] = False
        if self.active.mean() > 1 - _ENDED_SHARE:
            return
        kept = [np.flatnonzero(self.active[stepper.rows]) for stepper in self.steppers]
        self.weights = self.weights[torch.from_numpy(self.active_rows).to(self.weights.device)]
        self.gradients = torch.zeros_like(self.weights)
        self.runs = self.runs[self.active]
        self.active = np.ones(len(self.runs), dtype=bool)
        self._attach(kept)

    def _attach(self, kept: Sequence[np.ndarray]) -> None:
        start = 0
        for stepper, positions in zip(self.steppers, kept, strict=True):
            stepper.attach(self.weights, self.gradients, start, positions)
            start += len(positions)
        self.steppers = [stepper for stepper in self.steppers if stepper.runs]
