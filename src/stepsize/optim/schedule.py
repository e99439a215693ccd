"""Configuration and the run's length -> Lightning's ``lr_scheduler`` entry.

A schedule's file is flat: the scheduler's arguments and Lightning's keys side by side. Schedulers
and functions inside it are nested YAML with a ``_target_``. A duration may be a share of the run,
``5%``, or ``rest``; see :mod:`stepsize.optim.durations`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from stepsize.optim.durations import count_positions
from stepsize.optim.scheduler_checks import LIGHTNING_KEYS
from stepsize.optim.scheduler_tree import SchedulerTree

log = logging.getLogger(__name__)


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
            Lightning's ``configure_optimizers``; plain containers. Empty or None: a constant rate.
        optimizer: whose rates it drives. Rates that the config gives as one number are those of a
            group with the optimizer's own lr; other groups get them in proportion.
        total_steps: optimizer steps of the whole run.
        steps_per_epoch: optimizer steps of a full epoch.
        monitor: the tag that ReduceLROnPlateau watches where the config names none.

    Returns:
        The entry for ``configure_optimizers``, or None for a constant rate.

    Raises:
        ValueError: a key or a value that does not fit; the message says what does.
    """
    if not config:
        return None
    arguments = {key: value for key, value in config.items() if key not in LIGHTNING_KEYS}
    entry: dict[str, Any] = {
        "interval": "step",
        "frequency": 1,
        "monitor": None,
        "strict": True,
        "name": None,
    }
    entry.update({key: config[key] for key in LIGHTNING_KEYS if key in config})
    _check_entry(entry)
    try:
        run = count_positions(total_steps, steps_per_epoch, entry["interval"], entry["frequency"])
    except ValueError as error:
        raise ValueError(f"scheduler.{error}") from None
    if run == 1 and total_steps > 1:
        log.warning(
            "scheduler.interval=epoch: the run has one epoch, so the rate stays at its start"
        )

    scheduler = SchedulerTree(optimizer, run).build(arguments)
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
    if type(frequency) is not int or frequency < 1:
        raise ValueError(f"scheduler.frequency={frequency}: give a whole number from 1 up")
    if type(entry["strict"]) is not bool:
        raise ValueError(f"scheduler.strict={entry['strict']}: give true or false")
    for key in ("monitor", "name"):
        if entry[key] is not None and not isinstance(entry[key], str):
            raise ValueError(f"scheduler.{key}={entry[key]}: give a word or null")
