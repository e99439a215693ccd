"""Records a run's curves by optimizer step: loss, metrics, learning rates and the gap."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from stepsize.callbacks.lightning_overhead import LeanCallback
from stepsize.data import InMemoryData
from stepsize.loggers.metrics_csv import History
from stepsize.modules import Module
from stepsize.optima.gap import Gap


class RowGuest(LeanCallback):
    """Base class of callbacks that add values to the rows of :class:`Record`."""

    def begin_row(self, trainer: pl.Trainer, step: int) -> None:
        """Called before the update of the row of ``step``; :func:`log_beside` adds values to it."""


class Record(LeanCallback):
    """Logs every ``trainer.log_every_n_steps`` steps, the first step and the end of the run.

    A row's step s is the number of updates that the weights have seen: row 0 shows the initial
    weights, the last row the final ones. ``lr/<group>`` in row s is the learning rate of the update
    that follows. Nothing is computed for steps that are not logged; ``self.log`` would cost as much
    as the step itself on a small model.

    Args:
        file: the CSV file of the rows; None keeps them in memory.

    Attributes:
        gap: set where the optimum is known; logged as ``train/gap`` and ``train/log10_gap``.
        history: the run's rows. The checkpoint holds them, and a resumed run passes them to its
            loggers again, so that its curves are complete.
        steps: optimizer steps taken.
    """

    def __init__(self, file: Path | None = None) -> None:
        self.gap: Gap | None = None
        self.history = History(file)
        self.steps = 0
        self._row: dict[str, float] | None = None
        self._step = -1
        self._resumed = False
        self._guests: list[RowGuest] = []

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        callbacks = trainer.callbacks  # type: ignore[attr-defined]
        self._guests = [callback for callback in callbacks if isinstance(callback, RowGuest)]
        self.history.drop_end()
        self._repeat(trainer)

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._repeat(trainer)  # if no step was left to train

    def _repeat(self, trainer: pl.Trainer) -> None:
        """Pass the rows from before the checkpoint to the other loggers."""
        others = [logger for logger in trainer.loggers if logger is not self.history]
        for step in sorted(self.history.rows) if self._resumed else ():
            for logger in others:
                logger.log_metrics(self.history.rows[step], step)
        self._resumed = False

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        step = trainer.global_step
        if not is_logged(trainer, step) or step == self._step:
            return
        self._step = step
        self._row = {
            f"lr/{group.get('name', index)}": float(group["lr"])
            for optimizer in trainer.optimizers
            for index, group in enumerate(optimizer.param_groups)
            if "lr" in group
        }
        if self.gap is not None:
            self._row.update(self.gap.row(pl_module))
        if isinstance(pl_module, Module):
            pl_module.measurement.ask()
        for guest in self._guests:
            guest.begin_row(trainer, step)

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        self.steps = trainer.global_step
        if self._row is None:
            return
        values = pl_module.measurement.values if isinstance(pl_module, Module) else {}
        if not values and isinstance(outputs, dict) and "loss" in outputs:
            values = {"loss": outputs["loss"]}
        row = {**{f"train/{name}": float(value) for name, value in values.items()}, **self._row}
        self._row = None
        log(trainer, row, self._step)

    def extend(self, row: dict[str, float], step: int) -> bool:
        """Add values to the row of ``step`` if that row is being written; returns whether it is."""
        if self._row is None or step != self._step:
            return False
        self._row.update(row)
        return True

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # The row of the validation's metrics. Without it Lightning uses the previous step, because
        # it counts a step only after the validation that follows it.
        pl_module.log("step", float(trainer.global_step))

    @torch.no_grad()
    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the objective at the final weights if the batch is the whole training set."""
        row: dict[str, float] = {}
        data = getattr(trainer, "datamodule", None)
        if isinstance(data, InMemoryData) and data.full_batch and isinstance(pl_module, Module):
            pl_module.eval()
            precision = trainer.precision_plugin
            batch = precision.convert_input(next(iter(data.train_dataloader())))
            with precision.forward_context():
                final = pl_module.step(batch)
            values = {"loss": final.loss, **pl_module.metrics(final)}
            row = {f"train/{name}": float(value) for name, value in values.items()}
            pl_module.train()
        if self.gap is not None:
            row.update(self.gap.row(pl_module))
        if row:
            self.history.mark_end(trainer.global_step, list(row))
            log(trainer, row, trainer.global_step)

    def state_dict(self) -> dict[str, Any]:
        logged = self._step if self._row is None else -1
        return {"history": self.history.state_dict(), "steps": self.steps, "logged": logged}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.history.load_state_dict(state_dict["history"])
        self.steps, self._step = state_dict["steps"], state_dict["logged"]
        self._resumed = True


def is_logged(trainer: pl.Trainer, step: int) -> bool:
    """Whether ``step`` has a row."""
    # Set by one of the Trainer's connectors, where a type checker does not look.
    return step % trainer.log_every_n_steps == 0  # type: ignore[attr-defined]


def log_beside(trainer: pl.Trainer, row: dict[str, float], step: int) -> None:
    """Log values in the row of ``step``, together with those of :class:`Record`."""
    callbacks = trainer.callbacks  # type: ignore[attr-defined]
    if not any(isinstance(c, Record) and c.extend(row, step) for c in callbacks):
        log(trainer, row, step)


def log(trainer: pl.Trainer, row: dict[str, float], step: int) -> None:
    """Pass a row to all loggers, and to schedules and callbacks that monitor a tag."""
    trainer.callback_metrics.update({tag: torch.tensor(value) for tag, value in row.items()})
    for logger in trainer.loggers:
        logger.log_metrics(row, step)
