"""Hyperparameter settings and their short names, such as ``adam lr=0.01``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from stepsize.report.read import RunRow

# Overrides that name a run or say how it runs, not what it computes; and the task and the seed,
# which are compared separately.
_NO_HYPERPARAMETERS = (
    "task", "seed", "name", "sweep", "logger", "ckpt_path", "overwrite", "fail_fast", "hydra",
)  # fmt: skip
_RECIPE = ("optimizer", "scheduler", "param_groups")
_WITHOUT = {"scheduler": "no schedule", "param_groups": "no groups"}
_NONE = ("none", "None")
LR = "optimizer.lr"
DEFAULT = "default"


@dataclass(frozen=True)
class Setting:
    """A hyperparameter setting: all that varies between runs except the task and the seed.

    Attributes:
        method: the optimizer, schedule, parameter groups and other config files that vary.
        label: the method and the numbers that vary.
        values: ``(key, value)`` of everything that varies, sorted by key.
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
    """The hyperparameter setting of each run, named by what varies among all of them."""
    overrides = [_overrides(row) for row in rows]
    keys = {key for given in overrides for key in given} | set(_RECIPE)
    filled = [
        {key: _value(key, given, row) for key in keys}
        for given, row in zip(overrides, rows, strict=True)
    ]
    varied = sorted(key for key in keys if len({values[key] for values in filled}) > 1)
    short = _short_names(varied)
    return [
        _setting(row.optimizer, varied, values, short)
        for row, values in zip(rows, filled, strict=True)
    ]


def shown_number(text: str) -> str:
    """A number in its shortest form, so that 1e-3 is 0.001; any other text unchanged."""
    try:
        text = f"{float(text):.6g}"
    except ValueError:
        return text
    mantissa, exponent, power = text.partition("e")
    return f"{mantissa}e{int(power)}" if exponent else text


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
    found = {}
    for override in row.overrides:
        key, _, value = override.lstrip("+").partition("=")
        top = key.partition("/")[0].partition(".")[0]
        if key.startswith("~"):
            key, value = key.lstrip("~"), "removed"
        if top in _NO_HYPERPARAMETERS or key in _RECIPE or key.endswith("._target_"):
            continue
        found[key] = shown_number(value)
    return found


def _value(key: str, overrides: Mapping[str, str], row: RunRow) -> str:
    if key in _RECIPE:
        return str(getattr(row, key))
    if key == LR and row.lr is not None:
        return shown_number(str(row.lr))
    return overrides.get(key, DEFAULT)


def _short_names(keys: Sequence[str]) -> dict[str, str]:
    """The shortest end of each dotted key that no other key shares."""
    short = {}
    for key in keys:
        parts = key.split(".")
        for count in range(1, len(parts) + 1):
            name = ".".join(parts[-count:])
            if sum(other == name or other.endswith(f".{name}") for other in keys) == 1:
                break
        short[key] = name
    return short


def _setting(
    optimizer: str, varied: Sequence[str], values: Mapping[str, str], short: Mapping[str, str]
) -> Setting:
    chosen = [key for key in _RECIPE if key in varied and values[key] not in _NONE]
    files = [key for key in varied if key not in _RECIPE and _is_file(key, values[key])]
    names = [_class_name(values[key]) for key in chosen] + [f"{k}={values[k]}" for k in files]
    if not names:
        names = [_WITHOUT[key] for key in _RECIPE if key in varied and key in _WITHOUT]
    if not names:
        names = [_class_name(values[key]) for key in _RECIPE if values[key] not in _NONE]
    method = " ".join(names)
    numbers = [f"{short[key]}={values[key]}" for key in varied if key not in (*_RECIPE, *files)]
    label = " ".join([method, *numbers])
    return Setting(method, label, tuple((key, values[key]) for key in varied), optimizer)


def _class_name(name: str) -> str:
    """``NAdam`` of ``torch.optim.NAdam``."""
    return name.rpartition(".")[2]


def _is_file(key: str, value: str) -> bool:
    """Whether an override chooses a file of a config group, rather than sets a number."""
    try:
        float(value)
    except ValueError:
        return "." not in key
    return False
