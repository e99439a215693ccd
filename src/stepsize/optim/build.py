"""Configuration and parameter groups -> a torch optimizer. The only place that builds one."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from stepsize.instantiate import argument_names, check_arguments, instantiate, locate
from stepsize.optim.composite import CompositeOptimizer
from stepsize.optim.limits import check_fit
from stepsize.optim.param_groups import ParamGroup, Selector, group_parameters


@dataclass(frozen=True)
class _Part:
    """One optimizer of the chain that ``takes`` and ``rest`` make; usually the only one."""

    where: str
    target: Callable[..., Optimizer]
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
    parts = _chain(dict(config), "optimizer")
    groups = group_parameters(named_parameters, param_groups, options=_all_options(parts))
    for group in groups:
        if group.frozen:
            for _, parameter in group.parameters:
                parameter.requires_grad_(False)
    trained = [group for group in groups if not group.frozen]
    if not trained:
        raise ValueError("param_groups: every parameter is frozen; leave at least one to train")

    optimizers = []
    for part, share in zip(parts, _share_out(trained, parts), strict=True):
        if not share and part.takes:
            names = ", ".join(f"{n} ({p.ndim}-D)" for g in trained for n, p in g.parameters[:6])
            raise ValueError(
                f"{part.where}.takes: there is nothing for {part.target.__name__} among {names}; "
                "use another optimizer, or a task that has such parameters, such as digits_mlp"
            )
        if share:
            check_fit(part.target, share, sparse)
            optimizers.append(_build_part(part, share))
    return optimizers[0] if len(optimizers) == 1 else CompositeOptimizer(optimizers)


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


def _locate(target: str, where: str) -> Callable[..., Optimizer]:
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


def _taken(part: _Part, left: Mapping[str, nn.Parameter]) -> set[str]:
    for selector in part.takes:
        taken = {name for name, p in left.items() if selector.select(name, p) is not None}
        if taken:
            return taken
    return set() if part.takes else set(left)


def _build_part(part: _Part, groups: list[ParamGroup]) -> Optimizer:
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
    arguments = {
        key: instantiate(value, where=f"{part.where}.{key}")
        if isinstance(value, Mapping) and "_target_" in value
        else value
        for key, value in part.config.items()
        if key != "_target_"
    }
    for entry in torch_groups:
        # torch checks the options of the call, not those of a group: a group's are checked here.
        own = {key: value for key, value in entry.items() if key not in ("params", "name")}
        if own:
            _call(part, [nn.Parameter(torch.zeros(1, 1))], {**arguments, **own}, entry["name"])
    return _call(part, torch_groups, arguments)


def _call(
    part: _Part, parameters: list[Any], options: dict[str, Any], group: str = ""
) -> Optimizer:
    if type(options.get("lr")) is int:
        options = {**options, "lr": float(options["lr"])}  # Adafactor insists
    try:
        return part.target(parameters, **options)
    except (TypeError, ValueError, RuntimeError, AssertionError) as error:
        given = ", ".join(f"{key}={value}" for key, value in options.items())
        where = f"param_groups: group {group}" if group else part.where
        raise ValueError(f"{where}: {part.target.__name__}({given}): {error}") from error
