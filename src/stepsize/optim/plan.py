"""The plan of an optimizer: which class trains which parameters, checked before it is built.

:func:`build_optimizer` goes from a configuration to an optimizer in one call. In between stands the
:class:`Plan`, which also knows the frozen groups: the callback Unfreeze builds them later from it,
and the compatibility check of a sweep makes a plan and builds nothing. Where the configuration
names several optimizers (``params`` and ``other_params``), they become one
:class:`CompositeOptimizer`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from stepsize.config.instantiate import argument_names
from stepsize.optim.compatibility import check_parameters, evaluates_repeatedly
from stepsize.optim.param_groups import ParamGroup, group_parameters
from stepsize.optim.spec import OptimizerSpec


def build_optimizer(
    config: Mapping[str, Any],
    named_parameters: Iterable[tuple[str, nn.Parameter]],
    param_groups: Mapping[str, Any] | None = None,
    *,
    sparse: Collection[str] = (),
) -> Optimizer:
    """Build the optimizer that ``config`` describes, over named parameter groups.

    Args:
        config: the optimizer's configuration, as plain containers; see :mod:`stepsize.optim.spec`.
        named_parameters: ``module.named_parameters()``; those that need no gradient are skipped.
        param_groups: rules by group name; see :mod:`stepsize.optim.param_groups`.
        sparse: names of the parameters whose gradients are sparse.

    Returns:
        A torch optimizer. Its groups have a ``name``; those of a composite are called
        ``<group>/<optimizer's class>``. Frozen groups are not in it: their parameters no longer
        require a gradient.

    Raises:
        ValueError: an option, a rule or a value that is not allowed; the message says what is.
    """
    spec = OptimizerSpec.from_config(config)
    return plan_optimizer(spec, named_parameters, param_groups, sparse=sparse).build()


def plan_optimizer(
    spec: OptimizerSpec,
    named_parameters: Iterable[tuple[str, nn.Parameter]],
    param_groups: Mapping[str, Any] | None = None,
    *,
    sparse: Collection[str] = (),
) -> Plan:
    """Decide which optimizer trains which parameters, and check that it can.

    Takes the arguments of :func:`build_optimizer`, but for a parsed configuration, and raises the
    same errors, except those of values that an optimizer's class refuses.
    """
    groups = group_parameters(named_parameters, param_groups, options=_all_options(spec))
    trained = [group for group in groups if not group.frozen]
    if not trained:
        raise ValueError("param_groups: every parameter is frozen; leave at least one to train")
    assignments = _assign(spec, trained)
    lrs: dict[str, float | None] = {}
    for part, own_groups in assignments:
        if part.params and not own_groups:
            names = ", ".join(f"{n} ({p.ndim}-D)" for g in trained for n, p in g.parameters[:6])
            raise ValueError(
                f"{part.where}.params: there is nothing for {part.target.__name__} among {names}; "
                "use another optimizer, or a task that has such parameters, such as digits_mlp"
            )
        check_parameters(part, own_groups, sparse)
        for group in own_groups:
            lrs[group.name] = group.options.get("lr") or _scaled(part.lr, group.lr_scale)
    return Plan(spec, tuple(groups), lrs, assignments, frozenset(sparse))


@dataclass(frozen=True, eq=False)
class Plan:
    """Which optimizer trains which parameter groups, and which groups are frozen.

    Attributes:
        spec: the optimizer's configuration.
        groups: all parameter groups, including the frozen ones.
        lrs: the learning rate that a schedule multiplies, by the name of the group in the
            optimizer; None where the optimizer has no lr. Groups that join later are added.
        assignments: each optimizer of the configuration with the groups that it trains from the
            start, which may be none.
        sparse: names of the parameters whose gradients are sparse.
    """

    spec: OptimizerSpec
    groups: tuple[ParamGroup, ...]
    lrs: dict[str, float | None]
    assignments: list[tuple[OptimizerSpec, list[ParamGroup]]]
    sparse: frozenset[str]

    @property
    def frozen(self) -> dict[str, ParamGroup]:
        """The groups that are frozen at the start, by name."""
        return {group.name: group for group in self.groups if group.frozen}

    def build(self) -> Optimizer:
        """Build the optimizer; parameters of frozen groups no longer require a gradient."""
        for group in self.frozen.values():
            for _, parameter in group.parameters:
                parameter.requires_grad_(False)
        optimizers = [part.build(groups) for part, groups in self.assignments if groups]
        return optimizers[0] if len(optimizers) == 1 else CompositeOptimizer(optimizers)

    def build_frozen(self, name: str, options: Mapping[str, Any]) -> dict[int, Optimizer]:
        """Build an optimizer over one frozen group, to be merged into the running optimizer.

        Args:
            name: the frozen group.
            options: ``lr`` or ``lr_scale``, and the optimizer's own, as in a rule.

        Returns:
            Optimizers by the position of the one that they join: 0, or that of a composite's part.
            A parameter goes to the part that would train it if nothing were frozen.

        Raises:
            ValueError: no group of that name is frozen, or the optimizer cannot train it.
        """
        frozen = self.frozen
        if name not in frozen:
            names = f"frozen are {', '.join(frozen)}" if frozen else "nothing is frozen"
            raise ValueError(
                f"there is no frozen group {name}; {names}. A rule with freeze: true makes one, "
                "as in param_groups=freeze_backbone"
            )
        options = dict(options)
        scale = options.pop("lr_scale", None) or 1.0
        members = {parameter_name for parameter_name, _ in frozen[name].parameters}
        joining: dict[int, Optimizer] = {}
        position = 0
        nothing_frozen = _assign(self.spec, self.groups)
        for (part, trained), (_, groups) in zip(self.assignments, nothing_frozen, strict=True):
            own_groups = [
                ParamGroup(group.name, group.parameters, options, scale)
                for group in groups
                if group.parameters[0][0] in members
            ]
            if own_groups:
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
                check_parameters(part, [*trained, *own_groups], self.sparse)
                joining[position] = part.build(own_groups)
            position += bool(trained)
        return joining


def _assign(
    spec: OptimizerSpec, groups: Sequence[ParamGroup]
) -> list[tuple[OptimizerSpec, list[ParamGroup]]]:
    """Assign each parameter to the first optimizer that selects it; groups are split for that."""
    if not spec.other:
        return [(spec, list(groups))]
    assignments: list[tuple[OptimizerSpec, list[ParamGroup]]] = []
    unassigned = {name: parameter for group in groups for name, parameter in group.parameters}
    for part in spec.chain:
        selected = part.select(unassigned)
        own_groups = []
        for group in groups:
            own = tuple(entry for entry in group.parameters if entry[0] in selected)
            if own:
                name = f"{group.name}/{part.target.__name__}"
                own_groups.append(ParamGroup(name, own, group.options, group.lr_scale))
        assignments.append((part, own_groups))
        unassigned = {name: p for name, p in unassigned.items() if name not in selected}
    return assignments


def _all_options(spec: OptimizerSpec) -> set[str] | None:
    """What a rule may set: the options of all optimizers; None if one accepts any option."""
    options: set[str] = set()
    for part in spec.chain:
        names = argument_names(part.target)
        if names is None:
            return None
        options.update(names[1:])
    return options


def _scaled(lr: float | None, factor: float) -> float | None:
    # A string is refused with an explanation later, by torch.
    return lr * factor if isinstance(lr, (int, float)) else None


def sparse_parameter_names(module: nn.Module) -> set[str]:
    """The names of the parameters with sparse gradients: of embeddings with ``sparse=True``."""
    return {
        f"{name}.weight" if name else "weight"
        for name, child in module.named_modules()
        if isinstance(child, (nn.Embedding, nn.EmbeddingBag)) and child.sparse
    }


class CompositeOptimizer(Optimizer):
    """Several optimizers, each over its own parameters, that step as one.

    Lightning, learning-rate schedules, clipping and checkpoints see one ordinary optimizer: its
    ``param_groups`` are the parts' own dictionaries and its ``state`` is shared by all parts, so
    that torch's ``state_dict`` and ``load_state_dict`` work unchanged. Returning two optimizers to
    Lightning would mean manual optimization instead.

    Args:
        optimizers: the parts, over disjoint parameters. ``defaults`` are the first one's.

    Raises:
        ValueError: a part evaluates the model several times per step, or there are fewer than two.
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
        self._owners: list[int] = []  # for each group the position of its part
        super().__init__([group for part in optimizers for group in part.param_groups], {})
        self.defaults = dict(optimizers[0].defaults)
        self._share()

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Adopt a group that was added to one of the parts.

        It comes last, whichever part it belongs to, so that earlier groups keep their positions in
        schedules and checkpoints.

        Raises:
            ValueError: no part has the group, or another group has some of its parameters.
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
        # torch's own method would write the first part's defaults into the groups of all parts.
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
        """Load as any optimizer does, then give the new groups and state to the parts."""
        super().load_state_dict(state_dict)
        self._share()

    def _share(self) -> None:
        for index, part in enumerate(self.optimizers):
            owned = zip(self.param_groups, self._owners, strict=True)
            part.param_groups = [group for group, owner in owned if owner == index]
            part.state = self.state


def parts_of(optimizer: Optimizer) -> tuple[Optimizer, ...]:
    """The parts of a composite, which any optimizer with ``optimizers`` is, else itself."""
    parts = getattr(optimizer, "optimizers", ())
    return tuple(inner for part in parts for inner in parts_of(part)) or (optimizer,)


def class_names(*optimizers: Optimizer) -> str:
    """The classes of optimizers, and of a composite's parts: "Muon and AdamW"."""
    parts = (part for optimizer in optimizers for part in parts_of(optimizer))
    return " and ".join(type(part).__name__ for part in parts)
