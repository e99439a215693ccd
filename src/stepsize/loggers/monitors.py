"""The tags that a run will log, known before it starts, and those that it monitors."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.seed import isolate_rng

from stepsize.data import InMemoryData
from stepsize.modules import Module


@torch.no_grad()
def logged_tags(module: pl.LightningModule, data: pl.LightningDataModule) -> set[str] | None:
    """The tags of a module that logs as :class:`Module` does; None for any other.

    A module may start from the first data that it sees, count its calls, or draw random numbers.
    Therefore a copy is evaluated, and the random generators are put back.

    Args:
        module: a copy is evaluated once on the first few training points, in evaluation mode.
        data: says whether there is a validation set.
    """
    if not (isinstance(module, Module) and isinstance(data, InMemoryData)):
        return None
    overrides_steps = any(
        getattr(type(module), name) is not getattr(Module, name)
        for name in ("training_step", "validation_step")
    )
    if overrides_steps:
        return None
    few = tuple(tensor[:2].clone() for tensor in data.train)
    with isolate_rng():
        alike = copy.deepcopy(module).eval()
        names = ["loss", *alike.metrics(alike.step(few))]
    phases = ["train", *(["val"] if data.val is not None else [])]
    gap = {"train/gap", "train/log10_gap"} if module.optimum(data) is not None else set()
    return {f"{phase}/{name}" for phase in phases for name in names} | gap


def watched_tags(config: Mapping[str, Any]) -> dict[str, str | None]:
    """The tags that a configuration monitors, by the key that names each.

    A target for the gap is not included: without a known optimum, a run has no such target.

    Args:
        config: the whole configuration as plain containers.
    """
    target = (config["target"] or {}).get("metric")
    return {
        "monitor": config["monitor"],
        "target.metric": None if target == "train/gap" else target,
        "scheduler.monitor": (config["scheduler"] or {}).get("monitor"),
    }


def check_monitors(monitors: Mapping[str, str | None], tags: set[str] | None) -> None:
    """Refuse a monitor that is never logged.

    Args:
        monitors: config keys and the tags that they name.
        tags: those that are logged; None if they are not known before the run.

    Raises:
        ValueError: names the key, the tag and the tags that are logged.
    """
    for key, tag in monitors.items():
        if tags is not None and tag is not None and tag not in tags:
            raise ValueError(
                f"{key}={tag} is never logged; this run logs {', '.join(sorted(tags))}"
            )
