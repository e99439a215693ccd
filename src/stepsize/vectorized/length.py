"""How long a run is, in optimizer steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Length:
    """How long a run is.

    Attributes:
        steps: optimizer steps.
        per_epoch: those of a full epoch.
    """

    steps: int
    per_epoch: int

    @classmethod
    def of(cls, trainer: Mapping[str, Any], data: Any) -> Length:
        """The length that Lightning would find: a budget in steps, in epochs, or the shorter.

        Args:
            trainer: the configuration's.
            data: the data module, which knows its batches.
        """
        per_epoch = len(data.batches(data.train))
        epochs = trainer.get("max_epochs", -1)
        budgets = [trainer.get("max_steps", -1), -1 if epochs in (-1, None) else epochs * per_epoch]
        return cls(min(budget for budget in budgets if budget != -1), per_epoch)
