"""From a schedule's configuration and the run's length to Lightning's lr_scheduler entry.

The configuration is flat: the scheduler's arguments and Lightning's keys side by side. Nested
schedulers and functions are nested YAML with a ``_target_``. A duration may be a share of the run,
``5%``, or ``rest``; see :mod:`stepsize.schedules.durations`.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Collection, Mapping
from fractions import Fraction
from itertools import pairwise
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import (
    CyclicLR,
    LRScheduler,
    OneCycleLR,
    ReduceLROnPlateau,
    SequentialLR,
)
from torch.optim.swa_utils import SWALR

from stepsize.config.instantiate import argument_names
from stepsize.config.schema import whole_number
from stepsize.schedules.checks import (
    LIGHTNING_KEYS,
    check_arguments,
    check_divisors,
    check_one_cycle,
    check_parts,
    is_kind,
    locate_node,
)
from stepsize.schedules.durations import REST, Stretch, count_positions, is_duration

log = logging.getLogger(__name__)

# Arguments that torch takes as one learning rate for all groups, or as a list with one for each.
_LR_ARGUMENTS: dict[type, tuple[str, ...]] = {
    OneCycleLR: ("max_lr",),
    CyclicLR: ("base_lr", "max_lr"),
    SWALR: ("swa_lr",),
    ReduceLROnPlateau: ("min_lr",),
}


def build_schedule(
    config: Mapping[str, Any] | None,
    optimizer: Optimizer,
    *,
    total_steps: int,
    steps_per_epoch: int,
    monitor: str | None = None,
) -> dict[str, Any] | None:
    """Build the schedule that ``config`` describes.

    Args:
        config: ``_target_``, the scheduler's arguments, and ``interval`` (``step``, which is the
            default here, or ``epoch``), ``frequency``, ``monitor``, ``strict`` and ``name`` as in
            Lightning's ``configure_optimizers``; plain containers. Empty or None: a constant
            learning rate.
        optimizer: the schedule changes its learning rates. A learning rate that the config gives as
            one number is for a group with the optimizer's own lr; other groups get it in proportion
            to theirs.
        total_steps: optimizer steps of the whole run.
        steps_per_epoch: optimizer steps of a full epoch.
        monitor: the tag that ReduceLROnPlateau watches where the config names none.

    Returns:
        The entry for ``configure_optimizers``, or None for a constant learning rate.

    Raises:
        ValueError: a key or a value that is not allowed; the message says what is.
    """
    if not config:
        return None
    arguments = {key: value for key, value in config.items() if key not in LIGHTNING_KEYS}
    entry: dict[str, Any] = {key: config.get(key, value) for key, value in LIGHTNING_KEYS.items()}
    _check_entry(entry)
    try:
        run = count_positions(total_steps, steps_per_epoch, entry["interval"], entry["frequency"])
    except ValueError as error:
        raise ValueError(f"scheduler.{error}") from None
    if run == 1 and total_steps > 1:
        log.warning("scheduler.interval=epoch: the run has one epoch, so the lr stays constant")

    scheduler = _Builder(optimizer, run).build(arguments)
    if not isinstance(scheduler, LRScheduler):
        raise ValueError(
            f"scheduler._target_={config['_target_']} makes a {type(scheduler).__name__}, which is "
            "not a torch scheduler"
        )
    if entry["monitor"] is None:
        entry["monitor"] = monitor
    if isinstance(scheduler, ReduceLROnPlateau) and entry["monitor"] is None:
        raise ValueError(
            "scheduler.monitor: ReduceLROnPlateau needs a logged tag to watch, such as train/loss"
        )
    return {"scheduler": scheduler, **entry}


def _check_entry(entry: Mapping[str, Any]) -> None:
    interval, frequency = entry["interval"], entry["frequency"]
    if interval not in ("step", "epoch"):
        raise ValueError(f"scheduler.interval={interval}: give step or epoch")
    whole_number("scheduler.frequency", frequency, least=1)
    if type(entry["strict"]) is not bool:
        raise ValueError(f"scheduler.strict={entry['strict']}: give true or false")
    for key in ("monitor", "name"):
        if entry[key] is not None and not isinstance(entry[key], str):
            raise ValueError(f"scheduler.{key}={entry[key]}: give a string or null")


class _Builder:
    """Builds a scheduler and those nested in it, for one optimizer.

    Args:
        optimizer: new, with the learning rates that its groups start from.
        run: the run's length, in positions of the scheduler.
    """

    def __init__(self, optimizer: Optimizer, run: int) -> None:
        self.optimizer = optimizer
        self.run = run
        # Read now, because building a scheduler changes the groups' learning rates.
        self.lrs: list[Any] = [group.get("lr") for group in optimizer.param_groups]

    def build(self, config: Mapping[str, Any]) -> Any:
        """Build the outermost scheduler from its ``_target_`` and arguments.

        Raises:
            ValueError: names the argument, its value and what is allowed.
        """
        return self._call(config, "scheduler", Stretch.whole(self.run), extra=LIGHTNING_KEYS)

    def _build(self, node: Any, where: str, stretch: Stretch) -> Any:
        """Build any value: nested targets are called and durations converted to positions."""
        if isinstance(node, Mapping) and "_target_" in node:
            return self._call(node, where, stretch)
        if isinstance(node, Mapping):
            return {key: self._build(v, f"{where}.{key}", stretch) for key, v in node.items()}
        if isinstance(node, (list, tuple)):
            return [self._build(v, f"{where}[{i}]", stretch) for i, v in enumerate(node)]
        try:
            return stretch.length(node) if is_duration(node) else node
        except ValueError as error:
            raise ValueError(f"{where}={error}") from None

    def _call(
        self, node: Mapping[str, Any], where: str, stretch: Stretch, extra: Collection[str] = ()
    ) -> Any:
        """Call a node's ``_target_`` with its arguments, built for this stretch of the run."""
        target = locate_node(node, where)
        given = {key: value for key, value in node.items() if key != "_target_"}
        check_arguments(target, given, where, extra)
        check_parts(target, given, where)
        if is_kind(target, SequentialLR):
            arguments = self._sequence(given, where, stretch)
        else:
            arguments = {k: self._build(v, f"{where}.{k}", stretch) for k, v in given.items()}
        check_divisors(arguments, where)
        if _takes_optimizer(target):
            arguments["optimizer"] = self.optimizer
            self._keep_ratios(target, arguments, where)
        try:
            made = target(**arguments)
        except (TypeError, ValueError, KeyError, ZeroDivisionError) as error:
            shown = ", ".join(f"{key}={value}" for key, value in given.items())
            reason = " ".join(str(error).split())
            raise ValueError(f"{where}: {target.__name__}({shown}): {reason}") from error
        check_one_cycle(made, given.get("pct_start", 0.0), stretch.length(REST), where)
        return made

    def _sequence(self, given: Mapping[str, Any], where: str, stretch: Stretch) -> dict[str, Any]:
        """The arguments of a SequentialLR, each of its schedulers built for its own stretch."""
        parts, place = given["schedulers"], f"{where}.milestones={given['milestones']}"
        starts = _positions(given["milestones"], place, stretch)
        if len(starts) != len(parts) - 1:
            raise ValueError(f"{place}: give {len(parts) - 1}, one less than there are schedulers")
        return {
            "schedulers": [
                self._build(part, f"{where}.schedulers[{i}]", own)
                for i, (part, own) in enumerate(zip(parts, stretch.split(starts), strict=True))
            ],
            "milestones": [math.ceil(start) for start in starts],
        }

    def _keep_ratios(
        self, target: Callable[..., Any], arguments: dict[str, Any], where: str
    ) -> None:
        """Turn one learning rate for all groups into a list, in proportion to the groups' own."""
        base = self.optimizer.defaults.get("lr")
        if base is None or all(lr == base for lr in self.lrs):
            return
        keys = next((keys for kind, keys in _LR_ARGUMENTS.items() if is_kind(target, kind)), ())
        for key in keys:
            value = arguments.get(key)
            if not isinstance(value, (int, float)) or value == 0:
                continue
            if base == 0:
                raise ValueError(
                    f"{where}.{key}={value} cannot be scaled to groups with other learning rates "
                    "when the optimizer's lr is 0; give a list with one for each group"
                )
            arguments[key] = [float(value * lr / base) for lr in self.lrs]
        if arguments.get("eta_min"):
            log.warning(
                "%s.eta_min=%s is one floor for all groups in torch, so their learning rates do "
                "not keep their ratios; 0 keeps them",
                where,
                arguments["eta_min"],
            )


def _positions(milestones: Any, place: str, stretch: Stretch) -> list[Fraction]:
    """The positions of a sequence's milestones, checked to be increasing."""
    if not isinstance(milestones, (list, tuple)):
        raise ValueError(f"{place}: give a list, such as [5%]")
    for value in milestones:
        if value == REST or not (type(value) is int or is_duration(value)):
            raise ValueError(f"{place}: give whole numbers from 1 up or shares of the run")
    positions = [stretch.position(value) for value in milestones]
    if any(earlier >= later for earlier, later in pairwise([stretch.start, *positions])):
        raise ValueError(f"{place}: each must be later than the one before")
    return positions


def _takes_optimizer(target: Callable[..., Any]) -> bool:
    names = argument_names(target)
    return is_kind(target, LRScheduler) if names is None else "optimizer" in names
