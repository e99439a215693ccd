"""What torch's schedulers cannot do, refused before training instead of during it."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Any

from torch.optim.lr_scheduler import (
    ChainedScheduler,
    CosineAnnealingWarmRestarts,
    CyclicLR,
    LambdaLR,
    OneCycleLR,
    ReduceLROnPlateau,
    SequentialLR,
)

from stepsize.config.instantiate import argument_names, locate

# The keys of Lightning's entry beside the scheduler, with the defaults of this project.
LIGHTNING_KEYS = {"interval": "step", "frequency": 1, "monitor": None, "strict": True, "name": None}

# torch divides by these, at the first step of training or later.
_DIVISORS = ("T_max", "T_0", "step_size", "step_size_up", "total_iters", "total_steps")

_PLATEAU = (ReduceLROnPlateau, "it follows a metric and is used alone, as in scheduler=plateau")
_REFUSED: dict[type, list[tuple[Any, str]]] = {
    # torch starts the later parts of a sequence with get_lr, which these do not have.
    SequentialLR: [
        _PLATEAU,
        ((SequentialLR, ChainedScheduler), "list its schedulers in the outer one"),
    ],
    # In a chain each scheduler multiplies the present learning rate; these replace it.
    ChainedScheduler: [
        _PLATEAU,
        (
            (SequentialLR, LambdaLR, CyclicLR, OneCycleLR, CosineAnnealingWarmRestarts),
            "it replaces the lr that the others have set; chain MultiplicativeLR, StepLR, "
            "MultiStepLR, ConstantLR, LinearLR, ExponentialLR, PolynomialLR or CosineAnnealingLR",
        ),
    ],
}


def is_kind(target: Callable[..., Any], kinds: Any) -> bool:
    """Whether a target is one of these classes or a subclass of one."""
    return isinstance(target, type) and issubclass(target, kinds)


def locate_node(node: Any, where: str) -> Callable[..., Any]:
    """Find the class or function that a node's ``_target_`` names.

    Raises:
        ValueError: there is no ``_target_``, or it is in no allowed package.
    """
    if not isinstance(node, Mapping) or "_target_" not in node:
        raise ValueError(
            f"{where}: give a class, for example "
            f"{where}._target_=torch.optim.lr_scheduler.CosineAnnealingLR"
        )
    try:
        return locate(node["_target_"])
    except ValueError as error:
        raise ValueError(f"{where}.{error}") from None


def check_arguments(
    target: Callable[..., Any], given: Mapping[str, Any], where: str, extra: Collection[str]
) -> None:
    """Refuse unknown arguments of a target, and missing ones without a default.

    Args:
        target: a scheduler's class, or a function.
        given: its arguments.
        where: their path, for messages.
        extra: other keys to suggest; the caller has removed them from ``given``.

    Raises:
        ValueError: names the argument and all allowed ones.
    """
    names = argument_names(target)
    if names is None:
        return
    allowed = [name for name in names if name not in ("optimizer", "last_epoch")]
    takes = f"it takes {', '.join(allowed) or 'none'}"
    for key in given:
        if key not in allowed:
            close = difflib.get_close_matches(key, [*allowed, *extra], n=1)
            hint = f" (did you mean {close[0]}?)" if close else ""
            beside = f"; Lightning takes {', '.join(extra)}" if extra else ""
            raise ValueError(
                f"{where}.{key}: {target.__name__} has no argument {key}{hint}; {takes}{beside}"
            )
    parameters = inspect.signature(target).parameters
    for name in allowed:
        if parameters[name].default is inspect.Parameter.empty and name not in given:
            raise ValueError(f"{where}.{name}: {target.__name__} needs it; {takes}")


def check_parts(target: Callable[..., Any], given: Mapping[str, Any], where: str) -> None:
    """Refuse schedulers that torch cannot put into a sequence or a chain.

    Raises:
        ValueError: names the part and the reason.
    """
    refusals = next((rules for kind, rules in _REFUSED.items() if is_kind(target, kind)), None)
    if refusals is None:
        return
    parts = given["schedulers"]
    if not isinstance(parts, (list, tuple)) or not parts:
        raise ValueError(f"{where}.schedulers={parts}: give a list of schedulers")
    for index, part in enumerate(parts):
        place = f"{where}.schedulers[{index}]"
        found = locate_node(part, place)
        for kinds, reason in refusals:
            if is_kind(found, kinds):
                raise ValueError(
                    f"{place}: {target.__name__} cannot hold {found.__name__}: {reason}"
                )


def check_divisors(arguments: Mapping[str, Any], where: str) -> None:
    """Refuse durations that are no numbers, or by which torch would divide by zero.

    Raises:
        ValueError: names the argument and the allowed values.
    """
    for key in _DIVISORS:
        value = arguments.get(key)
        if value is not None and (not isinstance(value, (int, float)) or value < 1):
            raise ValueError(
                f"{where}.{key}={value}: give a whole number from 1 up, a share of the run such as "
                "5%, or rest"
            )


def check_one_cycle(scheduler: Any, pct_start: float, moves: int, where: str) -> None:
    """Refuse a cycle that ends before the run, because torch then raises an error.

    Args:
        scheduler: only a OneCycleLR is checked.
        pct_start: the fraction of the cycle in which the learning rate rises.
        moves: the number of scheduler steps in the run.
        where: its path, for messages.

    Raises:
        ValueError: the cycle is shorter than the run, or has no phase after its peak.
    """
    if not isinstance(scheduler, OneCycleLR):
        return
    if scheduler.total_steps < moves:
        raise ValueError(
            f"{where}.total_steps={scheduler.total_steps}: OneCycleLR cannot be stepped beyond its "
            f"end, and the run steps it {moves} times; give rest, or {moves} or more"
        )
    if pct_start == 1:
        raise ValueError(
            f"{where}.pct_start=1.0 leaves OneCycleLR no step after its peak; give less, or use "
            "scheduler=linear scheduler.total_iters=100%"
        )
