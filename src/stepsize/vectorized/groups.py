"""Groups of runs that one program can train, and the reasons why other runs are in none."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pytorch_lightning as pl
import torch
from torch.optim.lr_scheduler import ReduceLROnPlateau

from stepsize.callbacks.divergence import Divergence
from stepsize.callbacks.fingerprints import fingerprint
from stepsize.callbacks.norms import Norms
from stepsize.checkpoint.trainer_state import random_state
from stepsize.config.instantiate import allowing, instantiate, locate
from stepsize.config.schema import check_config
from stepsize.loggers.monitors import check_monitors, logged_tags, watched_tags
from stepsize.modules import Module
from stepsize.run.errors import one_line
from stepsize.schedules.checks import is_kind, locate_node
from stepsize.vectorized.eligibility import (
    Reason,
    config_reason,
    module_reason,
    optimizer_reason,
)
from stepsize.vectorized.layout import Layout
from stepsize.vectorized.recording import plots_trajectory
from stepsize.vectorized.variant import Length, Variant

log = logging.getLogger(__name__)

_VARIANT_KEYS = ("optimizer", "param_groups", "scheduler")  # of a configuration


@dataclass(eq=False)
class Group:
    """Runs of one model shape and data set that log and validate at the same steps.

    Attributes:
        numbers: the jobs' positions in the list that was grouped.
        configs: the configuration of each run.
        components: of each run; runs with the same initial state share them.
        variants: the distinct variants.
        variant_of: the index of each run's variant.
    """

    numbers: list[int] = field(default_factory=list)
    configs: list[Mapping[str, Any]] = field(default_factory=list)
    components: list[Components] = field(default_factory=list)
    variants: list[Variant] = field(default_factory=list)
    variant_of: list[int] = field(default_factory=list)

    @property
    def layout(self) -> Layout:
        """Of the parameters."""
        return Layout.of(self.components[0].module)

    @property
    def length(self) -> Length:
        """Of each run that does not diverge."""
        return self.variants[0].length

    @property
    def log_every(self) -> int:
        """The number of steps between two rows."""
        every: int = self.configs[0]["trainer"].get("log_every_n_steps", 50)
        return every


def group_jobs(configs: Sequence[Mapping[str, Any]]) -> tuple[list[Group], dict[int, str]]:
    """Group the jobs of which one program can train several.

    Args:
        configs: the whole configuration of each job as plain containers with interpolations
            resolved, as in ``stepsize.run.folder.Run.config``.

    Returns:
        The groups; and for every other job, by its position, the reason why it must be trained
        individually. An invalid configuration is such a reason: trained individually, the run
        fails with its error in its own folder.
    """
    builder = _Builder()
    groups: dict[str, Group] = {}
    variants: dict[str, int | str] = {}  # the index in its group, or the reason against it
    reasons: dict[int, str] = {}
    for number, config in enumerate(configs):
        try:
            with allowing(config["allowed_packages"]):
                check_config(config)
                reason = config_reason(config)
                if reason is None:
                    components = builder.build(config)
                    reason = module_reason(components.module, components.data)
                    check_monitors(watched_tags(config), components.tags)
            if reason is not None:
                reasons[number] = reason
                continue
            key = _group_key(config, components)
            group = groups.setdefault(key, Group())
            # A plateau schedule depends on the metrics of its run.
            own = number if _is_plateau(config["scheduler"]) else None
            variant_key = _key(key, own, *(config[part] for part in _VARIANT_KEYS))
            if variant_key not in variants:
                variants[variant_key] = _add_variant(group, config, components)
            index = variants[variant_key]
            if isinstance(index, str):
                reasons[number] = index
                continue
        except Exception as error:
            log.debug("building job %d failed", number, exc_info=True)
            reasons[number] = Reason.BUILDING_FAILED.format(one_line(error))
            continue
        group.numbers.append(number)
        group.configs.append(config)
        group.components.append(components)
        group.variant_of.append(index)
    return [group for group in groups.values() if group.numbers], reasons


def _add_variant(group: Group, config: Mapping[str, Any], components: Components) -> int | str:
    """The index of a new variant in its group; or the reason to train its runs individually."""
    length = Length.of(config["trainer"], components.data)
    variant = Variant(config, components.module, length)
    reason = optimizer_reason(variant, components.module)
    if reason is None:
        group.variants.append(variant)
    return reason or len(group.variants) - 1


def _is_plateau(scheduler: Mapping[str, Any] | None) -> bool:
    return bool(scheduler) and is_kind(locate_node(scheduler, "scheduler"), ReduceLROnPlateau)


def callback_arguments(config: Mapping[str, Any], kind: type) -> list[dict[str, Any]]:
    """The arguments of each configured callback of a class."""
    callbacks = [entry for entry in (config["callbacks"] or {}).values() if entry]
    return [
        {key: value for key, value in entry.items() if key != "_target_"}
        for entry in callbacks
        if locate(entry["_target_"]) is kind
    ]


def _group_key(config: Mapping[str, Any], components: Components) -> str:
    module = components.module
    layout = Layout.of(module)
    return _key(
        components.data_key,
        config["model"],
        config["trainer"],
        config["allowed_packages"],
        config["monitor"],  # read by schedules
        [callback_arguments(config, kind) for kind in (Divergence, Norms)],
        plots_trajectory(config),
        layout.names,
        layout.shapes,
        [(name, tensor.tolist()) for name, tensor in module.named_buffers()],
        [name for name, parameter in module.named_parameters() if not parameter.requires_grad],
    )


def pick_device(accelerator: str) -> torch.device:
    """The device that Lightning would train on.

    Raises:
        ValueError: this machine has no such accelerator.
    """
    if accelerator != "cpu" and torch.cuda.is_available():
        return torch.device("cuda", 0)
    if accelerator in ("gpu", "cuda"):
        raise ValueError(
            f"trainer.accelerator={accelerator}: found no GPU; give trainer.accelerator=cpu"
        )
    return torch.device("cpu")


@dataclass(frozen=True, eq=False)
class Components:
    """The initial state that runs of one seed, data set and model share.

    Attributes:
        module: with its initial weights; never trained.
        data: never given to a Trainer.
        random_state: of the random number generators after building both.
        data_key: the data set's configuration without the order of the batches.
    """

    module: Module
    data: Any
    random_state: Mapping[str, Any]
    data_key: str

    @cached_property
    def tags(self) -> set[str] | None:
        """The metrics that a run logs."""
        return logged_tags(self.module, self.data)

    def fingerprints(self, steps: int, dtype: torch.dtype) -> dict[str, str | None]:
        """Of the initial weights, the first batch and that of the last step, as a run sees them."""
        key = (steps, dtype)
        if key not in self._fingerprints:
            stream = self.data.batches(self.data.train)
            first = _floats_to(dtype, next(iter(stream)))
            stream.position = steps - 1
            last = _floats_to(dtype, next(iter(stream)))
            weights = self.module.state_dict()
            self._fingerprints[key] = {
                "initial_weights": fingerprint(
                    dict(zip(weights, _floats_to(dtype, weights.values()), strict=True))
                ),
                "first_batch": fingerprint(first),
                "last_batch": fingerprint(last),
            }
        return self._fingerprints[key]

    @cached_property
    def _fingerprints(self) -> dict[tuple[int, torch.dtype], dict[str, str | None]]:
        return {}


def _floats_to(dtype: torch.dtype, tensors: Iterable[torch.Tensor]) -> list[torch.Tensor]:
    return [tensor.to(dtype) if tensor.is_floating_point() else tensor for tensor in tensors]


class _Builder:
    """Builds components once for all runs that share them."""

    def __init__(self) -> None:
        self._components: dict[str, Components] = {}
        self._sets: dict[str, Any] = {}

    def build(self, config: Mapping[str, Any]) -> Components:
        """The components of a run.

        Raises:
            ValueError: the data or the model cannot be built.
        """
        key = _key(config["seed"], config["data"], config["model"], config["allowed_packages"])
        if key not in self._components:
            with allowing(config["allowed_packages"]):
                pl.seed_everything(config["seed"], workers=True, verbose=False)
                data = instantiate(config["data"], where="data")
                module = instantiate(config["model"], where="model")
            random = random_state()
            data_key = _key({k: v for k, v in config["data"].items() if k != "shuffle_seed"})
            # The data set depends on this configuration only, and reading it may take long.
            if data_key in self._sets:
                data.__dict__.setdefault("_sets", self._sets[data_key])
            elif hasattr(type(data), "_sets"):
                self._sets[data_key] = data._sets
            self._components[key] = Components(module, data, random, data_key)
        return self._components[key]


def _key(*values: Any) -> str:
    """A text that is equal for equal plain containers, and different for different ones."""
    return json.dumps(values, sort_keys=True, default=repr)
