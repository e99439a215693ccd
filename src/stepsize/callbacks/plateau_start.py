"""Delays ReduceLROnPlateau until its monitor has a value."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

import pytorch_lightning as pl

log = logging.getLogger(__name__)


class PlateauStart(pl.Callback):
    """Does not step a plateau schedule before the first value of its monitor.

    Lightning ends the run if the schedule is due and its monitor has no value, for example at the
    first step of a run that monitors ``val/loss`` every step. Steps before the first value do not
    count towards the schedule's patience.
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[Any, str]] = []

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for config in trainer.lr_scheduler_configs:
            if config.reduce_on_plateau and config.monitor not in trainer.callback_metrics:
                self._waiting.append((config, config.interval))
                config.interval = "none"  # neither step nor epoch: Lightning skips it

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        self._start(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._start(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._start(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for config, _ in self._waiting:
            log.warning("%s", never_stepped(config.monitor, trainer.callback_metrics))

    def _start(self, trainer: pl.Trainer) -> None:
        if self._waiting:
            metrics = trainer.callback_metrics
            for config, interval in self._waiting:
                if config.monitor in metrics:
                    config.interval = interval
            self._waiting = [entry for entry in self._waiting if entry[0].monitor not in metrics]


def never_stepped(monitor: str, tags: Iterable[str]) -> str:
    """The warning about a plateau schedule without a value; names the tags that had one."""
    return (
        f"scheduler.monitor={monitor} had no value before the end of training, so that the "
        f"learning rate was never reduced; give one of {', '.join(sorted(tags))}"
    )
