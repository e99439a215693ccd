"""Short names of hyperparameter settings, from what varies: ``adam lr=0.01``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from stepsize.report.read import RunRow

# Keys that name a run or say where its files go, and do not change what it computes. The task and
# the seed do, but they are no part of a hyperparameter setting.
_NOT_A_SETTING = (
    "task", "seed", "name", "sweep", "logger", "ckpt_path", "overwrite", "fail_fast", "hydra",
)  # fmt: skip
_RECIPE = ("optimizer", "scheduler", "param_groups")
_WITHOUT = {"scheduler": "no schedule", "param_groups": "no groups"}
_NONE = ("none", "None")
LR = "optimizer.lr"


@dataclass(frozen=True)
class Setting:
    """A hyperparameter setting: all that a run computes with, except its task and its seed.

    Attributes:
        method: names of the optimizer, schedule, groups and other config files that vary.
        label: the method and the numbers that vary.
        values: ``(key, value)`` of everything that varies, sorted by key.
        optimizer: its name.
    """

    method: str
    label: str
    values: tuple[tuple[str, str], ...]
    optimizer: str

    def value(self, key: str) -> str | None:
        """The value of a key that varies, as it is shown; None for any other key."""
        return dict(self.values).get(key)

    def marked(self, mark: str) -> Setting:
        """The same setting with ``mark`` after its label, to distinguish it from its namesake."""
        values = (*self.values, ("", mark))
        return Setting(self.method, f"{self.label} {mark}", values, self.optimizer)


def name_settings(rows: Sequence[RunRow]) -> list[Setting]:
    """The hyperparameter setting of each run, named by what varies among all of them."""
    overrides = [overrides_of(row) for row in rows]
    keys = {key for each in overrides for key in each} | set(_RECIPE)
    filled = [
        {key: _filled(key, each, row) for key in keys}
        for each, row in zip(overrides, rows, strict=True)
    ]
    varied = sorted(key for key in keys if len({values[key] for values in filled}) > 1)
    short = _short_names(varied)
    return [
        _setting(row.optimizer, {key: values[key] for key in varied}, values, short)
        for row, values in zip(rows, filled, strict=True)
    ]


def shown_number(text: str) -> str:
    """A number in its shortest form (0.001 for 1e-3); any other text unchanged."""
    try:
        number = float(text)
    except ValueError:
        return text
    text = f"{number:.6g}"
    mantissa, exponent, power = text.partition("e")
    return f"{mantissa}e{int(power)}" if exponent else text


def grid_of(rows: Iterable[RunRow]) -> dict[str, list[str]]:
    """All values of each overridden key, in the order of their first appearance."""
    grid: dict[str, dict[str, None]] = {}
    for row in rows:
        given = {
            "task": row.task,
            **{key: getattr(row, key) for key in _RECIPE},
            **overrides_of(row),
        }
        if row.seed is not None:
            given["seed"] = str(row.seed)
        for key, value in given.items():
            grid.setdefault(key, {})[value] = None
    return {key: list(values) for key, values in grid.items()}


def varied_keys(rows: Sequence[RunRow]) -> list[str]:
    """The overridden keys whose values differ among runs, without the learning rate."""
    overrides = [overrides_of(row) for row in rows]
    keys = dict.fromkeys(key for each in overrides for key in each if key != LR)
    return [key for key in keys if len({each.get(key) for each in overrides}) > 1]


def overrides_of(row: RunRow) -> dict[str, str]:
    """The overrides of a run by key, without those that name it or choose its recipe."""
    found = {}
    for override in row.overrides:
        key, _, value = override.lstrip("+").partition("=")
        top = key.partition("/")[0].partition(".")[0]
        if key.startswith("~"):
            key, value = key.lstrip("~"), "removed"
        if top in _NOT_A_SETTING or key in _RECIPE or key.endswith("._target_"):
            continue
        found[key] = shown_number(value)
    return found


def _filled(key: str, overrides: Mapping[str, str], row: RunRow) -> str:
    if key in _RECIPE:
        return str(getattr(row, key))
    if key == LR and row.lr is not None:
        return shown_number(str(row.lr))
    return overrides.get(key, "default")


def _short_names(keys: Sequence[str]) -> dict[str, str]:
    """The shortest ending of each dotted key that no other key has."""
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
    optimizer: str, varied: Mapping[str, str], every: Mapping[str, str], short: Mapping[str, str]
) -> Setting:
    names = [_last(varied[key]) for key in _RECIPE if varied.get(key, "none") not in _NONE]
    files = [key for key in varied if key not in _RECIPE and _is_file(key, varied[key])]
    names += [f"{key}={varied[key]}" for key in files]
    if not names:
        named = [_WITHOUT[key] for key in _RECIPE if key in varied and key in _WITHOUT]
        names = named or [_last(every[key]) for key in _RECIPE if every[key] not in _NONE]
    method = " ".join(names)
    numbers = [f"{short[key]}={varied[key]}" for key in varied if key not in (*_RECIPE, *files)]
    return Setting(method, " ".join([method, *numbers]), tuple(varied.items()), optimizer)


def _last(name: str) -> str:
    """``NAdam`` of ``torch.optim.NAdam``."""
    return name.rpartition(".")[2]


def _is_file(key: str, value: str) -> bool:
    """Whether an override chooses a file of a config group, not a number."""
    try:
        float(value)
    except ValueError:
        return "." not in key
    return False
