"""Saves ``checkpoints/last.ckpt``, from which a run resumes bit for bit."""

from __future__ import annotations

import os
import shutil
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.utilities.exceptions import SIGTERMException

from stepsize.callbacks.lightning_overhead import LeanCallback
from stepsize.checkpoint import trainer_state
from stepsize.run.atomic import replacing


class LastCheckpoint(LeanCallback, pl.callbacks.Checkpoint):
    """Saves at an interval in minutes, at the end of the run, and at SIGTERM.

    Lightning's ModelCheckpoint skips the end of a run that it has saved before, counts versions
    (``last-v1.ckpt``), and can leave a truncated file under the final name on a full disk. This
    callback replaces ``last.ckpt`` atomically, and resuming from it is exact: it is written between
    two steps, after the validation and the schedule's step that follow the first. To save the best
    weights too, add a ModelCheckpoint with a monitor to the callbacks.

    Args:
        dirpath: the folder.
        minutes: wall-clock time between two saves.
    """

    def __init__(self, dirpath: str, minutes: float = 1.0) -> None:
        if minutes <= 0:
            raise ValueError(f"callbacks.checkpoint.minutes={minutes}: give a number above 0")
        self.file = Path(dirpath) / "last.ckpt"
        self.minutes = minutes
        self._saved = time.monotonic()
        self._saving = False
        # The states of the loaders when a save became due: Lightning fetches the next batch before
        # the validation and the schedule's step of this batch are complete.
        self._due: list[Any] | None = None

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        if time.monotonic() - self._saved > 60 * self.minutes:
            loader = trainer.fit_loop._combined_loader
            self._due = loader._state_dicts() if loader is not None else []

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if self._due is not None:
            self._save(trainer, fetched=True)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._save(trainer)

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # A run that had nothing left to train is still the run of the checkpoint it came from.
        if trainer.ckpt_path and trainer.is_global_zero and not self.file.exists():
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with replacing(self.file) as part:
                shutil.copyfile(trainer.ckpt_path, part)

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        # SIGTERM is raised between two steps; after any other exception the weights may be
        # in the middle of an update.
        if isinstance(exception, SIGTERMException):
            self._save(trainer)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        # Other callbacks write checkpoints too, at other moments.
        if self._saving:
            if self._due:
                checkpoint["loops"]["fit_loop"]["state_dict"]["combined_loader"] = self._due
            trainer_state.complete_checkpoint(trainer, checkpoint)

    def _save(self, trainer: pl.Trainer, fetched: bool = False) -> None:
        part = self.file.with_suffix(".part")
        self._due = self._due if fetched else None
        self._saving = True
        try:
            with trainer_state.without_fetched_batch(trainer) if fetched else nullcontext():
                trainer.save_checkpoint(part)
        finally:
            self._saving, self._due = False, None
        if trainer.is_global_zero:
            os.replace(part, self.file)
        self._saved = time.monotonic()
