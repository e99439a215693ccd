"""Configuration and parameter groups -> a torch optimizer. The only place that builds one."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from stepsize.instantiate import argument_names, check_arguments, instantiate, locate
from stepsize.optim.composite import CompositeOptimizer
from stepsize.optim.limits import check_fit
from stepsize.optim.param_groups import ParamGroup, Selector, group_parameters

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Part:
    """One optimizer of the chain that ``takes`` and ``rest`` make; usually the only one."""

    where: str
    target: type[Optimizer]
    config: dict[str, Any]
    # Alternatives: the first one that matches anything is what the part takes; none: everything.
    takes: tuple[Selector, ...]

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


def build_optimizer(
    config: Mapping[str, Any],
    named_parameters: Iterable[tuple[str, nn.Parameter]],
    param_groups: Mapping[str, Any] | None = None,
    *,
    sparse: Collection[str] = (),
) -> Optimizer:
    """Build the optimizer that ``config`` describes, over named parameter groups.

    Args:
        config: ``_target_`` and the optimizer's options, as plain containers. With ``takes`` (the
            keys ``match`` and ``ndim`` of a rule, or a list of such, of which the first that
            matches anything counts) it takes only what matches, and ``rest``, another optimizer's
            config, takes the others.
        named_parameters: ``module.named_parameters()``; those that need no gradient are left out.
        param_groups: rules by group name, see :mod:`stepsize.optim.param_groups`.
        sparse: names of the parameters whose gradients are sparse.

    Returns:
        A torch optimizer. Its groups carry ``name``; those of a composite are called
        ``<group>/<optimizer's class>``. Frozen groups are not in it: their parameters no longer
        require a gradient.

    Raises:
        ValueError: an option, a rule or a value that does not fit; the message says what does.
    """
    return plan_optimizer(config, named_parameters, param_groups, sparse=sparse).build()


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
    parts = _chain(dict(config), "optimizer")
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
    _parts: tuple[_Part, ...]
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
            _build_part(part, share)
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
                joined[position] = _build_part(part, mine)
            position += bool(trained)
        return joined


def optimizer_classes(config: Mapping[str, Any]) -> list[type[Optimizer]]:
    """The class that ``config`` names, then those under ``rest``, the order of a composite's parts.

    Raises:
        ValueError: a class or an option that does not exist.
    """
    return [part.target for part in _chain(dict(config), "optimizer")]


def sparse_parameter_names(module: nn.Module) -> set[str]:
    """Names of the parameters that get sparse gradients: those of embeddings with sparse=True."""
    return {
        f"{name}.weight" if name else "weight"
        for name, child in module.named_modules()
        if isinstance(child, (nn.Embedding, nn.EmbeddingBag)) and child.sparse
    }


def _chain(config: dict[str, Any], where: str) -> list[_Part]:
    if "_target_" not in config:
        raise ValueError(
            f"{where}: give an optimizer's class, for example {where}._target_=torch.optim.Adam"
        )
    target = _locate(config["_target_"], where)
    own = {key: value for key, value in config.items() if key not in ("takes", "rest")}
    check_arguments(target, [key for key in own if key != "_target_"], where)
    rest = config.get("rest")
    if (rest is None) != (config.get("takes") is None):
        raise ValueError(f"{where}: takes and rest go together; give both or neither")
    takes = config.get("takes") or []
    alternatives = [takes] if isinstance(takes, Mapping) else takes
    selectors = tuple(Selector.from_config(f"{where}.takes", one) for one in alternatives)
    part = _Part(where, target, own, selectors)
    return [part, *(_chain(dict(rest), f"{where}.rest") if rest else [])]


def _locate(target: str, where: str) -> type[Optimizer]:
    try:
        found = locate(target)
    except ValueError as error:
        raise ValueError(f"{where}.{error}") from None
    if not (isinstance(found, type) and issubclass(found, Optimizer)):
        raise ValueError(f"{where}._target_={target} is not a torch optimizer class")
    return found


def _all_options(parts: list[_Part]) -> set[str] | None:
    options: set[str] = set()
    for part in parts:
        names = argument_names(part.target)
        if names is None:
            return None
        options.update(names[1:])
    return options


def _share_out(groups: list[ParamGroup], parts: list[_Part]) -> list[list[ParamGroup]]:
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


def _taken(part: _Part, left: Mapping[str, nn.Parameter]) -> set[str]:
    for selector in part.takes:
        taken = {name for name, p in left.items() if selector.select(name, p) is not None}
        if taken:
            return taken
    return set() if part.takes else set(left)


def _build_part(part: _Part, groups: Sequence[ParamGroup]) -> Optimizer:
    options = argument_names(part.target)
    torch_groups = []
    for group in groups:
        for key in group.options:
            if options is not None and key not in options:
                raise ValueError(
                    f"param_groups: {key}={group.options[key]} of group {group.name}: "
                    f"{part.target.__name__} has no option {key}; it takes "
                    f"{', '.join(options[1:])}"
                )
        entry: dict[str, Any] = {"params": [p for _, p in group.parameters], "name": group.name}
        entry.update(group.options)
        if group.lr_scale != 1:
            if part.base_lr is None:
                raise ValueError(
                    f"param_groups: lr_scale of group {group.name} needs a rate to scale; "
                    f"give {part.where}.lr"
                )
            entry["lr"] = part.base_lr * group.lr_scale
        torch_groups.append(entry)
    for entry in torch_groups:
        # torch checks the options of the call, not those of a group: a group's are checked here.
        own = {key: value for key, value in entry.items() if key not in ("params", "name")}
        if own:
            part.make([nn.Parameter(torch.zeros(1, 1))], entry["name"], own)
    optimizer = part.make(torch_groups)
    if part.target.__module__.startswith("pytorch_optimizer."):  # all take any option in silence
        given = {*part.config, *(key for group in groups for key in group.options)} - {"_target_"}
        for key in sorted(given - inspect.signature(part.target).parameters.keys()):
            name = part.target.__name__
            log.warning("%s: %s names no option %s, and may not heed it", part.where, name, key)
    return optimizer
