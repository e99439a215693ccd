"""Gradual unfreezing: frozen parameter groups join the optimizer during the run."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping
from typing import Any

import pytorch_lightning as pl
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from stepsize.optim.configure import plan_of
from stepsize.optim.describe import log_groups
from stepsize.optim.plan import CompositeOptimizer, Plan
from stepsize.schedules.durations import REST, is_duration, step_of

log = logging.getLogger(__name__)


class Unfreeze(pl.Callback):
    """Adds groups that a rule has frozen (``freeze: true``) to the running optimizer.

    Howard and Ruder (2018), Universal Language Model Fine-tuning for Text Classification, section
    3.3. A checkpoint records the groups that have joined, and a run that resumes from it adds them
    before the optimizer's state is loaded.

    A group joins after the step before its first own one. In a Trainer of your own, this callback
    comes after ``Resume``, which compares the optimizer as it was built, and before all others.

    Args:
        groups: by the frozen group's name, when it joins: a share of the run (``50%``) or a number
            of optimizer steps. Or a mapping with ``at``, and ``lr`` (absolute) or ``lr_scale``
            (relative to optimizer.lr): the learning rate that the schedule multiplies.

    Raises:
        ValueError: a value that is not one of these.
    """

    def __init__(self, groups: Mapping[str, Any]) -> None:
        if not isinstance(groups, Mapping) or not groups:
            raise ValueError(f"callbacks.unfreeze.groups={groups}: give {{NAME: 50%}}")
        self._configured = {name: _moment(name, value) for name, value in groups.items()}
        self._steps: dict[str, int] = {}
        self._joined: list[str] = []
        self._plan: Plan | None = None

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Check the configuration, and add the groups that had joined before the checkpoint.

        Lightning calls this between configure_optimizers and the loading of the optimizer's state.
        """
        self._plan = plan_of(pl_module)
        if self._plan is None:
            raise ValueError(
                f"callbacks.unfreeze: {type(pl_module).__name__}.configure_optimizers must return "
                "that of stepsize.optim for self.recipe, whose plan has the frozen groups"
            )
        if trainer.world_size > 1:
            raise ValueError(
                f"callbacks.unfreeze: on {trainer.world_size} devices the gradients of groups that "
                "join later would not be averaged; use trainer.devices=1"
            )
        total = trainer.estimated_stepping_batches
        for name, (at, options) in self._configured.items():
            step = self._steps[name] = step_of(at, total, f"callbacks.unfreeze.groups.{name}")
            if step > total:
                message = "callbacks.unfreeze: %s stays frozen, step %d is after the run's last, %d"
                log.warning(message, name, step, int(total))
            try:
                self._plan.build_frozen(name, options)
            except ValueError as error:
                raise ValueError(f"callbacks.unfreeze: {error}") from None
        missing = [name for name in self._joined if name not in self._configured]
        if missing:
            raise ValueError(
                f"callbacks.unfreeze.groups: {', '.join(missing)} had joined in the checkpoint and "
                f"must be configured again; configured are {', '.join(self._configured)}"
            )
        from stepsize.checkpoint.resume import Resume  # that package imports this one

        callbacks = trainer.callbacks  # type: ignore[attr-defined]
        if self._joined and any(
            isinstance(c, Resume) and c.mode == "override_lr" for c in callbacks
        ):
            raise ValueError(
                "resume=override_lr: the checkpoint's learning rate of "
                f"{', '.join(self._joined)}, which had joined, cannot be replaced; use resume=full "
                "or resume=weights"
            )
        for name in self._joined:
            self._join(trainer, name)

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        if len(self._joined) == len(self._configured):
            return
        for name, step in self._steps.items():
            if name not in self._joined and trainer.global_step >= step:
                self._join(trainer, name)
                self._joined.append(name)
                log.info("step %d: %s is trained from here on", trainer.global_step, name)
                log_groups(trainer, self._plan)

    def state_dict(self) -> dict[str, Any]:
        return {"joined": list(self._joined)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._joined = list(state_dict["joined"])

    def _join(self, trainer: pl.Trainer, name: str) -> None:
        assert self._plan is not None
        (optimizer,) = trainer.optimizers
        schedulers = [config.scheduler for config in trainer.lr_scheduler_configs]
        join_group(self._plan, optimizer, schedulers, name, self._configured[name][1])


def _moment(name: str, config: Any) -> tuple[str | int, dict[str, float]]:
    """Parse when a group joins, and its learning rate as ``lr`` or ``lr_scale``."""
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
        share = is_duration(at) and at != REST and float(at[:-1]) < 100
    except ValueError:
        share = False
    if not share and not (type(at) is int and at >= 1):
        raise ValueError(
            f"{where}={at}: give a share of the run above 0% and below 100%, or a step from 1 up"
        )
    return at, options


# The lists of torch's schedulers with an entry for each group: learning rates, and other values.
_LR_LISTS = ("base_lrs", "max_lrs", "min_lrs", "_last_lr")
_OTHER_LISTS = ("lr_lambdas", "base_momentums", "max_momentums")
# The keys that schedulers write into the groups.
_LR_KEYS = ("lr", "initial_lr", "max_lr", "min_lr", "swa_lr")
_OTHER_KEYS = ("base_momentum", "max_momentum")
# The options that a cycled momentum changes, and the mode that a schedule-free optimizer is in.
_CYCLED_KEYS = ("momentum", "betas")
_MODE_KEYS = ("train_mode",)


def join_group(
    plan: Plan,
    optimizer: Optimizer,
    schedulers: Iterable[LRScheduler],
    name: str,
    options: Mapping[str, Any],
) -> None:
    """Train a frozen group from now on.

    torch's schedulers keep lists with an entry for each group, and compute from the groups' present
    learning rates. Both are extended in proportion: the new group gets the learning rates of the
    first group of the same optimizer, past and future, times a constant.

    Args:
        plan: the plan of the optimizer; its ``lrs`` get the new group.
        optimizer: was built from the plan; its groups keep their positions.
        schedulers: the optimizer's, at any point of the run.
        name: the frozen group.
        options: ``lr`` or ``lr_scale``: the learning rate that the schedule multiplies.

    Raises:
        ValueError: there is no such group, or the optimizer cannot train it.
    """
    parts = optimizer.optimizers if isinstance(optimizer, CompositeOptimizer) else (optimizer,)
    schedulers = list(schedulers)
    for position, joining in plan.build_frozen(name, options).items():
        part = parts[position]
        model = part.param_groups[0]
        index = next(i for i, group in enumerate(optimizer.param_groups) if group is model)
        for group in joining.param_groups:
            ratio = _ratio(group, plan.lrs[model["name"]])
            plan.lrs[group["name"]] = group.get("lr")
            _adapt(group, model, ratio)
            for parameter in group["params"]:
                parameter.requires_grad_(True)
            part.add_param_group(group)
            if part is not optimizer:
                optimizer.add_param_group(group)
            for scheduler in schedulers:
                _extend(scheduler, index, ratio)
        # add_param_group does not make the state with which Adagrad and others begin.
        part.state.update(joining.state)


def _ratio(group: Mapping[str, Any], lr: float | None) -> float:
    if "lr" not in group:
        return 1.0
    if not lr:
        raise ValueError(
            f"group {group['name']}: the schedule of a learning rate of {lr} cannot be scaled to "
            f"{group['lr']}; give optimizer.lr a number above 0"
        )
    return group["lr"] / lr


def _adapt(group: dict[str, Any], model: Mapping[str, Any], ratio: float) -> None:
    """Give a new group what schedulers and modes have written into the ``model`` group."""
    cycled = _CYCLED_KEYS if "base_momentum" in model else ()
    for key in (*_OTHER_KEYS, *_MODE_KEYS, *cycled):
        if key in model:
            group[key] = model[key]
    for key in _LR_KEYS:
        if key in model:
            group[key] = model[key] * ratio


def _extend(scheduler: Any, index: int, ratio: float) -> None:
    """Append an entry for a new group to a scheduler's lists, from the entry at ``index``."""
    # New lists, because a sequence shares some with the scheduler that is active.
    for name in _LR_LISTS:
        if hasattr(scheduler, name):
            lrs = getattr(scheduler, name)
            setattr(scheduler, name, [*lrs, lrs[index] * ratio])
    for name in _OTHER_LISTS:
        if hasattr(scheduler, name):
            values = getattr(scheduler, name)
            setattr(scheduler, name, [*values, values[index]])
    for part in getattr(scheduler, "_schedulers", ()):
        _extend(part, index, ratio)
