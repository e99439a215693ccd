r"""Parameter groups: ordered rules that give some parameters options of their own.

A rule is keyed by the name of its group. ``match`` (a regular expression, searched in the full
name) and ``ndim`` (the number of dimensions) say what it takes. The first rule that selects a
parameter takes it; what no rule takes forms the group ``default``::

    head:     {match: '^net\.fc\.', lr: 1e-2}
    no_decay: {ndim: [0, 1], weight_decay: 0.0}

The other keys are options of the optimizer, but for three: ``lr_scale`` is a rate relative to the
optimizer's, ``freeze: true`` means no updates, and ``lr_decay`` belongs to an expression that
captures. Such a rule makes one group per captured value, and ``lr_decay`` multiplies their rates
from the last one backwards::

    layers: {match: '^net\.(\w+)\.', lr_decay: 0.8}     # layers/fc x1, layers/layer4 x0.8 ...

Groups come in the order of the rules, captured values in the model's order, ``default`` last: a
table of them reads like the rules, with what is left over at the foot.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from stepsize.optim.rules import DEFAULT_GROUP, NamedParameter, ParamGroup, Rule, Selector

_NAMES_SHOWN = 12


def group_parameters(
    named_parameters: Iterable[NamedParameter],
    rules: Mapping[str, Mapping[str, Any] | None] | None,
    *,
    options: Collection[str] | None = None,
) -> list[ParamGroup]:
    """Put every trainable parameter into exactly one named group.

    Args:
        named_parameters: ``module.named_parameters()``; those that need no gradient are left out.
        rules: ordered rules by group name, as plain containers; the grammar is at the top of this
            module. A rule of None is switched off, and so is a rule's lr or key of ours.
        options: what the optimizer accepts per group; None accepts anything.

    Returns:
        The groups, none of them empty: in the order of the rules, ``default`` last.

    Raises:
        ValueError: a rule is malformed, takes nothing, or has an option that the optimizer lacks;
            two groups share a name; two names share a parameter; nothing requires a gradient.
    """
    if not isinstance(rules, Mapping | None):
        raise ValueError(f"param_groups: must map names of groups to rules, not {rules!r}")
    parsed = [
        Rule.from_config(str(name), rule, options)
        for name, rule in (rules or {}).items()
        if rule is not None
    ]
    everything = list(named_parameters)
    trainable = _trainable(everything)

    shares: list[dict[tuple[str, ...], list[NamedParameter]]] = [{} for _ in parsed]
    rest: list[NamedParameter] = []
    owners: dict[str, str] = {}
    for name, parameter in trainable:
        for rule, share in zip(parsed, shares, strict=True):
            captured = rule.selector.select(name, parameter)
            if captured is not None:
                share.setdefault(captured, []).append((name, parameter))
                owners[name] = rule.name
                break
        else:
            rest.append((name, parameter))

    groups: dict[str, ParamGroup] = {}
    for rule, share in zip(parsed, shares, strict=True):
        if not share:
            why = _why_empty(rule.selector, everything, owners)
            raise ValueError(f"param_groups.{rule.name}: {why}")
        for group in rule.groups(share):
            if group.name in groups:
                raise ValueError(
                    f"param_groups.{rule.name}: a second group would be called {group.name!r}; "
                    "rename a rule, or capture something that differs"
                )
            groups[group.name] = group
    return [*groups.values(), *([ParamGroup(DEFAULT_GROUP, tuple(rest))] if rest else [])]


def _trainable(everything: list[NamedParameter]) -> list[NamedParameter]:
    trainable = [pair for pair in everything if pair[1].requires_grad]
    if not trainable:
        raise ValueError(
            f"param_groups: nothing to train, the model has {len(everything)} parameters and none "
            "of them requires a gradient"
        )
    first_name: dict[int, str] = {}
    for name, parameter in trainable:
        other = first_name.setdefault(id(parameter), name)
        if other != name:
            raise ValueError(
                f"param_groups: {other!r} and {name!r} are one parameter; give a shared parameter "
                "once, as named_parameters() does by default"
            )
    return trainable


def _why_empty(
    selector: Selector, everything: list[NamedParameter], owners: Mapping[str, str]
) -> str:
    matched = [pair for pair in everything if selector.select(*pair) is not None]
    taken = [pair for pair in matched if pair[1].requires_grad]
    if taken:
        earlier = " and ".join(dict.fromkeys(repr(owners[name]) for name, _ in taken))
        return (
            f"the earlier {earlier} took all that it matches, as the first match wins; narrow that "
            f"or put this rule before it. It matches {_listing(taken)}"
        )
    if matched:
        return f"matches only parameters that require no gradient: {_listing(matched)}"
    trainable = [pair for pair in everything if pair[1].requires_grad]
    listing = _listing(trainable, with_ndim=selector.ndim is not None)
    return f"matches none of the {len(trainable)} trainable parameters: {listing}"


def _listing(pairs: list[NamedParameter], *, with_ndim: bool = False) -> str:
    """Names, shortened in the middle: a model's first and last layers tell the most."""
    shown = [f"{name} ({p.ndim}-D)" if with_ndim else name for name, p in pairs]
    if len(shown) > _NAMES_SHOWN:
        half = _NAMES_SHOWN // 2
        shown[half:-half] = [f"... and {len(shown) - 2 * half} more ..."]
    return ", ".join(shown)
