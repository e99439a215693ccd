"""Ends a run that has diverged: a non-finite loss, or one far above its start."""

from __future__ import annotations

import math
from typing import Any

import pytorch_lightning as pl

from stepsize.callbacks.lightning_overhead import LeanCallback
from stepsize.callbacks.recorder import is_logged


class Divergence(LeanCallback):
    """Stops training when the loss is not finite, or stays far above its first value.

    Only logged values are checked, so that other steps cost nothing.

    Args:
        monitor: the tag to watch.
        factor: a value above ``factor * max(|first value|, 1)`` is far above the start.
        patience: how many such values in a row end the run; a non-finite value ends it at once.

    Attributes:
        reason: the value, the step and the limit; None for a run that has not diverged.
    """

    def __init__(self, monitor: str = "train/loss", factor: float = 1e3, patience: int = 2) -> None:
        if factor <= 1:
            raise ValueError(f"callbacks.divergence.factor={factor}: give a number above 1")
        if patience < 1:
            raise ValueError(f"callbacks.divergence.patience={patience}: give 1 or more")
        self.monitor, self.factor, self.patience = monitor, factor, patience
        self.reason: str | None = None
        self._first: float | None = None
        self._above = 0

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        step = trainer.global_step - 1
        if self.reason or not is_logged(trainer, step):
            return
        value = trainer.callback_metrics.get(self.monitor)
        if value is not None:
            self.reason = self.judge(float(value), step)
            trainer.should_stop |= self.reason is not None

    def judge(self, value: float, step: int) -> str | None:
        """Check the next logged value; returns the reason why it ends the run, or None."""
        if not math.isfinite(value):
            return f"{self.monitor} is {value} at step {step}"
        if self._first is None:
            self._first = value
        limit = self.factor * max(abs(self._first), 1.0)
        self._above = self._above + 1 if value > limit else 0
        if self._above >= self.patience:
            return (
                f"{self.monitor} is {value:.3g} at step {step}, above {limit:.3g} for "
                f"{self.patience} logged values in a row"
            )
        return None

    def state_dict(self) -> dict[str, Any]:
        return {"first": self._first, "above": self._above}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._first, self._above = state_dict["first"], state_dict["above"]
