"""The jobs of a sweep: which words make each, and what configuration they stand for."""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from weakref import WeakKeyDictionary

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from stepsize.sweeps.names import canonical, run_name

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
