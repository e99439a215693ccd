"""The jobs of a sweep: which words make each, and what configuration they stand for."""

from __future__ import annotations

import copy
import functools
import hashlib
import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from weakref import WeakKeyDictionary

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

GROUPS = ("task", "optimizer", "scheduler", "param_groups")


@dataclass(frozen=True)
class Job:
    """One run that a sweep is to have.

    Attributes:
        run: its folder's name.
        overrides: the words that make it.
        stage: ``compare``; in a sweep of two stages ``tune`` and ``test``.
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

    def entry(self) -> dict[str, Any]:
        """As it stands in ``sweep.json``."""
        return {**asdict(self), "overrides": list(self.overrides)}

    def setting(self, without: str = "seed") -> tuple[str, ...]:
        """Its words but those of ``without``: what the runs of several seeds have in common."""
        return tuple(word for word in self.overrides if canonical(word)[0] != without)


def combinations(words: Sequence[str], loader: ConfigLoader) -> list[list[str]]:
    """Every combination of the values that the words list, in Hydra's order.

    Args:
        words: overrides, of which those with several values (``a,b``, ``range(3)``, ``glob(*)``)
            are swept; a later word replaces an earlier one of the same key.
        loader: knows the files that a glob stands for.

    Raises:
        hydra.errors.HydraException: a word cannot be swept.
    """
    overrides = OverridesParser.create(config_loader=loader).parse_overrides(list(words))
    (everything,) = BasicSweeper.split_arguments(overrides, None)
    return everything


# By the loader, and by the shape: for which words, and what. A command's sweeper and launcher have
# the same loader and one configuration, and ask for the same jobs.
_Known = dict[tuple[str, ...], tuple[tuple[str, ...], DictConfig]]
_COMPOSED: WeakKeyDictionary[ConfigLoader, _Known] = WeakKeyDictionary()


class Composer:
    """Composes the configurations of a sweep's jobs: once per choice of files, not once per job.

    Hydra takes a tenth of a second for each.

    Args:
        config: the sweep's own, with Hydra's part.
        loader: Hydra's.
    """

    def __init__(self, config: DictConfig, loader: ConfigLoader) -> None:
        self._config = config
        self._loader = loader
        self._composed = _COMPOSED.setdefault(loader, {})
        self._plain: dict[tuple[str, ...], dict[str, Any]] = {}
        self._groups: dict[str, bool] = {}

    def job(self, words: Iterable[str], stage: str = "compare") -> Job:
        """Settle what a run is called and what it is about.

        Raises:
            hydra.errors.ConfigCompositionException: the words do not fit the configuration.
        """
        overrides = tuple(words)
        config = self.config(overrides)
        choices = self.composed(overrides).hydra.runtime.choices
        optimizer = config.get("optimizer") or {}
        return Job(
            run=run_name(overrides),
            overrides=overrides,
            stage=stage,
            **{group: str(choices.get(group)) for group in GROUPS},
            seed=config.get("seed"),
            lr=optimizer.get("lr"),
        )

    def config(self, words: Sequence[str]) -> dict[str, Any]:
        """The job's configuration as plain containers, interpolations unresolved."""
        shape, values = self._split(words)
        if any(isinstance(value, (dict, list)) for value in values.values()):
            return _plain(self._load(words))  # merging them is Hydra's business
        if shape not in self._plain:
            self._plain[shape] = _plain(self.composed(words))
        config = copy.deepcopy(self._plain[shape])
        for key, value in values.items():
            *path, last = key.split(".")
            node: Any = config
            for step in path:
                node = node[int(step) if isinstance(node, list) else step]
            node[int(last) if isinstance(node, list) else last] = value
        return config

    def composed(self, words: Sequence[str]) -> DictConfig:
        """A configuration of the same files and keys, with Hydra's part; values may differ."""
        shape, _ = self._split(words)
        if shape not in self._composed:
            self._composed[shape] = tuple(words), self._load(words)
        return self._composed[shape][1]

    def _load(self, words: Sequence[str]) -> DictConfig:
        return self._loader.load_sweep_config(self._config, list(words))

    def _split(self, words: Sequence[str]) -> tuple[tuple[str, ...], dict[str, Any]]:
        """The words that decide the configuration's shape, and the values that only fill it."""
        shape, values = [], {}
        for override in map(_parsed, words):
            if self._is_value(override):
                values[override.key_or_group] = override.value()
                shape.append(override.key_or_group)
            else:
                shape.append(str(override.input_line))
        return tuple(sorted(shape)), values

    def _is_value(self, override: Override) -> bool:
        changes = override.is_add() or override.is_delete() or override.is_force_add()
        if changes or override.package is not None:
            return False
        key = override.key_or_group
        if key not in self._groups:
            self._groups[key] = bool(self._loader.get_group_options(key))
        return not self._groups[key]


@functools.lru_cache(maxsize=10_000)  # a sweep's jobs share most of their words
def _parsed(word: str) -> Override:
    return OverridesParser.create().parse_override(word)


def _plain(config: DictConfig) -> dict[str, Any]:
    container: dict[str, Any] = OmegaConf.to_container(config)  # type: ignore[assignment]
    container.pop("hydra", None)
    return container


# These say how a sweep is run and where it goes, not what a run is.
NOT_IN_NAMES = ("name", "sweep", "overwrite", "fail_fast")
_FIRST = ("task", "data", "model", "optimizer", "param_groups", "scheduler")
_LONGEST = 200  # bytes; file systems take 255, and some tools append an ending
_UNSAFE = re.compile(r"[^\w.,=+()\[\]@-]+")


def run_name(overrides: Iterable[str]) -> str:
    """The folder of a run, made from the words that make it this run.

    Args:
        overrides: ``["seed=3", "optimizer=adam", "optimizer.lr=1e-2"]``.

    Returns:
        ``"optimizer=adam,optimizer.lr=0.01,seed=3"``: one name for all orders and all spellings of
        a number, at most 200 bytes. Where characters had to be replaced, or the end cut off, a
        digest of the whole ends the name.
    """
    words = sorted(canonical(word) for word in overrides)
    kept = sorted((key, value) for key, value in words if key not in NOT_IN_NAMES)
    kept.sort(key=lambda entry: _rank(entry[0]))
    whole = ",".join(f"{key}={value}" for key, value in kept) or "default"
    safe = _UNSAFE.sub("_", whole).encode("ascii", "replace").decode().replace("?", "_")
    if safe == whole and len(safe) <= _LONGEST:
        return safe
    digest = hashlib.sha256(whole.encode()).hexdigest()[:8]
    return f"{safe[: _LONGEST - 9]}-{digest}"


@functools.lru_cache(maxsize=10_000)  # a sweep's jobs share most of their words
def canonical(word: str) -> tuple[str, str]:
    """Key and value of an override: ``1e-2`` and ``0.01`` are one value, ``+k`` and ``k`` one key.

    Raises:
        hydra.errors.OverrideParseException: the word is not an override.
    """
    override = OverridesParser.create().parse_override(word)
    key = override.key_or_group if override.package is None else override.get_key_element()
    value = "null" if override.is_delete() else override.get_value_element_as_str()
    return key.lstrip("+~"), value.lower() if value in ("True", "False") else value


def _rank(key: str) -> tuple[int, str]:
    first = key.split(".")[0]
    if key == "seed":
        return len(_FIRST) + 1, key
    return (_FIRST.index(first) if first in _FIRST else len(_FIRST)), key


def register_resolvers() -> None:
    """Make ``${run_name:...}``, ``${or_else:...}`` and ``${random_hex:...}`` known to OmegaConf."""
    OmegaConf.register_new_resolver("run_name", run_name, replace=True)
    OmegaConf.register_new_resolver(
        "or_else", lambda value, other: other if value is None else value, replace=True
    )
    # Two sweeps that begin in the same second would share a folder.
    OmegaConf.register_new_resolver(
        "random_hex", lambda digits: secrets.token_hex(4)[:digits], use_cache=True, replace=True
    )


register_resolvers()
