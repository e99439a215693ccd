"""What steps some of the runs of a stack."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from stepsize.vectorized.layout import Layout
from stepsize.vectorized.setting import Setting

State = dict[int, dict[str, Any]]


class Update(ABC):
    """Steps the runs in some neighbouring rows of the stack; all have the same groups.

    Args:
        settings: those of the runs, each once.
        owners: which of them each run has, [runs].
        layout: of the parameters.

    Attributes:
        rows: where its runs are.
        runs: how many there are.
    """

    def __init__(self, settings: Sequence[Setting], owners: np.ndarray, layout: Layout) -> None:
        self.settings = list(settings)
        self.owners = owners
        self.layout = layout
        self.names = [str(g["name"]) for g in settings[0].optimizer.param_groups]
        self.stretches = settings[0].stretches(layout)
        self.rows = slice(0, 0)

    @property
    def runs(self) -> int:
        return len(self.owners)

    def rates(self) -> np.ndarray:
        """The present rate of each run in each group, [runs, groups]."""
        return np.array([setting.rates for setting in self.settings])[self.owners]

    @abstractmethod
    def attach(self, weights: Tensor, gradients: Tensor, start: int, kept: np.ndarray) -> None:
        """Move to the rows from ``start`` on of a new stack.

        Args:
            weights: [runs, columns], to be changed in place.
            gradients: the same shape.
            start: the first row.
            kept: which of the present runs go on, their positions.
        """

    @abstractmethod
    def step(self) -> None:
        """Change the weights by the gradients."""

    @abstractmethod
    def state_of(self, run: int) -> State:
        """The state of one run, by its position, as an optimizer of its own would have it."""

    def answers(self) -> Tensor | None:
        """The weights that its runs answer for, [runs, columns]; None: those that they train at."""
        return None

    def training_weights_of(self, run: int) -> list[Tensor] | None:
        """Where other weights count, those that one run trains at, in its groups' order."""
        return None

    def groups_of(self, run: int) -> list[dict[str, Any]]:
        """The groups of one run, as in its optimizer's ``state_dict``."""
        return self.settings[self.owners[run]].groups()
