"""What Lightning's ``configure_optimizers`` returns, for any module: optimizer and schedule.

A :class:`Recipe` holds what the configuration asks for. With a module's named parameters it becomes
a plan (:mod:`stepsize.optim.plan`: which optimizer trains which parameters), the plan becomes the
optimizer, and with the run's length the optimizer gets its schedule (:mod:`stepsize.schedules`).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pytorch_lightning as pl
import torch
from torch import nn

from stepsize.optim.compatibility import check_trainer
from stepsize.optim.plan import Plan, plan_optimizer
from stepsize.optim.spec import OptimizerSpec
from stepsize.schedules.build import build_schedule


@dataclass
class Recipe:
    """Optimizer, parameter groups and schedule of a run, as plain containers.

    Attributes:
        optimizer: ``_target_`` and the options of that class.
        param_groups: rules by group name; empty for one group.
        scheduler: ``_target_``, arguments and Lightning's keys; empty for a constant learning rate.
        monitor: the tag that a scheduler such as ReduceLROnPlateau watches.
        start: the step of the run at which the schedule begins.
        plan: which optimizer trains which parameters; set by :func:`configure_optimizers`, so that
            callbacks find it.
    """

    optimizer: Mapping[str, Any]
    param_groups: Mapping[str, Any] = field(default_factory=dict)
    scheduler: Mapping[str, Any] = field(default_factory=dict)
    monitor: str | None = None
    start: int = 0
    plan: Plan | None = field(default=None, init=False, repr=False, compare=False)

    @classmethod
    def from_config(cls, config: Mapping[str, Any], start: int = 0) -> Recipe:
        """The recipe of a run's whole configuration, as plain containers."""
        return cls(
            optimizer=config["optimizer"],
            param_groups=config["param_groups"] or {},
            scheduler=config["scheduler"] or {},
            monitor=config["monitor"],
            start=start,
        )

    @cached_property
    def spec(self) -> OptimizerSpec:
        """The optimizer's configuration, parsed.

        Raises:
            ValueError: a class or an option does not exist.
        """
        return OptimizerSpec.from_config(self.optimizer)


def configure_optimizers(
    named_parameters: Iterable[tuple[str, nn.Parameter]],
    recipe: Recipe,
    trainer: pl.Trainer,
    sparse: Collection[str] = (),
) -> dict[str, Any]:
    """Build the optimizer and its schedule.

    Args:
        named_parameters: ``self.named_parameters()``.
        recipe: what to build; its ``plan`` is set.
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
        # This is torch's default, but unless it is set explicitly, torch warns once in every run.
        torch.sparse.check_sparse_tensor_invariants.disable()
    frequency = (recipe.scheduler or {}).get("frequency", 1)
    if frequency != 1 and trainer.accumulate_grad_batches > 1:
        raise ValueError(
            f"scheduler.frequency={frequency} counts batches and not steps where "
            f"trainer.accumulate_grad_batches={trainer.accumulate_grad_batches}; use 1 for one"
        )
    check_trainer(recipe.spec.classes, trainer)
    recipe.plan = plan_optimizer(recipe.spec, named_parameters, recipe.param_groups, sparse=sparse)
    optimizer = recipe.plan.build()
    if not recipe.scheduler:
        return {"optimizer": optimizer}
    total_steps, steps_per_epoch = _length(trainer)
    schedule = build_schedule(
        recipe.scheduler,
        optimizer,
        total_steps=max(total_steps - recipe.start, 1),
        steps_per_epoch=steps_per_epoch,
        monitor=recipe.monitor,
    )
    return {"optimizer": optimizer, "lr_scheduler": schedule}


def plan_of(module: pl.LightningModule) -> Plan | None:
    """The plan that a module's optimizer was built from; None if it was built in another way."""
    return getattr(getattr(module, "recipe", None), "plan", None)


def _length(trainer: pl.Trainer) -> tuple[int, int]:
    """The optimizer steps of the run and of an epoch."""
    trainer.fit_loop.setup_data()  # Lightning counts no batches where only max_steps is given
    total_steps = trainer.estimated_stepping_batches
    batches = trainer.num_training_batches
    if math.isinf(total_steps):
        raise ValueError("a schedule needs to know the run's length: set trainer.max_steps")
    # A loader without a length is one epoch, as long as the run.
    per_epoch = total_steps * trainer.accumulate_grad_batches if math.isinf(batches) else batches
    return int(total_steps), math.ceil(per_epoch / trainer.accumulate_grad_batches)
