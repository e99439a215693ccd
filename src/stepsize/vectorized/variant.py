"""A variant: optimizer, parameter groups and schedule, which all seeds of a setting share."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pytorch_lightning.utilities.types import LRSchedulerConfig
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from stepsize.checkpoint.compatibility import describe
from stepsize.config.instantiate import allowing
from stepsize.optim import OptimizerSpec, build_schedule, plan_optimizer
from stepsize.optim.describe import Table, group_table
from stepsize.vectorized.layout import Layout

SCHEDULED_OPTIONS = ("lr", "momentum", "betas")  # options that schedules change
_PER_RUN_OPTIONS = ("lr", "weight_decay")  # may differ between variants that one optimizer steps
# Other implementations of a step in torch.optim, which support no per-run scalars.
_IMPLEMENTATIONS = ("foreach", "fused", "capturable", "differentiable")


@dataclass(frozen=True)
class Length:
    """The length of a run.

    Attributes:
        steps: optimizer steps.
        per_epoch: optimizer steps of a full epoch.
    """

    steps: int
    per_epoch: int

    @classmethod
    def of(cls, trainer: Mapping[str, Any], data: Any) -> Length:
        """The length as Lightning computes it: the shorter of max_steps and max_epochs.

        Args:
            trainer: the trainer's configuration.
            data: the data module.
        """
        per_epoch = len(data.batches(data.train))
        epochs = trainer.get("max_epochs", -1)
        budgets = [trainer.get("max_steps", -1), -1 if epochs in (-1, None) else epochs * per_epoch]
        return cls(min(budget for budget in budgets if budget != -1), per_epoch)


class Variant:
    """An optimizer and its schedule, built for one run that is never trained.

    It defines the parameter groups, and its schedule changes the learning rates of all its runs.

    Args:
        config: the whole configuration of one of these runs.
        module: the model; only its parameters' names and shapes are used.
        length: of the runs.

    Attributes:
        optimizer: never stepped.
        names: the parameters' names in each group.
        scheduler: None for constant learning rates.
        base_lrs: by group, the learning rate that the schedule multiplies.
        plateau_monitor: the metric that a plateau schedule monitors; None for other schedules.
        schedule_steps: the steps, from 0, after which the schedule has been stepped.
        description: what a run's callback ``Resume`` saves of both before the first step.

    Raises:
        ValueError: what ``build_optimizer`` and ``build_schedule`` raise.
    """

    def __init__(self, config: Mapping[str, Any], module: nn.Module, length: Length) -> None:
        self.config = config
        self.length = length
        self._trained = {name: p.requires_grad for name, p in module.named_parameters()}
        named = self.named({name: p.detach().clone() for name, p in module.named_parameters()})
        with allowing(config["allowed_packages"]):
            self._spec = OptimizerSpec.from_config(config["optimizer"])
        self.optimizer = self.build(named)
        with allowing(config["allowed_packages"]):
            entry = build_schedule(
                config["scheduler"],
                self.optimizer,
                total_steps=max(length.steps, 1),
                steps_per_epoch=length.per_epoch,
                monitor=config["monitor"],
            )
        # The schedule may have changed "lr" already.
        self.base_lrs = {
            str(group["name"]): group.get("initial_lr", group.get("lr"))
            for group in self.optimizer.param_groups
        }
        known = {id(parameter): name for name, parameter in named}
        self.names = [[known[id(p)] for p in g["params"]] for g in self.optimizer.param_groups]
        self.scheduler: Any = entry["scheduler"] if entry else None
        plateau = isinstance(self.scheduler, ReduceLROnPlateau)
        self.plateau_monitor: str | None = entry["monitor"] if entry and plateau else None
        self.schedule_steps: list[int] = []
        self._interval = entry["interval"] if entry else "step"
        self._frequency = entry["frequency"] if entry else 1
        trainer: Any = _TrainerView(self.optimizer, entry)
        view: Any = _ModuleView(named)
        self.description = describe(trainer, view)

    def named(self, values: Mapping[str, Tensor]) -> list[tuple[str, nn.Parameter]]:
        """Tensors as the module's parameters, of which some may be frozen."""
        return [
            (name, nn.Parameter(value, requires_grad=self._trained[name]))
            for name, value in values.items()
        ]

    def build(self, named: list[tuple[str, nn.Parameter]]) -> Optimizer:
        """The optimizer over other tensors of the same names."""
        with allowing(self.config["allowed_packages"]):
            groups = self.config["param_groups"] or {}
            return plan_optimizer(self._spec, named, groups).build()

    def step_schedule(self, step: int) -> None:
        """Step a schedule other than plateau, as Lightning does after ``step`` (from 0)."""
        due = self.scheduler is not None and self.plateau_monitor is None and self._is_due(step)
        if due:
            self.optimizer._opt_called = True  # type: ignore[attr-defined] # else torch warns
            self.scheduler.step()
            self.schedule_steps.append(step)

    def step_plateau(self, step: int, value: float | None) -> None:
        """Step a plateau schedule, after the validation that may follow ``step``.

        Args:
            step: the step's number, from 0.
            value: the last value of the monitored metric; without one, the schedule is not stepped.
        """
        if value is not None and self._is_due(step):
            self.scheduler.step(value)
            self.schedule_steps.append(step)

    def _is_due(self, step: int) -> bool:
        """Whether Lightning steps a schedule after ``step`` (from 0)."""
        epoch, batch = divmod(step, self.length.per_epoch)
        if self._interval == "step":
            return (batch + 1) % self._frequency == 0
        return batch + 1 == self.length.per_epoch and (epoch + 1) % self._frequency == 0

    @cached_property
    def group_table(self) -> Table:
        """The table of parameter groups that a run logs."""
        return group_table(self.optimizer, self.base_lrs)

    @property
    def schedulers(self) -> list[Any]:
        """The scheduler, in a list; empty for constant learning rates."""
        return [] if self.scheduler is None else [self.scheduler]

    @property
    def lrs(self) -> list[float]:
        """The current learning rate of each group; NaN where it has none."""
        return [float(group.get("lr", math.nan)) for group in self.optimizer.param_groups]

    @property
    def scheduled_options(self) -> list[dict[str, Any]]:
        """The current options of each group that a schedule may have changed."""
        return [
            {key: group[key] for key in SCHEDULED_OPTIONS if key in group}
            for group in self.optimizer.param_groups
        ]

    @property
    def batch_key(self) -> Any:
        """Equal for variants that one optimizer can step; None for a variant that needs its own."""
        groups = self.optimizer.param_groups
        if any(group.get(option) for group in groups for option in _IMPLEMENTATIONS):
            return None
        if self.scheduler is not None and any("base_momentum" in group for group in groups):
            return None  # the schedule changes the momentum, too
        return repr(
            [type(self.optimizer)]
            + [
                (names, sorted((k, _must_equal(k, v)) for k, v in group.items() if k != "params"))
                for names, group in zip(self.names, groups, strict=True)
            ]
        )

    def param_groups(self) -> list[dict[str, Any]]:
        """The current groups of the optimizer's ``state_dict``."""
        groups: list[dict[str, Any]] = copy.deepcopy(self.optimizer.state_dict()["param_groups"])
        return groups

    def scheduler_state(self) -> dict[str, Any] | None:
        """The current ``state_dict`` of the schedule; None for constant learning rates."""
        return None if self.scheduler is None else copy.deepcopy(self.scheduler.state_dict())

    def ranges(self, layout: Layout) -> list[list[tuple[int, int]]]:
        """The column ranges of each group."""
        return [layout.ranges(names) for names in self.names]


def _must_equal(key: str, value: Any) -> Any:
    """The part of an option that must be equal: its value, whether it is nonzero, or nothing."""
    if key in ("initial_lr", "max_lr", "min_lr", "swa_lr"):
        return None  # used by schedules only
    if key in _PER_RUN_OPTIONS and isinstance(value, (int, float)):
        return bool(value) if key == "weight_decay" else None
    return value


class _TrainerView:
    """The attributes of a Trainer that :func:`describe` reads."""

    def __init__(self, optimizer: Optimizer, entry: Mapping[str, Any] | None) -> None:
        self.optimizers = [optimizer]
        self.lr_scheduler_configs = []
        if entry is not None:
            plateau = isinstance(entry["scheduler"], ReduceLROnPlateau)
            self.lr_scheduler_configs = [LRSchedulerConfig(**entry, reduce_on_plateau=plateau)]


class _ModuleView:
    """The attributes of a module that :func:`describe` reads."""

    def __init__(self, named: list[tuple[str, nn.Parameter]]) -> None:
        self._named = named

    def named_parameters(self) -> list[tuple[str, nn.Parameter]]:
        return self._named
