"""Keeps one checkpoint from which the run can go on: ``checkpoints/last.ckpt``."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.utilities.exceptions import SIGTERMException


class LastCheckpoint(pl.callbacks.Checkpoint):
    """Saves every so many minutes, at the end, and when the process is asked to terminate.

    Lightning's ModelCheckpoint skips the end of a run that it has saved before, counts versions
    (``last-v1.ckpt``), and can leave a truncated file under the final name on a full disk. This one
    replaces ``last.ckpt`` in one go. To keep the best weights too, add a ModelCheckpoint with a
    monitor to the callbacks.

    Args:
        dirpath: the folder.
        minutes: how often, by the clock; a step between two saves costs nothing.
    """

    def __init__(self, dirpath: str, minutes: float = 1.0) -> None:
        if minutes <= 0:
            raise ValueError(f"callbacks.checkpoint.minutes={minutes}: give a number above 0")
        self.file = Path(dirpath) / "last.ckpt"
        self.minutes = minutes
        self._saved = time.monotonic()

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        if time.monotonic() - self._saved > 60 * self.minutes:
            self._save(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._save(trainer)

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        # SIGTERM is raised between two steps; after any other exception the weights may be
        # in the middle of an update.
        if isinstance(exception, SIGTERMException):
            self._save(trainer)

    def _save(self, trainer: pl.Trainer) -> None:
        part = self.file.with_suffix(".part")
        trainer.save_checkpoint(part)
        if trainer.is_global_zero:
            os.replace(part, self.file)
        self._saved = time.monotonic()
