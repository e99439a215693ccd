"""An optimizer's configuration, parsed and checked: its class, its options, its parameters.

The configuration is flat: ``_target_`` and the options of that class side by side. An optimizer
with ``params`` trains only the parameters that these select, and ``other_params``, a second
optimizer's configuration, trains the others, as in conf/optimizer/muon.yaml::

    {_target_: torch.optim.Muon, lr: 0.02, params: {ndim: 2},
     other_params: {_target_: torch.optim.AdamW, lr: 0.001}}

A configuration is parsed once, into an :class:`OptimizerSpec`. Only its methods call an optimizer's
class.
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
class OptimizerSpec:
    """One optimizer of the configuration, with the one under its ``other_params``.

    Attributes:
        where: its place in the configuration, for error messages, such as ``optimizer``.
        target: its class.
        options: the arguments of the class, as configured.
        params: which parameters it trains: those of the first selector that matches any. Empty: all
            parameters that no optimizer before it trains.
        other: trains the parameters that ``params`` does not select; None where nothing is left.
    """

    where: str
    target: type[Optimizer]
    options: dict[str, Any]
    params: tuple[Selector, ...] = ()
    other: OptimizerSpec | None = None

    @classmethod
    def from_config(cls, config: Mapping[str, Any], where: str = "optimizer") -> OptimizerSpec:
        """Parse an optimizer's configuration and those under its ``other_params``.

        Args:
            config: plain containers.
            where: the configuration's place, for error messages.

        Raises:
            ValueError: the class or an option does not exist, or ``params`` and ``other_params``
                are not given together.
        """
        options = dict(config)
        name = options.pop("_target_", None)
        params, other = options.pop("params", None), options.pop("other_params", None)
        if name is None:
            raise ValueError(
                f"{where}: give an optimizer's class, for example {where}._target_=torch.optim.Adam"
            )
        try:
            target = locate(name)
        except ValueError as error:
            raise ValueError(f"{where}.{error}") from None
        if not (isinstance(target, type) and issubclass(target, Optimizer)):
            raise ValueError(f"{where}._target_={name} is not a torch optimizer class")
        check_arguments(target, list(options), where)
        if (other is None) != (params is None):
            raise ValueError(f"{where}: params and other_params go together; give both or neither")
        alternatives = [params] if isinstance(params, Mapping) else params or []
        return cls(
            where,
            target,
            options,
            tuple(Selector.from_config(f"{where}.params", one) for one in alternatives),
            cls.from_config(other, f"{where}.other_params") if other else None,
        )

    @property
    def chain(self) -> tuple[OptimizerSpec, ...]:
        """This optimizer, then those under ``other_params``: the parts of a composite."""
        return (self, *(self.other.chain if self.other else ()))

    @property
    def classes(self) -> list[type[Optimizer]]:
        """The classes of ``chain``."""
        return [spec.target for spec in self.chain]

    @property
    def lr(self) -> float | None:
        """The configured learning rate, else the class's default; None where it has none."""
        if "lr" in self.options:
            return self.options["lr"]
        parameter = inspect.signature(self.target).parameters.get("lr")
        if parameter is None or parameter.default is parameter.empty:
            return None
        return parameter.default

    def select(self, named: Mapping[str, nn.Parameter]) -> set[str]:
        """The names of the parameters that this optimizer trains, out of the unassigned ones."""
        if not self.params:
            return set(named)
        for selector in self.params:
            selected = {name for name, p in named.items() if selector.select(name, p) is not None}
            if selected:
                return selected
        return set()

    def build(self, groups: Sequence[ParamGroup]) -> Optimizer:
        """Build the optimizer over named parameter groups.

        Raises:
            ValueError: the optimizer does not accept an option, or the value of one.
        """
        torch_groups = [self._torch_group(group) for group in groups]
        for group in torch_groups:
            # torch checks the options of a call, but not those of a group.
            options = {key: value for key, value in group.items() if key not in ("params", "name")}
            if options:
                where = f"param_groups: group {group['name']}"
                self.make([nn.Parameter(torch.zeros(1, 1))], options, where)
        optimizer = self.make(torch_groups)
        self._warn_of_ignored_options(groups)
        return optimizer

    def make(
        self, parameters: list[Any], options: Mapping[str, Any] | None = None, where: str = ""
    ) -> Optimizer:
        """Call the class.

        Args:
            parameters: parameters, or torch's parameter groups.
            options: take precedence over the configured ones.
            where: their place, for error messages; by default the optimizer's.

        Raises:
            ValueError: the class refuses an option's value.
        """
        arguments = {
            key: instantiate(value, where=f"{self.where}.{key}")
            if isinstance(value, Mapping) and "_target_" in value
            else value
            for key, value in self.options.items()
        }
        arguments.update(options or {})
        if type(arguments.get("lr")) is int:
            arguments["lr"] = float(arguments["lr"])  # Adafactor accepts no int
        try:
            return self.target(parameters, **arguments)
        except (TypeError, ValueError, RuntimeError, AssertionError) as error:
            call = f"{self.target.__name__}({', '.join(f'{k}={v}' for k, v in arguments.items())})"
            raise ValueError(f"{where or self.where}: {call}: {error}") from error

    def _torch_group(self, group: ParamGroup) -> dict[str, Any]:
        """The group as torch takes it: its parameters, name and options in one dictionary."""
        allowed = argument_names(self.target)
        for key, value in group.options.items():
            if allowed is not None and key not in allowed:
                raise ValueError(
                    f"param_groups: {key}={value} of group {group.name}: {self.target.__name__} "
                    f"has no option {key}; it takes {', '.join(allowed[1:])}"
                )
        parameters = [parameter for _, parameter in group.parameters]
        torch_group = {"params": parameters, "name": group.name, **group.options}
        if group.lr_scale != 1:
            if self.lr is None:
                raise ValueError(
                    f"param_groups: lr_scale of group {group.name} needs a learning rate to scale; "
                    f"give {self.where}.lr"
                )
            torch_group["lr"] = self.lr * group.lr_scale
        return torch_group

    def _warn_of_ignored_options(self, groups: Sequence[ParamGroup]) -> None:
        # The classes of pytorch_optimizer accept any option without an error.
        if not self.target.__module__.startswith("pytorch_optimizer."):
            return
        given = {*self.options, *(key for group in groups for key in group.options)}
        for key in sorted(given - {*inspect.signature(self.target).parameters}):
            name = self.target.__name__
            log.warning("%s: %s names no option %s and may ignore it", self.where, name, key)
