"""Lets ReduceLROnPlateau wait until what it watches has been measured."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

import pytorch_lightning as pl

log = logging.getLogger(__name__)


class PlateauStart(pl.Callback):
    """Keeps a plateau still before the first value of its monitor.

    Lightning ends the run when a plateau is due and its monitor has no value: in the first step of
    a run that watches ``val/loss`` every step. A still plateau counts nothing towards its patience.
    """

    def __init__(self) -> None:
        self._still: list[tuple[Any, str]] = []

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for config in trainer.lr_scheduler_configs:
            if config.reduce_on_plateau and config.monitor not in trainer.callback_metrics:
                self._still.append((config, config.interval))
                config.interval = "none"  # neither step nor epoch: Lightning passes it by

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        self._wake(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._wake(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._wake(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for config, _ in self._still:
            log.warning("%s", kept_still(config.monitor, trainer.callback_metrics))

    def _wake(self, trainer: pl.Trainer) -> None:
        if self._still:
            metrics = trainer.callback_metrics
            for config, interval in self._still:
                if config.monitor in metrics:
                    config.interval = interval
            self._still = [entry for entry in self._still if entry[0].monitor not in metrics]


def kept_still(monitor: str, tags: Iterable[str]) -> str:
    """What is said of a plateau that has never moved, and what it could have followed."""
    return (
        f"scheduler.monitor={monitor} had no value before the end of training, so the rate stayed "
        f"as it was; there were {', '.join(sorted(tags))}"
    )
