"""Which optimizer trains which parameters, settled and checked before anything is built."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from stepsize.instantiate import argument_names
from stepsize.optim.composite import CompositeOptimizer
from stepsize.optim.limits import check_fit
from stepsize.optim.param_groups import group_parameters
from stepsize.optim.part import Part, chain
from stepsize.optim.rules import ParamGroup


@dataclass(frozen=True, eq=False)
class Plan:
    """Which optimizer trains which groups, and what is left out.

    Attributes:
        groups: all of them, the frozen ones too.
        rates: the own rate, which a schedule multiplies, of each group in the optimizer, by the
            name that it has there; None where the optimizer has no lr. It grows as groups join.
    """

    groups: tuple[ParamGroup, ...]
    rates: dict[str, float | None]
    _parts: tuple[Part, ...]
    _shares: tuple[tuple[ParamGroup, ...], ...]  # what each part trains from the start
    _sparse: frozenset[str]

    @property
    def frozen(self) -> dict[str, ParamGroup]:
        """The groups that are frozen at the start, by name."""
        return {group.name: group for group in self.groups if group.frozen}

    def build(self) -> Optimizer:
        """Freeze what is to be frozen, and build the optimizer over the rest."""
        for group in self.frozen.values():
            for _, parameter in group.parameters:
                parameter.requires_grad_(False)
        optimizers = [
            part.build(share)
            for part, share in zip(self._parts, self._shares, strict=True)
            if share
        ]
        return optimizers[0] if len(optimizers) == 1 else CompositeOptimizer(optimizers)

    def build_frozen(self, name: str, options: Mapping[str, Any]) -> dict[int, Optimizer]:
        """Build optimizers over one frozen group, whose groups and state can join the running one.

        Args:
            name: the frozen group.
            options: ``lr`` or ``lr_scale``, and the optimizer's own, as a rule has them.

        Returns:
            By the position of the optimizer that they are to join: 0, or the part of a composite.
            A parameter goes to the part that would have it if nothing were frozen.

        Raises:
            ValueError: there is no such group, or the optimizer cannot take it.
        """
        frozen = self.frozen
        if name not in frozen:
            there_are = f"frozen are {', '.join(frozen)}" if frozen else "nothing is frozen"
            raise ValueError(
                f"there is no frozen group {name}; {there_are}. A rule with freeze: true makes "
                "one, as in param_groups=freeze_backbone"
            )
        options = dict(options)
        scale = options.pop("lr_scale", None) or 1.0
        joined: dict[int, Optimizer] = {}
        position = 0
        members = {parameter_name for parameter_name, _ in frozen[name].parameters}
        everything = _share_out(list(self.groups), list(self._parts))
        for part, trained, share in zip(self._parts, self._shares, everything, strict=True):
            mine = [
                ParamGroup(group.name, group.parameters, options, scale)
                for group in share
                if group.parameters[0][0] in members
            ]
            if mine:
                if issubclass(part.target, torch.optim.LBFGS):
                    raise ValueError(
                        f"LBFGS takes one parameter group, so that {name} cannot join it; use "
                        "another optimizer, such as optimizer=adam"
                    )
                if not trained:
                    raise ValueError(
                        f"{name} is for {part.target.__name__}, which has nothing to train until "
                        "then; leave something for it unfrozen"
                    )
                check_fit(part.target, part.make, [*trained, *mine], self._sparse)
                joined[position] = part.build(mine)
            position += bool(trained)
        return joined


def plan_optimizer(
    config: Mapping[str, Any],
    named_parameters: Iterable[tuple[str, nn.Parameter]],
    param_groups: Mapping[str, Any] | None = None,
    *,
    sparse: Collection[str] = (),
) -> Plan:
    """Settle what :func:`build_optimizer` builds, for those who need the frozen groups too.

    Args and errors are the same.
    """
    parts = chain(config)
    groups = group_parameters(named_parameters, param_groups, options=_all_options(parts))
    trained = [group for group in groups if not group.frozen]
    if not trained:
        raise ValueError("param_groups: every parameter is frozen; leave at least one to train")
    shares = _share_out(trained, parts)
    for part, share in zip(parts, shares, strict=True):
        if not share and part.takes:
            names = ", ".join(f"{n} ({p.ndim}-D)" for g in trained for n, p in g.parameters[:6])
            raise ValueError(
                f"{part.where}.takes: there is nothing for {part.target.__name__} among {names}; "
                "use another optimizer, or a task that has such parameters, such as digits_mlp"
            )
        check_fit(part.target, part.make, share, sparse)
    rates = {
        group.name: group.options.get("lr") or _scaled(part.base_lr, group.lr_scale)
        for part, share in zip(parts, shares, strict=True)
        for group in share
    }
    return Plan(tuple(groups), rates, tuple(parts), tuple(map(tuple, shares)), frozenset(sparse))


def _all_options(parts: list[Part]) -> set[str] | None:
    options: set[str] = set()
    for part in parts:
        names = argument_names(part.target)
        if names is None:
            return None
        options.update(names[1:])
    return options


def _share_out(groups: list[ParamGroup], parts: list[Part]) -> list[list[ParamGroup]]:
    """Each group's parameters go to the first part that takes them."""
    shares: list[list[ParamGroup]] = [[] for _ in parts]
    left = {name: parameter for group in groups for name, parameter in group.parameters}
    for part, share in zip(parts, shares, strict=True):
        taken = _taken(part, left)
        for group in groups:
            mine = tuple(entry for entry in group.parameters if entry[0] in taken)
            if mine:
                name = f"{group.name}/{part.target.__name__}" if len(parts) > 1 else group.name
                share.append(ParamGroup(name, mine, group.options, group.lr_scale))
        left = {name: parameter for name, parameter in left.items() if name not in taken}
    return shares


def _scaled(rate: float | None, factor: float) -> float | None:
    return rate * factor if isinstance(rate, (int, float)) else None  # torch refuses a word later


def _taken(part: Part, left: Mapping[str, nn.Parameter]) -> set[str]:
    for selector in part.takes:
        taken = {name for name, p in left.items() if selector.select(name, p) is not None}
        if taken:
            return taken
    return set() if part.takes else set(left)
