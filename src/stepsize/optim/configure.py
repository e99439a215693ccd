"""What Lightning's ``configure_optimizers`` returns, for any module, from a recipe."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytorch_lightning as pl
import torch
from torch import nn

from stepsize.optim.build import build_optimizer
from stepsize.optim.schedule import build_schedule


@dataclass(frozen=True)
class Recipe:
    """How to train: plain containers, as they stand in the configuration.

    Attributes:
        optimizer: ``_target_`` and options.
        param_groups: rules by group name; empty for one group.
        scheduler: ``_target_``, arguments and Lightning's keys; empty for a constant rate.
        monitor: the tag that a scheduler such as ReduceLROnPlateau watches.
    """

    optimizer: Mapping[str, Any]
    param_groups: Mapping[str, Any] = field(default_factory=dict)
    scheduler: Mapping[str, Any] = field(default_factory=dict)
    monitor: str | None = None


def configure_optimizers(
    named_parameters: Iterable[tuple[str, nn.Parameter]],
    recipe: Recipe,
    trainer: pl.Trainer,
    sparse: Collection[str] = (),
) -> dict[str, Any]:
    """Build the optimizer and its schedule.

    Args:
        named_parameters: ``self.named_parameters()``.
        recipe: what to build.
        trainer: knows the run's length.
        sparse: names of the parameters whose gradients are sparse
            (``sparse_parameter_names(self)``).

    Returns:
        Lightning's dictionary with ``optimizer`` and, where there is a schedule, ``lr_scheduler``.

    Raises:
        ValueError: an option or a value that the optimizer, the rules or the schedule refuse.
    """
    if sparse and trainer.gradient_clip_val:
        raise ValueError(
            f"trainer.gradient_clip_val={trainer.gradient_clip_val}: sparse gradients cannot be "
            "clipped; use null, or a task with dense gradients"
        )
    if sparse:
        # torch's default, said aloud: left unsaid, it warns once in every run.
        torch.sparse.check_sparse_tensor_invariants.disable()
    optimizer = build_optimizer(
        recipe.optimizer, named_parameters, recipe.param_groups, sparse=sparse
    )
    schedule = recipe.scheduler and build_schedule(
        recipe.scheduler, optimizer, monitor=recipe.monitor, **_length(trainer)
    )
    return {"optimizer": optimizer, **({"lr_scheduler": schedule} if schedule else {})}


def _length(trainer: pl.Trainer) -> dict[str, int]:
    """The run's optimizer steps, in all and per epoch."""
    trainer.fit_loop.setup_data()  # a budget in steps alone does not make Lightning count batches
    total_steps = trainer.estimated_stepping_batches
    batches = trainer.num_training_batches
    if math.isinf(total_steps):
        raise ValueError("a schedule needs to know the run's length: set trainer.max_steps")
    # A loader without a length is one epoch, as long as the run.
    per_epoch = total_steps * trainer.accumulate_grad_batches if math.isinf(batches) else batches
    return {
        "total_steps": int(total_steps),
        "steps_per_epoch": math.ceil(per_epoch / trainer.accumulate_grad_batches),
    }
