"""Gradual unfreezing: frozen parameter groups join the optimizer while it runs."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping
from typing import Any

import pytorch_lightning as pl
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from stepsize.checkpoint.resume import Resume
from stepsize.optim.configure import PlanReader
from stepsize.optim.describe import show_groups
from stepsize.optim.plan import CompositeOptimizer, Plan
from stepsize.schedules.durations import REST, Stretch, is_duration

log = logging.getLogger(__name__)


class Unfreeze(PlanReader, pl.Callback):
    """Adds groups that a rule has frozen (``freeze: true``) to the running optimizer.

    Howard and Ruder (2018), Universal Language Model Fine-tuning for Text Classification, section
    3.3. A checkpoint notes the groups that have joined, and a run that goes on from it adds them
    before the optimizer's state is loaded.

    A group joins when the step before is over. In a Trainer of your own this stands behind
    ``Resume``, which compares what was built, and before other callbacks.

    Args:
        groups: by the frozen group's name, when it joins: a share of the run (``50%``) or a number
            of optimizer steps. Or a mapping with ``at``, and ``lr`` (absolute) or ``lr_scale``
            (relative to optimizer.lr): the rate that the schedule multiplies.

    Raises:
        ValueError: a value that is not one of these.
    """

    def __init__(self, groups: Mapping[str, Any]) -> None:
        if not isinstance(groups, Mapping) or not groups:
            raise ValueError(f"callbacks.unfreeze.groups={groups}: give {{NAME: 50%}}")
        self.moments = {name: _Moment.from_config(name, value) for name, value in groups.items()}
        self._steps: dict[str, int] = {}
        self._joined: list[str] = []

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Settle all that can be wrong, and add what had joined before the checkpoint.

        Lightning calls this between configure_optimizers and the loading of the optimizer's state.
        """
        if self.plan is None:
            raise ValueError(
                f"callbacks.unfreeze: {type(pl_module).__name__}.configure_optimizers must return "
                "that of stepsize.optim, which knows what is frozen"
            )
        if trainer.world_size > 1:
            raise ValueError(
                f"callbacks.unfreeze: on {trainer.world_size} devices the gradients of what joins "
                "later would not be averaged; use trainer.devices=1"
            )
        total = trainer.estimated_stepping_batches
        for name, moment in self.moments.items():
            self._steps[name] = moment.step(name, total)
            try:
                self.plan.build_frozen(name, moment.options)
            except ValueError as error:
                raise ValueError(f"callbacks.unfreeze: {error}") from None
        lost = [name for name in self._joined if name not in self.moments]
        if lost:
            raise ValueError(
                f"callbacks.unfreeze.groups: {', '.join(lost)} had joined in the checkpoint and "
                f"must stand here too; here are {', '.join(self.moments)}"
            )
        if self._joined and self._overrides_rates(trainer):
            raise ValueError(
                f"resume=override_lr: the checkpoint's rate of {', '.join(self._joined)}, which "
                "had joined, cannot be replaced; use resume=full or resume=weights"
            )
        for name in self._joined:
            self._join(trainer, self.plan, name)

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        if len(self._joined) == len(self.moments):
            return
        for name, step in self._steps.items():
            if name not in self._joined and trainer.global_step >= step:
                assert self.plan is not None
                self._join(trainer, self.plan, name)
                self._joined.append(name)
                log.info("step %d: %s is trained from here on", trainer.global_step, name)
                show_groups(trainer, self.plan)

    def _join(self, trainer: pl.Trainer, plan: Plan, name: str) -> None:
        (optimizer,) = trainer.optimizers
        schedulers = [config.scheduler for config in trainer.lr_scheduler_configs]
        join_group(plan, optimizer, schedulers, name, self.moments[name].options)

    @staticmethod
    def _overrides_rates(trainer: pl.Trainer) -> bool:
        callbacks = trainer.callbacks  # type: ignore[attr-defined]
        return any(isinstance(c, Resume) and c.mode == "override_lr" for c in callbacks)

    def state_dict(self) -> dict[str, Any]:
        return {"joined": list(self._joined)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._joined = list(state_dict["joined"])


class _Moment:
    """When a group joins, and at what rate."""

    def __init__(self, at: str | int, options: dict[str, float]) -> None:
        self.at = at
        self.options = options

    @classmethod
    def from_config(cls, name: str, config: Any) -> _Moment:
        where = f"callbacks.unfreeze.groups.{name}"
        keys = dict(config) if isinstance(config, Mapping) else {"at": config}
        options = {key: value for key, value in keys.items() if key != "at" and value is not None}
        unknown = [key for key in options if key not in ("lr", "lr_scale")]
        if "at" not in keys or unknown or len(options) > 1:
            raise ValueError(f"{where}={config}: give at, and lr or lr_scale if it is not 1")
        for key, value in options.items():
            if type(value) not in (int, float) or not (math.isfinite(value) and value > 0):
                raise ValueError(f"{where}.{key}={value}: give a number above 0")
        at = keys["at"]
        try:
            share = is_duration(at) and at != REST
        except ValueError:
            share = False
        if share and float(at[:-1]) < 100:
            return cls(at, options)
        if type(at) is int and at >= 1:
            return cls(at, options)
        raise ValueError(
            f"{where}={at}: give a share of the run above 0% and below 100%, or a step from 1 up"
        )

    def step(self, name: str, total: float) -> int:
        """The optimizer step from which on the group is trained."""
        if isinstance(self.at, int):
            step = self.at
        elif math.isinf(total):
            raise ValueError(
                f"callbacks.unfreeze.groups.{name}={self.at}: a share needs to know the run's "
                "length; set trainer.max_steps"
            )
        else:
            step = math.ceil(Stretch.whole(int(total)).position(self.at))
        if step > total:
            log.warning(
                "callbacks.unfreeze: %s stays frozen, step %d never comes in a run of %d",
                name, step, int(total),
            )  # fmt: skip
        return step


# What torch's schedulers keep for each group: rates, and what is the same for all of them.
_RATE_LISTS = ("base_lrs", "max_lrs", "min_lrs", "_last_lr")
_OTHER_LISTS = ("lr_lambdas", "base_momentums", "max_momentums")
# What they write into the groups.
_RATE_KEYS = ("lr", "initial_lr", "max_lr", "min_lr", "swa_lr")
_OTHER_KEYS = ("base_momentum", "max_momentum")
# What they move where they cycle the momentum, and the mode that schedule-free optimizers are in.
_MOVED_KEYS = ("momentum", "betas")
_MODE_KEYS = ("train_mode",)


def join_group(
    plan: Plan,
    optimizer: Optimizer,
    schedulers: Iterable[LRScheduler],
    name: str,
    options: Mapping[str, Any],
) -> None:
    """Train a frozen group from now on.

    torch's schedulers keep a list with an entry for each group, and go on from the groups' present
    rates. Both are extended in proportion: what a schedule has done, and will do, to the rate of
    the first group of the same optimizer, it does to the new one.

    Args:
        plan: what the optimizer was built from.
        optimizer: built from it; its groups keep their places.
        schedulers: those that drive it, at any point of the run.
        name: of the frozen group.
        options: ``lr`` or ``lr_scale``: the rate that the schedule multiplies.

    Raises:
        ValueError: there is no such group, or the optimizer cannot take it.
    """
    parts = optimizer.optimizers if isinstance(optimizer, CompositeOptimizer) else (optimizer,)
    schedulers = list(schedulers)
    for position, fresh in plan.build_frozen(name, options).items():
        part = parts[position]
        model = part.param_groups[0]
        index = next(i for i, group in enumerate(optimizer.param_groups) if group is model)
        for group in fresh.param_groups:
            ratio = _ratio(group, plan.rates[model["name"]])
            plan.rates[group["name"]] = group.get("lr")
            _adapt(group, model, ratio)
            for parameter in group["params"]:
                parameter.requires_grad_(True)
            part.add_param_group(group)
            if part is not optimizer:
                optimizer.add_param_group(group)
            for scheduler in schedulers:
                _extend(scheduler, index, ratio)
        # Adagrad and others begin with a state, which add_param_group does not make.
        part.state.update(fresh.state)


def _ratio(group: Mapping[str, Any], rate: float | None) -> float:
    if "lr" not in group:
        return 1.0
    if not rate:
        raise ValueError(
            f"group {group['name']}: the schedule of a rate that is {rate} cannot be scaled to "
            f"{group['lr']}; give optimizer.lr a number above 0"
        )
    return group["lr"] / rate


def _adapt(group: dict[str, Any], model: Mapping[str, Any], ratio: float) -> None:
    cycled = _MOVED_KEYS if "base_momentum" in model else ()
    for key in (*_OTHER_KEYS, *_MODE_KEYS, *cycled):
        if key in model:
            group[key] = model[key]
    for key in _RATE_KEYS:
        if key in model:
            group[key] = model[key] * ratio


def _extend(scheduler: Any, index: int, ratio: float) -> None:
    # New lists: a sequence shares one with the scheduler that it is at.
    for name in _RATE_LISTS:
        if hasattr(scheduler, name):
            rates = getattr(scheduler, name)
            setattr(scheduler, name, [*rates, rates[index] * ratio])
    for name in _OTHER_LISTS:
        if hasattr(scheduler, name):
            values = getattr(scheduler, name)
            setattr(scheduler, name, [*values, values[index]])
    for part in getattr(scheduler, "_schedulers", ()):
        _extend(part, index, ratio)
