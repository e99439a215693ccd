"""One optimizer of a configuration, or the chain that ``params`` and ``other_params`` make.

The only place that calls an optimizer's class.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from stepsize.config.instantiate import argument_names, check_arguments, instantiate, locate
from stepsize.optim.param_groups import ParamGroup, Selector

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Part:
    """One optimizer of the chain of ``params`` and ``other_params``; usually the only one."""

    where: str
    target: type[Optimizer]
    config: dict[str, Any]
    # Alternatives: the first one that matches anything is what the part takes; none: everything.
    params: tuple[Selector, ...]

    @property
    def base_lr(self) -> float | None:
        if "lr" in self.config:
            return self.config["lr"]
        parameter = inspect.signature(self.target).parameters.get("lr")
        if parameter is None or parameter.default is parameter.empty:
            return None
        return parameter.default

    def make(
        self, parameters: list[Any], group: str = "", own: Mapping[str, Any] | None = None
    ) -> Optimizer:
        """Build it, with the options ``own`` of a group, if one is named, beside the config's.

        Raises:
            ValueError: an option that it refuses.
        """
        options = {
            key: instantiate(value, where=f"{self.where}.{key}")
            if isinstance(value, Mapping) and "_target_" in value
            else value
            for key, value in self.config.items()
            if key != "_target_"
        }
        options.update(own or {})
        if type(options.get("lr")) is int:
            options["lr"] = float(options["lr"])  # Adafactor insists
        try:
            return self.target(parameters, **options)
        except (TypeError, ValueError, RuntimeError, AssertionError) as error:
            given = ", ".join(f"{key}={value}" for key, value in options.items())
            where = f"param_groups: group {group}" if group else self.where
            raise ValueError(f"{where}: {self.target.__name__}({given}): {error}") from error

    def build(self, groups: Sequence[ParamGroup]) -> Optimizer:
        """Build it over named groups, whose options are checked as its own are.

        Raises:
            ValueError: an option or a value that it refuses.
        """
        options = argument_names(self.target)
        torch_groups = []
        for group in groups:
            for key in group.options:
                if options is not None and key not in options:
                    raise ValueError(
                        f"param_groups: {key}={group.options[key]} of group {group.name}: "
                        f"{self.target.__name__} has no option {key}; it takes "
                        f"{', '.join(options[1:])}"
                    )
            entry: dict[str, Any] = {"params": [p for _, p in group.parameters], "name": group.name}
            entry.update(group.options)
            if group.lr_scale != 1:
                if self.base_lr is None:
                    raise ValueError(
                        f"param_groups: lr_scale of group {group.name} needs a rate to scale; "
                        f"give {self.where}.lr"
                    )
                entry["lr"] = self.base_lr * group.lr_scale
            torch_groups.append(entry)
        for entry in torch_groups:
            # torch checks the options of the call, not those of a group.
            own = {key: value for key, value in entry.items() if key not in ("params", "name")}
            if own:
                self.make([nn.Parameter(torch.zeros(1, 1))], entry["name"], own)
        optimizer = self.make(torch_groups)
        # All of these take any option in silence.
        if self.target.__module__.startswith("pytorch_optimizer."):
            given = {*self.config, *(key for group in groups for key in group.options)}
            known = {"_target_", *inspect.signature(self.target).parameters}
            for key in sorted(given - known):
                name = self.target.__name__
                log.warning("%s: %s names no option %s, and may not heed it", self.where, name, key)
        return optimizer


def chain(config: Mapping[str, Any], where: str = "optimizer") -> list[Part]:
    """Read an optimizer's config and those under its ``other_params``.

    Raises:
        ValueError: a class or an option that does not exist, ``params`` without ``other_params``.
    """
    if "_target_" not in config:
        raise ValueError(
            f"{where}: give an optimizer's class, for example {where}._target_=torch.optim.Adam"
        )
    target = _locate(config["_target_"], where)
    own = {key: value for key, value in config.items() if key not in ("params", "other_params")}
    check_arguments(target, [key for key in own if key != "_target_"], where)
    others = config.get("other_params")
    if (others is None) != (config.get("params") is None):
        raise ValueError(f"{where}: params and other_params go together; give both or neither")
    params = config.get("params") or []
    alternatives = [params] if isinstance(params, Mapping) else params
    selectors = tuple(Selector.from_config(f"{where}.params", one) for one in alternatives)
    part = Part(where, target, own, selectors)
    return [part, *(chain(others, f"{where}.other_params") if others else [])]


def optimizer_classes(config: Mapping[str, Any]) -> list[type[Optimizer]]:
    """The class that ``config`` names, then those under ``other_params``, in a composite's order.

    Raises:
        ValueError: a class or an option that does not exist.
    """
    return [part.target for part in chain(config)]


def _locate(target: str, where: str) -> type[Optimizer]:
    try:
        found = locate(target)
    except ValueError as error:
        raise ValueError(f"{where}.{error}") from None
    if not (isinstance(found, type) and issubclass(found, Optimizer)):
        raise ValueError(f"{where}._target_={target} is not a torch optimizer class")
    return found
