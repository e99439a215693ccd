"""A setting: optimizer, groups and schedule, which all its seeds share."""

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

# Options that schedules change.
MOVED = ("lr", "momentum", "betas")
# Options that may differ between settings that one optimizer steps.
_OF_EACH = ("lr", "weight_decay")
# Other ways through torch's code, in which a number must be a number.
_WAYS = ("foreach", "fused", "capturable", "differentiable")


class _Built:
    """What :func:`describe` asks a Trainer for."""

    def __init__(self, optimizer: Optimizer, entry: Mapping[str, Any] | None) -> None:
        self.optimizers = [optimizer]
        self.lr_scheduler_configs = []
        if entry is not None:
            plateau = isinstance(entry["scheduler"], ReduceLROnPlateau)
            self.lr_scheduler_configs = [LRSchedulerConfig(**entry, reduce_on_plateau=plateau)]


class _Named:
    """What :func:`describe` asks a module for."""

    def __init__(self, named: list[tuple[str, nn.Parameter]]) -> None:
        self._named = named

    def named_parameters(self) -> list[tuple[str, nn.Parameter]]:
        return self._named


class Setting:
    """An optimizer and its schedule, built for one run that is never trained.

    It says what the groups are, and its schedule moves their rates for all runs of the setting.

    Args:
        config: the whole configuration of one of these runs.
        module: the model; its parameters' names and shapes count.
        length: the run's.

    Attributes:
        optimizer: never stepped.
        names: the parameters' names of each group.
        scheduler: None for constant rates.
        own_rates: of each group, which the schedule multiplies.
        follows: the tag that a plateau schedule looks at; None for all other schedules.
        moves: the steps, from 0, after which the schedule has been moved.
        built: what a run's callback ``Resume`` notes of both, before the first step.

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
        # A schedule has changed what stands in the groups.
        self.own_rates = {
            str(group["name"]): group.get("initial_lr", group.get("lr"))
            for group in self.optimizer.param_groups
        }
        known = {id(parameter): name for name, parameter in named}
        self.names = [[known[id(p)] for p in g["params"]] for g in self.optimizer.param_groups]
        self.scheduler: Any = entry["scheduler"] if entry else None
        plateau = isinstance(self.scheduler, ReduceLROnPlateau)
        self.follows: str | None = entry["monitor"] if entry and plateau else None
        self.moves: list[int] = []
        self._interval = entry["interval"] if entry else "step"
        self._frequency = entry["frequency"] if entry else 1
        self.built = describe(_Built(self.optimizer, entry), _Named(named))  # type: ignore[arg-type]

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

    def is_due(self, step: int) -> bool:
        """Whether Lightning moves a schedule after the step with this number, from 0."""
        epoch, batch = divmod(step, self.length.per_epoch)
        if self._interval == "step":
            return (batch + 1) % self._frequency == 0
        return batch + 1 == self.length.per_epoch and (epoch + 1) % self._frequency == 0

    def advance(self, step: int) -> None:
        """Move a schedule that counts as Lightning does after the step with this number, from 0."""
        if self.scheduler is not None and self.follows is None and self.is_due(step):
            self.optimizer._opt_called = True  # type: ignore[attr-defined] # else torch warns
            self.scheduler.step()
            self.moves.append(step)

    def follow(self, step: int, value: float | None) -> None:
        """Move a plateau schedule, after the validation that may follow the step.

        Args:
            step: the step's number, from 0.
            value: the last one of what it follows; before there is one, it keeps still.
        """
        if value is not None and self.is_due(step):
            self.scheduler.step(value)
            self.moves.append(step)

    @cached_property
    def table(self) -> Table:
        """Its groups, as a run tells them."""
        return group_table(self.optimizer, self.own_rates)

    @property
    def schedulers(self) -> list[Any]:
        """The scheduler, in a list; empty for constant learning rates."""
        return [] if self.scheduler is None else [self.scheduler]

    @property
    def rates(self) -> list[float]:
        """The present learning rate of each group; NaN where it has none."""
        return [float(group.get("lr", math.nan)) for group in self.optimizer.param_groups]

    @property
    def moved(self) -> list[dict[str, Any]]:
        """The present options of each group that a schedule may have changed."""
        return [
            {key: group[key] for key in MOVED if key in group}
            for group in self.optimizer.param_groups
        ]

    @property
    def family(self) -> Any:
        """Settings with equal families can be stepped by one optimizer; None: only by its own."""
        groups = self.optimizer.param_groups
        if any(group.get(way) for group in groups for way in _WAYS):
            return None
        if self.scheduler is not None and any("base_momentum" in group for group in groups):
            return None  # it moves more than the rate
        return repr(
            [type(self.optimizer)]
            + [
                (names, sorted((k, _kept(k, v)) for k, v in group.items() if k != "params"))
                for names, group in zip(self.names, groups, strict=True)
            ]
        )

    def groups(self) -> list[dict[str, Any]]:
        """The present groups of the optimizer's ``state_dict``."""
        groups: list[dict[str, Any]] = copy.deepcopy(self.optimizer.state_dict()["param_groups"])
        return groups

    def schedule(self) -> dict[str, Any] | None:
        """The present ``state_dict`` of the schedule; None for constant rates."""
        return None if self.scheduler is None else copy.deepcopy(self.scheduler.state_dict())

    def stretches(self, layout: Layout) -> list[list[tuple[int, int]]]:
        """The columns of each group."""
        return [layout.stretches(names) for names in self.names]


def _kept(key: str, value: Any) -> Any:
    """What of an option must be equal in a family: all of it, or whether it is in use."""
    if key in ("initial_lr", "max_lr", "min_lr", "swa_lr"):
        return None  # a schedule's own, which the optimizer does not read
    if key in _OF_EACH and isinstance(value, (int, float)):
        return bool(value) if key == "weight_decay" else None
    return value


@dataclass(frozen=True)
class Length:
    """How long a run is.

    Attributes:
        steps: optimizer steps.
        per_epoch: those of a full epoch.
    """

    steps: int
    per_epoch: int

    @classmethod
    def of(cls, trainer: Mapping[str, Any], data: Any) -> Length:
        """The length that Lightning would find: a budget in steps, in epochs, or the shorter.

        Args:
            trainer: the configuration's.
            data: the data module, which knows its batches.
        """
        per_epoch = len(data.batches(data.train))
        epochs = trainer.get("max_epochs", -1)
        budgets = [trainer.get("max_steps", -1), -1 if epochs in (-1, None) else epochs * per_epoch]
        return cls(min(budget for budget in budgets if budget != -1), per_epoch)
