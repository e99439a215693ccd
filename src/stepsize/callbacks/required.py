"""The callbacks that a recipe needs, whatever the configuration's group ``callbacks`` says."""

from __future__ import annotations

import pytorch_lightning as pl
from torch.optim.lr_scheduler import ReduceLROnPlateau

from stepsize.callbacks.optimizer_mode import OptimizerMode
from stepsize.callbacks.plateau_start import PlateauStart
from stepsize.optim import Recipe
from stepsize.optim.compatibility import has_modes
from stepsize.schedules.checks import is_kind, locate_node


def required_callbacks(recipe: Recipe) -> list[pl.Callback]:
    """Callbacks without which this optimizer or this schedule goes wrong; usually none.

    Args:
        recipe: what will be built. In a Trainer of your own they stand behind ``Record``.

    Raises:
        ValueError: a class in the recipe does not exist or may not be reached.
    """
    callbacks: list[pl.Callback] = []
    if any(map(has_modes, recipe.spec.classes)):
        callbacks.append(OptimizerMode())
    if recipe.scheduler and is_kind(locate_node(recipe.scheduler, "scheduler"), ReduceLROnPlateau):
        callbacks.append(PlateauStart())
    return callbacks
