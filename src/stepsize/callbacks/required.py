"""Callbacks that every run has, or that an optimizer or a schedule requires."""

from __future__ import annotations

import pytorch_lightning as pl
from torch.optim.lr_scheduler import ReduceLROnPlateau

from stepsize.callbacks.lightning_overhead import LeanCallback
from stepsize.callbacks.optimizer_mode import OptimizerMode
from stepsize.callbacks.plateau_start import PlateauStart
from stepsize.optim import Recipe
from stepsize.optim.compatibility import has_modes
from stepsize.optim.configure import plan_of
from stepsize.optim.describe import log_groups
from stepsize.schedules.checks import is_kind, locate_node


def required_callbacks(recipe: Recipe) -> list[pl.Callback]:
    """The callbacks that this optimizer or schedule needs for correct results; usually none.

    Args:
        recipe: optimizer and schedule. In a Trainer of your own, pass them after ``Record``.

    Raises:
        ValueError: a class in the recipe does not exist or is not in an allowed package.
    """
    callbacks: list[pl.Callback] = []
    if any(map(has_modes, recipe.spec.classes)):
        callbacks.append(OptimizerMode())
    if recipe.scheduler and is_kind(locate_node(recipe.scheduler, "scheduler"), ReduceLROnPlateau):
        callbacks.append(PlateauStart())
    return callbacks


class GroupTable(LeanCallback):
    """Logs each group's name, size and options, on the console and in TensorBoard.

    A single group is one short line. The learning rates are those that the schedule multiplies: the
    value at the first step of a warm-up would be misleading.
    """

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        log_groups(trainer, plan_of(pl_module))
