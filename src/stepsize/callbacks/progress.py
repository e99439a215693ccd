"""A progress bar of one line for the whole run, drawn a few times a second."""

from __future__ import annotations

import time
from typing import Any

import pytorch_lightning as pl
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

from stepsize.callbacks.lightning_overhead import LeanCallback

_SECONDS_BETWEEN_UPDATES = 0.1


class Progress(LeanCallback, pl.callbacks.ProgressBar):
    """Shows steps of the budget, the monitored value, steps per second and remaining time.

    Lightning's own bars count epochs, and cost as much per step as a small model's step itself.
    Nothing is drawn if the output is not a terminal.

    Args:
        monitor: the tag whose last value is shown.
    """

    def __init__(self, monitor: str = "train/loss") -> None:
        super().__init__()
        self.monitor = monitor
        self._bar: RichProgress | None = None
        self._enabled = True
        self._next = 0.0
        self._started = (0.0, 0)

    def disable(self) -> None:
        self._enabled = False

    def enable(self) -> None:
        self._enabled = True

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        bar = RichProgress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("steps  {task.fields[shown]}"),
            TimeRemainingColumn(compact=True),
            auto_refresh=False,
        )
        if not (self._enabled and trainer.is_global_zero and bar.console.is_terminal):
            return
        self._bar = bar
        total = trainer.estimated_stepping_batches
        bar.add_task("train", total=None if total == float("inf") else int(total), shown="")
        bar.start()
        self._started = (time.monotonic(), trainer.global_step)

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        if self._bar is not None and time.monotonic() > self._next:
            self._draw(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._close(trainer)

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        self._close(trainer)

    def _close(self, trainer: pl.Trainer) -> None:
        if self._bar is not None:
            self._draw(trainer)
            self._bar.stop()
            self._bar = None

    def _draw(self, trainer: pl.Trainer) -> None:
        assert self._bar is not None
        now, (began, first) = time.monotonic(), self._started
        value = trainer.callback_metrics.get(self.monitor)
        shown = "" if value is None else f"{self.monitor} {float(value):.4g}  "
        if now > began:
            shown += f"{(trainer.global_step - first) / (now - began):,.0f} steps/s"
        self._bar.update(self._bar.task_ids[0], completed=trainer.global_step, shown=shown)
        self._bar.refresh()
        self._next = now + _SECONDS_BETWEEN_UPDATES
