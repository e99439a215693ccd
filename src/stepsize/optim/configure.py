"""What Lightning's ``configure_optimizers`` returns, for any module, from a recipe."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytorch_lightning as pl
import torch
from torch import nn

from stepsize.optim.compatibility import check_trainer
from stepsize.optim.plan import Plan, plan_optimizer
from stepsize.optim.spec import optimizer_classes
from stepsize.schedules.build import build_schedule


@dataclass(frozen=True)
class Recipe:
    """How to train: plain containers, as they stand in the configuration.

    Attributes:
        optimizer: ``_target_`` and options.
        param_groups: rules by group name; empty for one group.
        scheduler: ``_target_``, arguments and Lightning's keys; empty for a constant rate.
        monitor: the tag that a scheduler such as ReduceLROnPlateau watches.
        start: the step of the run at which the schedule begins.
    """

    optimizer: Mapping[str, Any]
    param_groups: Mapping[str, Any] = field(default_factory=dict)
    scheduler: Mapping[str, Any] = field(default_factory=dict)
    monitor: str | None = None
    start: int = 0


class PlanReader:
    """Makes a callback one that :func:`configure_optimizers` gives its plan.

    Attributes:
        plan: the groups as the rules make them, the frozen ones too; None where a module configures
            its optimizers by itself.
    """

    plan: Plan | None = None


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
    frequency = (recipe.scheduler or {}).get("frequency", 1)
    if frequency != 1 and trainer.accumulate_grad_batches > 1:
        raise ValueError(
            f"scheduler.frequency={frequency} counts batches and not steps where "
            f"trainer.accumulate_grad_batches={trainer.accumulate_grad_batches}; use 1 for one"
        )
    check_trainer(optimizer_classes(recipe.optimizer), trainer)
    plan = plan_optimizer(recipe.optimizer, named_parameters, recipe.param_groups, sparse=sparse)
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, PlanReader):
            callback.plan = plan
    optimizer = plan.build()
    schedule = recipe.scheduler and build_schedule(
        recipe.scheduler, optimizer, monitor=recipe.monitor, **_length(trainer, recipe.start)
    )
    return {"optimizer": optimizer, **({"lr_scheduler": schedule} if schedule else {})}


def _length(trainer: pl.Trainer, start: int) -> dict[str, int]:
    """The optimizer steps from ``start`` to the run's end, and those of an epoch."""
    trainer.fit_loop.setup_data()  # a budget in steps alone does not make Lightning count batches
    total_steps = trainer.estimated_stepping_batches
    batches = trainer.num_training_batches
    if math.isinf(total_steps):
        raise ValueError("a schedule needs to know the run's length: set trainer.max_steps")
    # A loader without a length is one epoch, as long as the run.
    per_epoch = total_steps * trainer.accumulate_grad_batches if math.isinf(batches) else batches
    return {
        "total_steps": max(int(total_steps) - start, 1),
        "steps_per_epoch": math.ceil(per_epoch / trainer.accumulate_grad_batches),
    }
