"""Jobs -> groups that can be trained as one program, and what is left for the ordinary way."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pytorch_lightning as pl
import torch
from torch.optim.lr_scheduler import ReduceLROnPlateau

from stepsize.callbacks.divergence import Divergence
from stepsize.callbacks.norms import Norms
from stepsize.checkpoint.trainer_state import random_state
from stepsize.config.instantiate import allowing, instantiate, locate
from stepsize.config.schema import check_config
from stepsize.loggers.monitors import check_monitors, logged_tags, watched_tags
from stepsize.modules import Module
from stepsize.run.errors import one_line
from stepsize.schedules.checks import is_kind, locate_node
from stepsize.vectorized.eligibility import (
    reason_against,
    reason_against_parts,
    reason_against_stepping,
)
from stepsize.vectorized.layout import Layout
from stepsize.vectorized.trajectories import draws_ways
from stepsize.vectorized.variant import Length, Setting

log = logging.getLogger(__name__)

# What makes two runs the same setting, and what they may differ in within a group.
_SETTING = ("optimizer", "param_groups", "scheduler")


@dataclass(eq=False)
class Group:
    """Runs with one model shape, one data set, one length and one rhythm.

    Attributes:
        numbers: of its jobs, in the list that was given.
        configs: of each.
        parts: of each; runs that start alike have the same.
        settings: each once.
        owners: the setting of each run.
    """

    numbers: list[int] = field(default_factory=list)
    configs: list[Mapping[str, Any]] = field(default_factory=list)
    parts: list[Parts] = field(default_factory=list)
    settings: list[Setting] = field(default_factory=list)
    owners: list[int] = field(default_factory=list)

    @property
    def layout(self) -> Layout:
        """Of the parameters."""
        return Layout.of(self.parts[0].module)

    @property
    def length(self) -> Length:
        """Of each run."""
        return self.settings[0].length


def sort_out(configs: Sequence[Mapping[str, Any]]) -> tuple[list[Group], dict[int, str]]:
    """Group the jobs that can be trained together.

    Args:
        configs: of each job the whole configuration as plain containers, every interpolation
            resolved, as ``stepsize.run.folder.Run.config`` has it.

    Returns:
        The groups, and by its number why each other job is to be trained by itself. A mistake in a
        configuration is such a reason: trained by itself, the run fails with it in its own folder.
    """
    builder = Builder()
    groups: dict[str, Group] = {}
    settings: dict[str, int | str] = {}  # its place in its group, or why it has none
    left: dict[int, str] = {}
    for number, config in enumerate(configs):
        try:
            with allowing(config["allowed_packages"]):
                check_config(config)
                reason = reason_against(config)
                if reason is None:
                    parts = builder.build(config)
                    reason = reason_against_parts(parts.module, parts.data)
                    check_monitors(watched_tags(config), parts.tags)
            if reason is not None:
                left[number] = reason
                continue
            key = _group_key(config, parts)
            group = groups.setdefault(key, Group())
            # A plateau schedule goes its own way in each run.
            own = number if _is_plateau(config["scheduler"]) else None
            setting_key = key_of(key, own, *(config[part] for part in _SETTING))
            if setting_key not in settings:
                settings[setting_key] = _add_setting(group, config, parts)
            place = settings[setting_key]
            if isinstance(place, str):
                left[number] = place
                continue
        except Exception as error:
            log.debug("job %d ended with this error", number, exc_info=True)
            left[number] = one_line(error)
            continue
        group.numbers.append(number)
        group.configs.append(config)
        group.parts.append(parts)
        group.owners.append(place)
    return [group for group in groups.values() if group.numbers], left


def _add_setting(group: Group, config: Mapping[str, Any], parts: Parts) -> int | str:
    """Its place in the group; or why its runs must be trained by themselves."""
    made = Setting(config, parts.module, Length.of(config["trainer"], parts.data))
    reason = reason_against_stepping(made, parts.module)
    if reason is None:
        group.settings.append(made)
    return reason or len(group.settings) - 1


def _is_plateau(scheduler: Mapping[str, Any] | None) -> bool:
    return bool(scheduler) and is_kind(locate_node(scheduler, "scheduler"), ReduceLROnPlateau)


def watching(config: Mapping[str, Any], kind: type) -> list[dict[str, Any]]:
    """The arguments of the callbacks of a kind."""
    callbacks = [entry for entry in (config["callbacks"] or {}).values() if entry]
    return [
        {key: value for key, value in entry.items() if key != "_target_"}
        for entry in callbacks
        if locate(entry["_target_"]) is kind
    ]


def _group_key(config: Mapping[str, Any], parts: Parts) -> str:
    layout = Layout.of(parts.module)
    return key_of(
        parts.data_key,
        config["model"],
        config["trainer"],
        config["allowed_packages"],
        config["monitor"],  # of a schedule's entry
        [watching(config, kind) for kind in (Divergence, Norms)],
        draws_ways(config),
        layout.names,
        layout.shapes,
        _constants(parts.module),
    )


def _constants(module: Module) -> list[Any]:
    """What the computation depends on beside the configuration and the weights that are trained."""
    frozen = [(n, p) for n, p in module.named_parameters() if not p.requires_grad]
    if any(tensor.is_sparse for _, tensor in frozen):
        raise ValueError("a frozen parameter is sparse")
    return [(n, tensor.tolist()) for n, tensor in module.named_buffers()] + [n for n, _ in frozen]


def pick_device(accelerator: str) -> torch.device:
    """Where Lightning would train.

    Raises:
        ValueError: there is no such accelerator here.
    """
    if accelerator != "cpu" and torch.cuda.is_available():
        return torch.device("cuda", 0)
    if accelerator in ("gpu", "cuda"):
        raise ValueError(f"trainer.accelerator={accelerator}: there is none on this machine")
    return torch.device("cpu")


@dataclass(frozen=True, eq=False)
class Parts:
    """What runs with one seed, one data set and one model start from.

    Attributes:
        module: with its initial weights; never trained.
        data: never used by a Trainer.
        random_state: that the random number generators are left in.
        data_key: the data set's configuration but for the order of the batches.
    """

    module: Module
    data: Any
    random_state: Mapping[str, Any]
    data_key: str

    @cached_property
    def tags(self) -> set[str] | None:
        """What a run logs."""
        return logged_tags(self.module, self.data)


class Builder:
    """Builds parts once for all runs that start alike."""

    def __init__(self) -> None:
        self._parts: dict[str, Parts] = {}
        self._sets: dict[str, Any] = {}

    def build(self, config: Mapping[str, Any]) -> Parts:
        """The parts of a run.

        Args:
            config: the whole configuration as plain containers.

        Raises:
            ValueError: the data or the model cannot be built.
        """
        key = key_of(config["seed"], config["data"], config["model"], config["allowed_packages"])
        if key not in self._parts:
            with allowing(config["allowed_packages"]):
                pl.seed_everything(config["seed"], workers=True, verbose=False)
                data = instantiate(config["data"], where="data")
                module = instantiate(config["model"], where="model")
            random = random_state()
            order = {name: v for name, v in config["data"].items() if name != "shuffle_seed"}
            data_key = key_of(order)
            # Data are a function of this configuration alone, and reading them may take long.
            if data_key in self._sets:
                data.__dict__.setdefault("_sets", self._sets[data_key])
            elif hasattr(type(data), "_sets"):
                self._sets[data_key] = data._sets
            self._parts[key] = Parts(module, data, random, data_key)
        return self._parts[key]


def key_of(*values: Any) -> str:
    """The same for equal plain containers, and different for others."""
    return json.dumps(values, sort_keys=True, default=repr)
