"""Which optimizer trains which parameters, settled and checked before anything is built."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from stepsize.config.instantiate import argument_names
from stepsize.optim.compatibility import check_fit, evaluates_repeatedly
from stepsize.optim.param_groups import ParamGroup, group_parameters
from stepsize.optim.spec import Part, chain


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
        if not share and part.params:
            names = ", ".join(f"{n} ({p.ndim}-D)" for g in trained for n, p in g.parameters[:6])
            raise ValueError(
                f"{part.where}.params: there is nothing for {part.target.__name__} among {names}; "
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
    for selector in part.params:
        taken = {name for name, p in left.items() if selector.select(name, p) is not None}
        if taken:
            return taken
    return set() if part.params else set(left)


def build_optimizer(
    config: Mapping[str, Any],
    named_parameters: Iterable[tuple[str, nn.Parameter]],
    param_groups: Mapping[str, Any] | None = None,
    *,
    sparse: Collection[str] = (),
) -> Optimizer:
    """Build the optimizer that ``config`` describes, over named parameter groups.

    Args:
        config: ``_target_`` and the optimizer's options, as plain containers. With ``params`` (the
            keys ``match`` and ``ndim`` of a rule, or a list of such, of which the first that
            matches anything counts) it takes only what matches, and ``other_params``, another
            optimizer's config, takes the others.
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


def sparse_parameter_names(module: nn.Module) -> set[str]:
    """Names of the parameters that get sparse gradients: those of embeddings with sparse=True."""
    return {
        f"{name}.weight" if name else "weight"
        for name, child in module.named_modules()
        if isinstance(child, (nn.Embedding, nn.EmbeddingBag)) and child.sparse
    }


class CompositeOptimizer(Optimizer):
    """Steps several optimizers, each on its own parameters, as one.

    Lightning, learning-rate schedules, clipping and checkpoints see one ordinary optimizer: its
    ``param_groups`` are the parts' own dictionaries and its ``state`` is the one that all parts
    share, so torch's ``state_dict`` and ``load_state_dict`` need nothing special. Returning two
    optimizers to Lightning instead would mean manual optimization.

    Args:
        optimizers: the parts, over disjoint parameters. ``defaults`` are the first one's.

    Raises:
        ValueError: a part that cannot share a step, or fewer than two parts.
    """

    def __init__(self, optimizers: Sequence[Optimizer]) -> None:
        if len(optimizers) < 2:
            raise ValueError(f"a composite needs two optimizers or more; got {len(optimizers)}")
        for part in optimizers:
            if evaluates_repeatedly(type(part)):
                raise ValueError(
                    f"{type(part).__name__} cannot be part of a composite: it evaluates the model "
                    "several times within its own step; use it alone, as optimizer=lbfgs or sam"
                )
        self.optimizers = tuple(optimizers)
        self._owners: list[int] = []  # of each group: the position of its part
        super().__init__([group for part in optimizers for group in part.param_groups], {})
        self.defaults = dict(optimizers[0].defaults)
        self._share()

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Take in a group that was added to one of the parts.

        It comes last, wherever its part stands, so that the groups before it keep their places in
        schedules and checkpoints.

        Raises:
            ValueError: no part has the group, or another has some of its parameters.
        """
        owners = [
            index
            for index, part in enumerate(self.optimizers)
            if any(group is param_group for group in part.param_groups)
        ]
        if not owners:
            raise ValueError(
                "a composite does not know which part takes the group; add it to one of "
                "composite.optimizers first, then give that part's own dictionary"
            )
        known = {id(p) for group in self.param_groups for p in group["params"]}
        if any(id(p) in known for p in param_group["params"]):
            raise ValueError("some parameters appear in more than one parameter group")
        # Not torch's own: that would write the first part's defaults into every part's groups.
        self.param_groups.append(param_group)
        self._owners.append(owners[0])

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Evaluate the closure once, then step every part."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self.optimizers:
            part.step()
        return loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load as any optimizer does, then hand the new groups and state to the parts."""
        super().load_state_dict(state_dict)
        self._share()

    def _share(self) -> None:
        for index, part in enumerate(self.optimizers):
            owned = zip(self.param_groups, self._owners, strict=True)
            part.param_groups = [group for group, owner in owned if owner == index]
            part.state = self.state
