r"""Parameter groups: ordered rules that give some parameters options of their own.

A rule is keyed by the name of its group. ``match`` (a regular expression, searched in the
parameter's full name) and ``ndim`` (its number of dimensions) select parameters. A parameter
belongs to the first rule that selects it; parameters that no rule selects form the group
``default``::

    head:     {match: '^net\.fc\.', lr: 1e-2}
    no_decay: {ndim: [0, 1], weight_decay: 0.0}

All other keys are options of the optimizer, except three: ``lr_scale`` is a learning rate relative
to the optimizer's, ``freeze: true`` excludes the group from training, and ``lr_decay`` needs an
expression with a capturing group. Such a rule makes one parameter group for each captured value,
and ``lr_decay`` multiplies their learning rates from the last one backwards::

    layers: {match: '^net\.(\w+)\.', lr_decay: 0.8}     # layers/fc x1, layers/layer4 x0.8 ...

Groups come in the order of the rules, captured values in the model's order, and ``default`` last.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

NamedParameter = tuple[str, nn.Parameter]

DEFAULT_GROUP = "default"
RULE_KEYS = ("match", "ndim", "lr_scale", "lr_decay", "freeze")
_TORCH_KEYS = ("params", "param_names", "name")
_NAMES_SHOWN = 12


def group_parameters(
    named_parameters: Iterable[NamedParameter],
    rules: Mapping[str, Mapping[str, Any] | None] | None,
    *,
    options: Collection[str] | None = None,
) -> list[ParamGroup]:
    """Put every trainable parameter into exactly one named group.

    Args:
        named_parameters: ``module.named_parameters()``; those that need no gradient are skipped.
        rules: ordered rules by group name, as plain containers; the module's docstring has the
            grammar. A rule of None is switched off; so is a key of a rule, if it is one of the
            rule's own or lr.
        options: the options that the optimizer accepts per group; None: any.

    Returns:
        The groups, none of them empty: in the order of the rules, ``default`` last.

    Raises:
        ValueError: a rule is malformed, selects nothing, or has an option that the optimizer lacks;
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

    # For each rule the selected parameters, by what its expression captured.
    selected: list[dict[tuple[str, ...], list[NamedParameter]]] = [{} for _ in parsed]
    default: list[NamedParameter] = []
    rule_of: dict[str, str] = {}
    for name, parameter in _trainable(everything):
        for rule, parameters in zip(parsed, selected, strict=True):
            captured = rule.selector.select(name, parameter)
            if captured is not None:
                parameters.setdefault(captured, []).append((name, parameter))
                rule_of[name] = rule.name
                break
        else:
            default.append((name, parameter))

    groups: dict[str, ParamGroup] = {}
    for rule, parameters in zip(parsed, selected, strict=True):
        if not parameters:
            reason = _why_empty(rule.selector, everything, rule_of)
            raise ValueError(f"param_groups.{rule.name}: {reason}")
        for group in rule.groups(parameters):
            if group.name in groups:
                raise ValueError(
                    f"param_groups.{rule.name}: a second group would be called {group.name!r}; "
                    "rename a rule, or capture something that differs"
                )
            groups[group.name] = group
    return [*groups.values(), *([ParamGroup(DEFAULT_GROUP, tuple(default))] if default else [])]


@dataclass(frozen=True, eq=False)
class ParamGroup:
    """A named set of parameters and the options that its rule sets for them.

    Attributes:
        name: the rule's name, ``<rule>/<captured value>``, or ``default``.
        parameters: (name, parameter) pairs in the model's order.
        options: the optimizer's own options, as the rule gives them; may hold an absolute lr.
        lr_scale: the learning rate relative to the optimizer's lr, which the caller multiplies.
        frozen: whether it is not trained; the caller keeps it out of the optimizer.
    """

    name: str
    parameters: tuple[NamedParameter, ...] = field(repr=False)
    options: dict[str, Any] = field(default_factory=dict)
    lr_scale: float = 1.0
    frozen: bool = False


@dataclass(frozen=True)
class Selector:
    """Selects parameters by name, by number of dimensions, or by both."""

    match: re.Pattern[str] | None
    ndim: frozenset[int] | None

    @classmethod
    def from_config(cls, where: str, config: Mapping[str, Any]) -> Selector:
        """Parse the keys ``match`` and ``ndim``; ``where`` begins the error messages.

        Raises:
            ValueError: both keys are missing, or one of them has an invalid value.
        """
        match, ndim = config.get("match"), config.get("ndim")
        if match is None and ndim is None:
            raise ValueError(
                f"{where}: selects no parameters; give match (a regular expression on the "
                "parameter's name), ndim (its number of dimensions), or both"
            )
        dims = ndim if isinstance(ndim, list | tuple) else [0 if ndim is None else ndim]
        if not dims or any(type(dim) is not int or dim < 0 for dim in dims):
            raise ValueError(f"{where}: ndim must be an integer >= 0 or a list, not {ndim!r}")
        if not isinstance(match, str | None):
            raise ValueError(f"{where}: match must be text (a regular expression), not {match!r}")
        try:
            pattern = None if match is None else re.compile(match)
        except re.error as error:
            raise ValueError(f"{where}: bad expression {match!r}: {error}") from None
        return cls(pattern, None if ndim is None else frozenset(dims))

    def select(self, name: str, parameter: nn.Parameter) -> tuple[str, ...] | None:
        """The values that the expression captured, empty ones skipped; None if not selected."""
        if self.ndim is not None and parameter.ndim not in self.ndim:
            return None
        if self.match is None:
            return ()
        found = self.match.search(name)
        return None if found is None else tuple(value for value in found.groups() if value)


@dataclass(frozen=True)
class Rule:
    """A parsed rule, checked as far as that is possible without a model."""

    name: str
    selector: Selector
    options: dict[str, Any]
    lr_scale: float
    lr_decay: float
    frozen: bool

    @classmethod
    def from_config(cls, name: str, config: Any, allowed: Collection[str] | None) -> Rule:
        """Parse the rule of the group ``name``; ``allowed`` are the optimizer's options, if known.

        Raises:
            ValueError: a key or a value that a rule cannot have.
        """
        where = f"param_groups.{name}"
        if name == DEFAULT_GROUP:
            raise ValueError(
                f"{where}: {name!r} is the group of parameters that no rule selects; choose "
                "another name"
            )
        if not isinstance(config, Mapping):
            raise ValueError(f"{where}: {config!r} is no rule; write {{match: fc, lr: 0.1}}")
        # On the command line, lr=null lr_scale=10 turns an absolute lr into a relative one.
        keys = {k: v for k, v in config.items() if v is not None or k not in (*RULE_KEYS, "lr")}
        selector = Selector.from_config(where, keys)
        options = {key: value for key, value in keys.items() if key not in RULE_KEYS}
        _check_options(where, options, allowed)
        lrs = {
            key: _positive(where, key, keys[key])
            for key in ("lr", "lr_scale", "lr_decay")
            if key in keys
        }
        if "lr" in lrs and len(lrs) > 1:
            raise ValueError(
                f"{where}: lr is absolute, {' and '.join([*lrs][1:])} relative to optimizer.lr; "
                "give one or the other"
            )
        if "lr_decay" in lrs and not (selector.match and selector.match.groups):
            raise ValueError(
                f"{where}: lr_decay needs a match that captures the layers, "
                r"as '^net\.(\w+)\.' does: it is the factor from one to the one before, "
                "and never an option of the optimizer"
            )
        frozen = keys.get("freeze", False)
        if not isinstance(frozen, bool):
            raise ValueError(f"{where}: freeze must be true or false, not {frozen!r}")
        ineffective = [key for key in keys if key not in ("match", "ndim", "freeze")]
        if frozen and ineffective:
            raise ValueError(
                f"{where}: freeze: true leaves {', '.join(ineffective)} without effect"
            )
        options |= {"lr": lrs["lr"]} if "lr" in lrs else {}
        scale, decay = lrs.get("lr_scale", 1.0), lrs.get("lr_decay", 1.0)
        return cls(name, selector, options, scale, decay, frozen)

    def groups(self, selected: Mapping[tuple[str, ...], list[NamedParameter]]) -> list[ParamGroup]:
        """One group for each captured value; ``lr_decay`` does not scale the last one."""
        return [
            ParamGroup(
                name=f"{self.name}/{'.'.join(captured)}" if captured else self.name,
                parameters=tuple(parameters),
                options=dict(self.options),
                lr_scale=self.lr_scale * self.lr_decay ** (len(selected) - 1 - index),
                frozen=self.frozen,
            )
            for index, (captured, parameters) in enumerate(selected.items())
        ]


def _check_options(where: str, given: Iterable[str], allowed: Collection[str] | None) -> None:
    for key in given:
        if key in _TORCH_KEYS or (allowed is not None and key not in allowed):
            own = sorted(allowed or ())
            close = difflib.get_close_matches(str(key), [*RULE_KEYS, *own])
            hint = f" (did you mean {' or '.join(close)}?)" if close else ""
            raise ValueError(
                f"{where}: unknown option {key!r}{hint}; allowed are {', '.join(RULE_KEYS)} "
                f"and the optimizer's own {', '.join(own) or 'options'}"
            )


def _positive(where: str, key: str, value: Any) -> float:
    if type(value) not in (int, float) or not (math.isfinite(value) and value > 0):
        hint = "; to train nothing write freeze: true" if value == 0 else ""
        raise ValueError(f"{where}: {key} must be a positive number, not {value!r}{hint}")
    return float(value)


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
    selector: Selector, everything: list[NamedParameter], rule_of: Mapping[str, str]
) -> str:
    """Why a rule selects no parameter: it matches none, frozen ones, or an earlier rule's."""
    matched = [pair for pair in everything if selector.select(*pair) is not None]
    owned = [pair for pair in matched if pair[1].requires_grad]
    if owned:
        earlier = " and ".join(dict.fromkeys(repr(rule_of[name]) for name, _ in owned))
        return (
            f"all that it matches belongs to the earlier {earlier}, because the first match wins; "
            f"narrow that or put this rule before it. It matches {_listing(owned)}"
        )
    if matched:
        return f"matches only parameters that require no gradient: {_listing(matched)}"
    trainable = [pair for pair in everything if pair[1].requires_grad]
    listing = _listing(trainable, with_ndim=selector.ndim is not None)
    return f"matches none of the {len(trainable)} trainable parameters: {listing}"


def _listing(pairs: list[NamedParameter], *, with_ndim: bool = False) -> str:
    """The parameters' names, shortened in the middle."""
    shown = [f"{name} ({p.ndim}-D)" if with_ndim else name for name, p in pairs]
    if len(shown) > _NAMES_SHOWN:
        half = _NAMES_SHOWN // 2
        shown[half:-half] = [f"... and {len(shown) - 2 * half} more ..."]
    return ", ".join(shown)
