"""The parts of each run, built as :func:`stepsize.train.train` builds them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pytorch_lightning as pl

from stepsize.between_steps import random_state
from stepsize.instantiate import allowing, instantiate
from stepsize.modules import Module
from stepsize.tags import known_tags


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
        return known_tags(self.module, self.data)


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
        key = key_of(config["seed"], config["data"], config["model"], config["allow"])
        if key not in self._parts:
            with allowing(config["allow"]):
                pl.seed_everything(config["seed"], workers=True, verbose=False)
                data = instantiate(config["data"], where="data")
                module = instantiate(config["model"], where="model")
            random = random_state()
            order = {name: v for name, v in config["data"].items() if name != "order_seed"}
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
