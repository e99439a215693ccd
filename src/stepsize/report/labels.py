"""Hyperparameter settings and their short names, such as ``adam lr=0.01``."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from stepsize.report.read import RunRow

# Overrides that name a run or say how it runs, not what it computes; and the task and the seed,
# which are compared separately.
_NO_HYPERPARAMETERS = (
    "task", "seed", "name", "sweep", "logger", "plots", "ckpt_path", "overwrite", "fail_fast",
    "hydra",
)  # fmt: skip
_RECIPE = ("optimizer", "scheduler", "param_groups")
_WITHOUT = {"scheduler": "no schedule", "param_groups": "no groups"}
_NONE = ("none", "None")
LR = "optimizer.lr"
DEFAULT = "default"
_TARGET = "._target_"


@dataclass(frozen=True)
class Setting:
    """A hyperparameter setting: all that varies between runs except the task and the seed.

    Attributes:
        method: the optimizer, schedule, parameter groups and other files and classes that vary.
        label: the method and the numbers that vary; different for different settings.
        values: ``(key, value)`` of everything that varies, sorted by key; numbers in full.
        optimizer: name of the optimizer.
    """

    method: str
    label: str
    values: tuple[tuple[str, str], ...]
    optimizer: str

    def marked(self, mark: str) -> Setting:
        """The same setting with a mark that distinguishes it from one with the same label."""
        return replace(self, label=f"{self.label} {mark}", values=(*self.values, ("", mark)))


def name_settings(rows: Sequence[RunRow]) -> list[Setting]:
    """The hyperparameter setting of each run, named by what varies among all of them.

    Numbers and classes are shortened only as far as different settings keep different labels.
    """
    overrides = [_overrides(row) for row in rows]
    keys = {key for given in overrides for key in given} | set(_RECIPE)
    filled = [
        {key: _value(key, given, row) for key in keys}
        for given, row in zip(overrides, rows, strict=True)
    ]
    varied = sorted(key for key in keys if len({values[key] for values in filled}) > 1)
    names = _Names(varied, filled)
    return _distinct(
        [names.setting(row.optimizer, values) for row, values in zip(rows, filled, strict=True)]
    )


def shown_number(text: str) -> str:
    """A number with six significant digits, so that 1e-3 is 0.001; any other text unchanged."""
    return _number(text, ".6g")


def _number(text: str, digits: str = "") -> str:
    """A number in one spelling, by default in its shortest exact one; any other text unchanged."""
    try:
        number = float(text)
    except ValueError:
        return text
    whole = number.is_integer() and abs(number) < 2**53 and not digits
    mantissa, exponent, power = (f"{number:.0f}" if whole else f"{number:{digits}}").partition("e")
    return f"{mantissa}e{int(power)}" if exponent else mantissa


def grid_of(rows: Iterable[RunRow]) -> dict[str, list[str]]:
    """Every value of every overridden key, in the order of its first appearance."""
    grid: dict[str, dict[str, None]] = {}
    for row in rows:
        recipe = {key: getattr(row, key) for key in ("task", *_RECIPE)}
        seed = {} if row.seed is None else {"seed": str(row.seed)}
        for key, value in {**recipe, **_overrides(row), **seed}.items():
            grid.setdefault(key, {})[value] = None
    return {key: list(values) for key, values in grid.items()}


def varied_overrides(rows: Sequence[RunRow]) -> list[dict[str, str]]:
    """The overrides of each run whose values differ between runs, without the learning rate."""
    overrides = [_overrides(row) for row in rows]
    keys = dict.fromkeys(key for given in overrides for key in given if key != LR)
    varied = [key for key in keys if len({given.get(key) for given in overrides}) > 1]
    return [{key: given[key] for key in varied if key in given} for given in overrides]


def _overrides(row: RunRow) -> dict[str, str]:
    """A run's overrides of hyperparameters, without the choices of optimizer, schedule, groups."""
    pairs = []
    for override in row.overrides:
        key, _, value = override.lstrip("+").partition("=")
        pairs.append((key.lstrip("~"), "removed") if key.startswith("~") else (key, value))
    # Training from the weights of one checkpoint or of another are two computations; continuing a
    # run from its own checkpoint is the same one.
    fine_tuned = ("resume", "weights") in pairs
    ignored = {*_NO_HYPERPARAMETERS} - ({"ckpt_path"} if fine_tuned else set())
    return {
        key: _number(value)
        for key, value in pairs
        if key not in _RECIPE and key.partition("/")[0].partition(".")[0] not in ignored
    }


def _value(key: str, overrides: Mapping[str, str], row: RunRow) -> str:
    if key in _RECIPE:
        return str(getattr(row, key))
    if key == LR and row.lr is not None:
        return _number(str(row.lr))
    return overrides.get(key, DEFAULT)


class _Names:
    """Names of settings.

    Args:
        varied: the keys whose values differ, sorted.
        filled: the value of every key, for each run.
    """

    def __init__(self, varied: Sequence[str], filled: Sequence[Mapping[str, str]]) -> None:
        self._varied = varied
        self._short = _short_names(varied)
        self._choices = [
            key
            for key in varied
            if key not in _RECIPE and _is_choice(key, {values[key] for values in filled})
        ]
        self._shown = {
            key: _shown_values(key, {values[key] for values in filled})
            for key in {*varied, *_RECIPE}
        }

    def setting(self, optimizer: str, values: Mapping[str, str]) -> Setting:
        """The setting of a run with these values."""
        varied, shown = self._varied, {key: self._shown[key][values[key]] for key in self._shown}
        chosen = [key for key in _RECIPE if key in varied and values[key] not in _NONE]
        named = [shown[key] for key in chosen]
        named += [f"{self._short[k]}={shown[k]}" for k in self._choices if not _in_recipe(k)]
        if not named:
            named = [_WITHOUT[key] for key in _RECIPE if key in varied and key in _WITHOUT]
        if not named:
            named = [shown[key] for key in _RECIPE if values[key] not in _NONE]
        method = " ".join(named)
        others = [key for key in varied if key not in (*_RECIPE, *self._choices)]
        label = " ".join([method, *(f"{self._short[key]}={shown[key]}" for key in others)])
        return Setting(method, label, tuple((key, values[key]) for key in varied), optimizer)


def _shown_values(key: str, values: Collection[str]) -> dict[str, str]:
    """The text that labels have for each value of a key: short, but never one text for two."""
    is_class = key in _RECIPE or key.endswith(_TARGET)
    paths = [value for value in values if value.startswith("/")]
    folder = os.path.commonpath(map(os.path.dirname, paths)).rstrip("/") if paths else ""
    shorten = _class_name if is_class else shown_number
    short = {
        value: value.removeprefix(f"{folder}/") if value in paths else shorten(value)
        for value in values
    }
    texts = list(short.values())
    return {value: text if texts.count(text) == 1 else value for value, text in short.items()}


def _distinct(settings: Sequence[Setting]) -> list[Setting]:
    """The settings, where two that differ share a label with all of their values in it."""
    by_label: dict[str, set[Setting]] = defaultdict(set)
    for setting in settings:
        by_label[setting.label].add(setting)
    named = {}
    for label, several in by_label.items():
        common = set.intersection(*(set(setting.values) for setting in several))
        for setting in several:
            own = [f"{key}={value}" for key, value in setting.values if (key, value) not in common]
            whole = " ".join([label, *own])
            named[setting] = setting if len(several) == 1 else replace(setting, label=whole)
    return [named[setting] for setting in settings]


def _short_names(keys: Sequence[str]) -> dict[str, str]:
    """The shortest end of each dotted key that neither another key nor the seed shares."""
    paths = {key: key.removesuffix(_TARGET) if key != _TARGET else key for key in keys}
    taken = [*set(paths.values()), *_RECIPE, "task", "seed"]
    short = {}
    for key, path in paths.items():
        parts = path.split(".")
        others = [other for other in taken if other != path]
        for count in range(1, len(parts) + 1):
            name = ".".join(parts[-count:])
            if not any(other == name or other.endswith(f".{name}") for other in others):
                break
        short[key] = name
    return short


def _class_name(name: str) -> str:
    """``NAdam`` of ``torch.optim.NAdam``."""
    return name.rpartition(".")[2]


def _in_recipe(key: str) -> bool:
    """Whether the name of the optimizer, schedule or groups already shows this class."""
    return key in {f"{group}{_TARGET}" for group in _RECIPE}


def _is_choice(key: str, values: Iterable[str]) -> bool:
    """Whether a key chooses a file of a config group or a class, rather than sets a value."""
    given = {value for value in values if value != DEFAULT}
    return key.endswith(_TARGET) or ("." not in key and not any(map(_is_number, given)))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
