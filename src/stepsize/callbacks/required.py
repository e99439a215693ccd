"""Callbacks that an optimizer or a schedule requires, whatever the configuration chooses."""

from __future__ import annotations

import pytorch_lightning as pl
from torch.optim.lr_scheduler import ReduceLROnPlateau

from stepsize.callbacks.optimizer_mode import OptimizerMode
from stepsize.callbacks.plateau_start import PlateauStart
from stepsize.optim import Recipe
from stepsize.optim.compatibility import has_modes
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
