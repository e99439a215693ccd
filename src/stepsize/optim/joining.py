"""A frozen group joins the running optimizer, and its schedules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from stepsize.optim.composite import CompositeOptimizer
from stepsize.optim.plan import Plan

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
