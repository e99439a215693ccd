"""The runs that go on, a row of numbers each, and what steps them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from stepsize.vectorized.steppers import Update

# The share of ended runs from which on the others are moved together.
_ENDED_SHARE = 0.1


class Stack:
    """Weights and gradients of many runs.

    Args:
        weights: of each run, [runs, columns]; is stepped in place.
        runs: the run in each row; each update's are neighbours.
        updates: that step them, in the order of their rows.

    Attributes:
        weights: of the runs in the rows now, [rows, columns].
        gradients: likewise.
        runs: the run in each row: those that go on, and a few that have just ended.
        alive: which of them go on.
        updates: that have rows.
    """

    def __init__(self, weights: Tensor, runs: Sequence[int], updates: Sequence[Update]) -> None:
        self.weights = weights
        self.gradients = torch.zeros_like(weights)
        self.runs = np.array(runs)
        self.alive = np.ones(len(runs), dtype=bool)
        self.updates = list(updates)
        self._attach([np.arange(update.runs) for update in updates])

    @property
    def going_on(self) -> np.ndarray:
        """The rows of the runs that do."""
        return np.flatnonzero(self.alive)

    def of(self, rows: np.ndarray) -> Tensor:
        """A copy of the weights in some rows."""
        return self.weights[torch.from_numpy(rows).to(self.weights.device)]

    def answers(self, rows: np.ndarray) -> Tensor:
        """A copy of the weights that the runs in some rows answer for.

        Schedule-free optimizers train at others.
        """
        answers = [(update.rows, update.answers()) for update in self.updates]
        if all(others is None for _, others in answers):
            return self.of(rows)
        weights = self.weights.clone()
        for place, others in answers:
            if others is not None:
                weights[place] = others
        return weights[torch.from_numpy(rows).to(weights.device)]

    def place_of(self, row: int) -> tuple[Update, int]:
        """What steps a row, and which of its runs that is."""
        update = next(u for u in self.updates if u.rows.start <= row < u.rows.stop)
        return update, row - update.rows.start

    def end(self, rows: np.ndarray) -> None:
        """Let some rows go; now and then the others move together, so that these cost nothing."""
        self.alive[rows] = False
        if self.alive.mean() > 1 - _ENDED_SHARE:
            return
        kept = [np.flatnonzero(self.alive[update.rows]) for update in self.updates]
        self.weights = self.of(self.going_on)
        self.gradients = torch.zeros_like(self.weights)
        self.runs = self.runs[self.alive]
        self.alive = np.ones(len(self.runs), dtype=bool)
        self._attach(kept)

    def _attach(self, kept: Sequence[np.ndarray]) -> None:
        start = 0
        for update, runs in zip(self.updates, kept, strict=True):
            update.attach(self.weights, self.gradients, start, runs)
            start += len(runs)
        self.updates = [update for update in self.updates if update.runs]
