"""One rule of :mod:`stepsize.optim.param_groups`: read, checked, turned into groups."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

DEFAULT_GROUP = "default"
RULE_KEYS = ("match", "ndim", "lr_scale", "lr_decay", "freeze")
_TORCHS_OWN_KEYS = ("params", "param_names", "name")

NamedParameter = tuple[str, nn.Parameter]


@dataclass(frozen=True, eq=False)
class ParamGroup:
    """A named set of parameters and the options that its rule set for them.

    Attributes:
        name: the rule's name, ``<rule>/<captured value>``, or ``default``.
        parameters: (name, parameter) pairs in the model's order.
        options: the optimizer's own options, as the rule gave them; may hold an absolute lr.
        lr_scale: the rate relative to the optimizer's lr, for the caller to resolve.
        frozen: whether it takes no updates; the caller keeps it out of the optimizer.
    """

    name: str
    parameters: tuple[NamedParameter, ...] = field(repr=False)
    options: dict[str, Any] = field(default_factory=dict)
    lr_scale: float = 1.0
    frozen: bool = False


@dataclass(frozen=True)
class Selector:
    """Which parameters a rule selects: by name, by number of dimensions, or by both."""

    match: re.Pattern[str] | None
    ndim: frozenset[int] | None

    @classmethod
    def from_config(cls, where: str, config: Mapping[str, Any]) -> Selector:
        """Read the keys ``match`` and ``ndim``; ``where`` begins the error messages.

        Raises:
            ValueError: both keys are missing, or one of them is not what it should be.
        """
        match, ndim = config.get("match"), config.get("ndim")
        if match is None and ndim is None:
            raise ValueError(
                f"{where}: nothing says what it takes; give match (a regular expression on the "
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
        """Return what the expression captured, without blanks; None where it does not apply."""
        if self.ndim is not None and parameter.ndim not in self.ndim:
            return None
        if self.match is None:
            return ()
        found = self.match.search(name)
        return None if found is None else tuple(value for value in found.groups() if value)


@dataclass(frozen=True)
class Rule:
    """A rule that was checked, as far as that goes without a model."""

    name: str
    selector: Selector
    options: dict[str, Any]
    lr_scale: float
    lr_decay: float
    frozen: bool

    @classmethod
    def from_config(cls, name: str, config: Any, allowed: Collection[str] | None) -> Rule:
        """Read the rule of the group ``name``; ``allowed`` are the optimizer's options, if known.

        Raises:
            ValueError: a key or a value that a rule cannot have.
        """
        where = f"param_groups.{name}"
        if name == DEFAULT_GROUP:
            raise ValueError(f"{where}: {name!r} is what no rule takes; choose another name")
        if not isinstance(config, Mapping):
            raise ValueError(f"{where}: {config!r} is no rule; write {{match: fc, lr: 0.1}}")
        # On the command line, lr=null lr_scale=10 turns a file's rule into another.
        keys = {k: v for k, v in config.items() if v is not None or k not in (*RULE_KEYS, "lr")}
        selector = Selector.from_config(where, keys)
        options = {key: value for key, value in keys.items() if key not in RULE_KEYS}
        _check_options(where, options, allowed)
        rates = {
            key: _positive(where, key, keys[key])
            for key in ("lr", "lr_scale", "lr_decay")
            if key in keys
        }
        if "lr" in rates and len(rates) > 1:
            raise ValueError(
                f"{where}: lr is absolute, {' and '.join([*rates][1:])} relative to optimizer.lr; "
                "give one or the other"
            )
        if "lr_decay" in rates and not (selector.match and selector.match.groups):
            raise ValueError(
                f"{where}: lr_decay needs a match that captures the layers, "
                r"as '^net\.(\w+)\.' does: it is the factor from one to the one before, "
                "and never an option of the optimizer"
            )
        frozen = keys.get("freeze", False)
        if not isinstance(frozen, bool):
            raise ValueError(f"{where}: freeze must be true or false, not {frozen!r}")
        idle = [key for key in keys if key not in ("match", "ndim", "freeze")]
        if frozen and idle:
            raise ValueError(f"{where}: freeze: true leaves {', '.join(idle)} without effect")
        options |= {"lr": rates["lr"]} if "lr" in rates else {}
        scale, decay = rates.get("lr_scale", 1.0), rates.get("lr_decay", 1.0)
        return cls(name, selector, options, scale, decay, frozen)

    def groups(self, share: Mapping[tuple[str, ...], list[NamedParameter]]) -> list[ParamGroup]:
        """One group per captured value, the last one at the full rate."""
        return [
            ParamGroup(
                name=f"{self.name}/{'.'.join(captured)}" if captured else self.name,
                parameters=tuple(pairs),
                options=dict(self.options),
                lr_scale=self.lr_scale * self.lr_decay ** (len(share) - 1 - index),
                frozen=self.frozen,
            )
            for index, (captured, pairs) in enumerate(share.items())
        ]


def _check_options(where: str, given: Iterable[str], allowed: Collection[str] | None) -> None:
    for key in given:
        if key in _TORCHS_OWN_KEYS or (allowed is not None and key not in allowed):
            own = sorted(allowed or ())
            close = difflib.get_close_matches(str(key), [*RULE_KEYS, *own])
            hint = f" (did you mean {' or '.join(close)}?)" if close else ""
            raise ValueError(
                f"{where}: unknown option {key!r}{hint}; allowed are {', '.join(RULE_KEYS)} "
                f"and the optimizer's own {', '.join(own) or 'options'}"
            )


def _positive(where: str, key: str, value: Any) -> float:
    if type(value) not in (int, float) or not (math.isfinite(value) and value > 0):
        hint = "; for no updates write freeze: true" if value == 0 else ""
        raise ValueError(f"{where}: {key} must be a positive number, not {value!r}{hint}")
    return float(value)
