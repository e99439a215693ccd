"""Logs the parameter groups before training; every run has this callback."""

from __future__ import annotations

import pytorch_lightning as pl

from stepsize.callbacks.lightning_overhead import LeanCallback
from stepsize.optim.configure import plan_of
from stepsize.optim.describe import log_groups


class GroupTable(LeanCallback):
    """Logs each group's name, size and options, on the console and in TensorBoard.

    A single group is one short line. The learning rates are those that the schedule multiplies: the
    value at the first step of a warm-up would be misleading.
    """

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        log_groups(trainer, plan_of(pl_module))
