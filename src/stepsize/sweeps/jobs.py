"""The jobs of a sweep: their overrides, their folder names and their configurations.

A job's *shape* is what decides which files and keys its configuration has: the chosen files and
the keys that are overridden. Jobs of one shape differ in values only.
"""

from __future__ import annotations

import copy
import functools
import hashlib
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from stepsize.config.resolve import plain
from stepsize.config.schema import RECIPE_GROUPS

# Where and how a sweep runs, and what it draws.
NOT_IN_NAMES = ("name", "sweep", "overwrite", "fail_fast", "plots", "allowed_packages")
# TensorBoard's list of runs shows 24 characters of a name: what a sweep usually varies comes first,
# and what its runs usually share comes after the seed.
_FIRST = ("optimizer", "param_groups", "scheduler", "model", "data")
_LAST = (
    "task", "trainer", "callbacks", "logger", "monitor", "mode", "target", "resume",
    "ckpt_path",
)  # fmt: skip
_LONGEST = 200  # bytes; file systems allow 255, and some tools append a suffix
_UNSAFE = re.compile(r"[^\w.,=+()\[\]@-]+")

# For each loader, by shape: the overrides of the first job of this shape, and its configuration.
# The sweeper and the launcher of a command share the loader and compose the same jobs.
_Composed = dict[tuple[str, ...], tuple[tuple[str, ...], DictConfig]]
_COMPOSED: WeakKeyDictionary[ConfigLoader, _Composed] = WeakKeyDictionary()


@dataclass(frozen=True)
class Job:
    """One planned run of a sweep, as ``sweep.json`` lists it.

    Attributes:
        run: the name of its folder.
        overrides: all overrides of its configuration.
        stage: ``compare``; in a sweep of two stages ``tune`` or ``test``.
        task: the chosen file; likewise ``optimizer``, ``scheduler`` and ``param_groups``.
        seed: of the run.
        lr: the configured learning rate; None where the optimizer's file has none.
    """

    run: str
    overrides: tuple[str, ...]
    stage: str
    task: str
    optimizer: str
    scheduler: str
    param_groups: str
    seed: Any
    lr: Any

    @classmethod
    def planned(cls, entry: Mapping[str, Any]) -> Job:
        """The job of an entry of ``sweep.json``."""
        return cls(**{**entry, "overrides": tuple(entry["overrides"])})

    def setting(self) -> tuple[str, ...]:
        """The hyperparameter setting: all overrides but the seed."""
        return tuple(each for each in self.overrides if canonical(each)[0] != "seed")

    def value(self, key: str) -> str | None:
        """The value that an override gives to ``key``; None where none does."""
        return dict(map(canonical, self.overrides)).get(key)


def combinations(overrides: Sequence[str], loader: ConfigLoader) -> list[list[str]]:
    """Every combination of the values that the overrides list, in Hydra's order.

    Args:
        overrides: those with several values (``a,b``, ``range(3)``, ``glob(*)``) are swept; a later
            override replaces an earlier one of the same key.
        loader: finds the files that a glob matches.

    Raises:
        hydra.errors.HydraException: an override cannot be swept.
    """
    parsed = OverridesParser.create(config_loader=loader).parse_overrides(list(overrides))
    (batch,) = BasicSweeper.split_arguments(parsed, None)
    return batch


def refuse_repeated(overrides: Sequence[str]) -> None:
    """Refuse a key that is swept and given a second time: one of both would be ignored.

    Args:
        overrides: of the command line.

    Raises:
        ValueError: names the key and its values.
    """
    by_key: dict[str, list[Override]] = {}
    for override in map(_parsed, overrides):
        by_key.setdefault(override.get_key_element().lstrip("+~"), []).append(override)
    for key, given in by_key.items():
        if len(given) > 1 and any(override.is_sweep_override() for override in given):
            lines = " and ".join(str(override.input_line) for override in given)
            raise ValueError(f"{key} is given more than once: {lines}; give all values at once")


def run_name(overrides: Iterable[str]) -> str:
    """The folder name of a run, made from its overrides.

    Args:
        overrides: such as ``["seed=3", "optimizer=adam", "optimizer.lr=1e-2"]``.

    Returns:
        ``"optimizer=adam,optimizer.lr=0.01,seed=3"``: the same name for every order of the
        overrides and every notation of a number, at most 200 bytes. Where characters had to be
        replaced or the end had to be cut off, the name ends with a digest of all overrides.
    """
    pairs = [(key, value) for key, value in map(canonical, overrides) if key not in NOT_IN_NAMES]
    pairs.sort(key=lambda pair: (_position(pair[0]), pair))
    whole = ",".join(f"{key}={value}" for key, value in pairs) or "default"
    safe = _UNSAFE.sub("_", whole).encode("ascii", "replace").decode().replace("?", "_")
    if safe == whole and len(safe) <= _LONGEST:
        return safe
    digest = hashlib.sha256(whole.encode()).hexdigest()[:8]
    return f"{safe[: _LONGEST - 9]}-{digest}"


def _position(key: str) -> int:
    """First the groups of ``_FIRST``, then other keys, the seed, and the groups of ``_LAST``."""
    if key == "seed":
        return len(_FIRST) + 1
    group = re.split(r"[./@]", key)[0]
    if group in _LAST:
        return len(_FIRST) + 2 + _LAST.index(group)
    return _FIRST.index(group) if group in _FIRST else len(_FIRST)


def trial_name(overrides: Iterable[str], folder: Path, *, in_sweep: bool) -> str:
    """The name of a run's row in TensorBoard's HPARAMS, which begins with what differs.

    The seeds of a hyperparameter setting share the row of their sweep; a run by itself has its own.

    Args:
        overrides: of the run.
        folder: the run's.
        in_sweep: whether it belongs to a sweep.
    """
    if not in_sweep:
        return f"{run_name(overrides)} ({folder.name})"
    without = [override for override in overrides if canonical(override)[0] != "seed"]
    return f"{run_name(without)} ({folder.resolve().parent.name})"


@functools.lru_cache(maxsize=10_000)  # the jobs of a sweep share most of their overrides
def canonical(override: str) -> tuple[str, str]:
    """Key and value of an override: ``1e-2`` and ``0.01`` are one value, ``+k`` and ``k`` one key.

    Raises:
        hydra.errors.OverrideParseException: this is not an override.
    """
    parsed = _parsed(override)
    key = parsed.key_or_group if parsed.package is None else parsed.get_key_element()
    value = "null" if parsed.is_delete() else parsed.get_value_element_as_str()
    if isinstance(parsed.value(), float):
        value = _spelled(value)
    return key.lstrip("+~"), value.lower() if value in ("True", "False") else value


def _spelled(number: str) -> str:
    """A number of floating point without a fraction as a whole one: 1000 for 1e3 and 1000.0."""
    whole = float(number).is_integer() and abs(float(number)) < 1e15
    return f"{float(number):.0f}" if whole else number


@functools.lru_cache(maxsize=10_000)
def _parsed(override: str) -> Override:
    return OverridesParser.create().parse_override(override)


class Composer:
    """Composes the configurations of a sweep's jobs: with Hydra once for each shape.

    Hydra takes a tenth of a second for each configuration.

    Args:
        config: the sweep's own configuration, with Hydra's part.
        loader: Hydra's.
    """

    def __init__(self, config: DictConfig, loader: ConfigLoader) -> None:
        self._config = config
        self._loader = loader
        self._composed = _COMPOSED.setdefault(loader, {})
        self._plain: dict[tuple[str, ...], dict[str, Any]] = {}
        self._groups: dict[str, bool] = {}

    def job(self, overrides: Iterable[str], stage: str = "compare") -> Job:
        """The job that these overrides make.

        Raises:
            hydra.errors.ConfigCompositionException: an override does not suit the configuration.
        """
        overrides = tuple(overrides)
        config = self.config(overrides)
        choices = self.composed(overrides).hydra.runtime.choices
        return Job(
            run=run_name(overrides),
            overrides=overrides,
            stage=stage,
            **{group: str(choices.get(group)) for group in RECIPE_GROUPS},
            seed=config.get("seed"),
            lr=(config.get("optimizer") or {}).get("lr"),
        )

    def config(self, overrides: Sequence[str]) -> dict[str, Any]:
        """The job's configuration as plain containers, interpolations unresolved."""
        shape, values = self._split(overrides)
        if any(isinstance(value, (dict, list)) for value in values.values()):
            return _plain(self._load(overrides))  # how containers are merged is Hydra's decision
        if shape not in self._plain:
            self._plain[shape] = _plain(self.composed(overrides))
        config = copy.deepcopy(self._plain[shape])
        for key, value in values.items():
            *path, last = key.split(".")
            node: Any = config
            for step in path:
                node = node[int(step) if isinstance(node, list) else step]
            node[int(last) if isinstance(node, list) else last] = value
        return config

    def composed(self, overrides: Sequence[str]) -> DictConfig:
        """A configuration of the job's shape, with Hydra's part; its values may differ."""
        shape, _ = self._split(overrides)
        if shape not in self._composed:
            self._composed[shape] = tuple(overrides), self._load(overrides)
        return self._composed[shape][1]

    def _load(self, overrides: Sequence[str]) -> DictConfig:
        return self._loader.load_sweep_config(self._config, list(overrides))

    def _split(self, overrides: Sequence[str]) -> tuple[tuple[str, ...], dict[str, Any]]:
        """The job's shape, and the values that fill it, by key."""
        shape, values = [], {}
        for override in map(_parsed, overrides):
            if self._sets_value(override):
                values[override.key_or_group] = override.value()
                shape.append(override.key_or_group)
            else:
                shape.append(str(override.input_line))
        return tuple(sorted(shape)), values

    def _sets_value(self, override: Override) -> bool:
        """Whether it sets the value of an existing key: it adds none and chooses no file."""
        changes = override.is_add() or override.is_delete() or override.is_force_add()
        if changes or override.package is not None:
            return False
        key = override.key_or_group
        if key not in self._groups:
            self._groups[key] = bool(self._loader.get_group_options(key))
        return not self._groups[key]


def _plain(config: DictConfig) -> dict[str, Any]:
    container = plain(config, resolve=False)
    container.pop("hydra", None)
    return container


# The resolvers of conf/train.yaml: ${run_name:...}, ${or_else:...} and ${random_hex:...}.
OmegaConf.register_new_resolver("run_name", run_name, replace=True)
OmegaConf.register_new_resolver(
    "or_else", lambda value, other: other if value is None else value, replace=True
)
# Distinguishes the folders of two sweeps that begin in the same second.
OmegaConf.register_new_resolver(
    "random_hex", lambda digits: secrets.token_hex(4)[:digits], use_cache=True, replace=True
)
