"""Averages the weights while training, and evaluates and saves the average."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor

from stepsize.schedules.durations import REST, is_duration, step_of


class WeightAveraging(pl.callbacks.WeightAveraging):
    """Averages the weights after every step from ``start`` on.

    Stochastic weight averaging (Izmailov et al., 2018, arXiv:1803.05407), or an exponential moving
    average (Polyak and Juditsky, 1992). From ``start`` on, validation, the run's final values, its
    plot and ``last.ckpt`` use the average; ``train/loss`` uses the training weights. The statistics
    of batch norm are averaged with the weights.

    Lightning's own callback evaluates and saves the initial weights until the first average, and
    cannot resume exactly from the end of a run; this one evaluates the training weights until then,
    and saves both sets.

    Args:
        start: a share of the run, or a number of optimizer steps. 0: from the first step on.
        decay: weight of the old average in the new one; null averages all steps equally.

    Raises:
        ValueError: ``start`` or ``decay`` has another value.
    """

    def __init__(self, start: str | int = "75%", decay: float | None = None) -> None:
        if decay is not None and not 0 <= decay < 1:
            raise ValueError(f"decay={decay}: give a number from 0 to below 1, or null")
        whole = type(start) is int and start >= 0
        if not whole and not (is_duration(start) and start != REST):
            raise ValueError(f"start={start}: give a share of the run, or a step from 0 up")
        super().__init__(avg_fn=_Average(decay))
        self.start = start
        self._first = 0
        # Whether the module holds the average and Lightning's averaged model the training weights.
        self._swapped = False

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        return step_idx is not None and step_idx >= self._first

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert self._average_model is not None
        self._average_model.to(pl_module.device)  # it was copied before the module was moved
        total = trainer.estimated_stepping_batches
        self._first = step_of(self.start, total, "callbacks: weight averaging: start")

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn == TrainerFn.FITTING:
            self._put(pl_module, averaged=True)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn == TrainerFn.FITTING:
            self._put(pl_module, averaged=False)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._put(pl_module, averaged=True)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        assert self._average_model is not None
        other = self._average_model.module.state_dict()
        present = checkpoint["state_dict"]
        averaged = self._average_model.n_averaged > 0
        checkpoint["averaging_state"] = {"n_averaged": self._average_model.n_averaged}
        checkpoint["current_model_state"] = other if self._swapped else present
        checkpoint["state_dict"] = present if self._swapped or not averaged else other

    def _put(self, module: pl.LightningModule, averaged: bool) -> None:
        """Swap the module's weights to the average, or back to the training weights."""
        assert self._average_model is not None
        if self._average_model.n_averaged > 0 and self._swapped != averaged:
            self._swap_models(module)
            self._swapped = averaged


class _Average:
    """Updates an average with the current value; integers such as counters are copied."""

    def __init__(self, decay: float | None) -> None:
        self.decay = decay

    @torch.no_grad()
    def __call__(self, average: Tensor, present: Tensor, count: Tensor | int) -> Tensor:
        if not average.is_floating_point():
            return present
        weight = 1 / (count + 1) if self.decay is None else 1 - self.decay
        return average + (present - average) * weight
