"""The configurations of a sweep's jobs, and the text of their ``.hydra`` files.

Hydra takes a tenth of a second to compose a job, and another to write its files: minutes for a
sweep that trains in seconds. Jobs of one shape differ in a few values. So each shape is composed,
resolved and written once, with marks where the values stand, and the jobs are filled in. Where that
would not give what Hydra gives, because a value is computed with, Hydra does it.
"""

from __future__ import annotations

import copy
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from stepsize.config.resolve import plain, resolved_config
from stepsize.config.schema import RECIPE_GROUPS
from stepsize.sweeps.jobs import Composer, run_name

log = logging.getLogger(__name__)

# Marks: nobody's values.
_MARK = "q7Zx"
_FOLDER, _DIRNAME = "q7Zxfx", "q7Zxdx"
# Words and paths that YAML leaves as they are, and takes for nothing but words.
_PLAIN = re.compile(r"[a-zA-Z_/][\w./+-]*[=/,][\w./=,+-]*")
_NUMBER = 987_654_321_012  # where Hydra takes a whole number only


class Templates(Composer):
    """Composes jobs, each shape once."""

    def __init__(self, config: DictConfig, loader: ConfigLoader) -> None:
        super().__init__(config, loader)
        self._templates: dict[tuple[str, ...], Composed | None] = {}
        self._scalars: dict[tuple[type, Any], str] = {}

    def complete(self, words: Sequence[str], number: int) -> Composed:
        """A job as Hydra's launcher and ``Run`` settle it.

        Args:
            words: its overrides.
            number: Hydra's ``job.num``.

        Raises:
            hydra.errors.HydraException: the words do not fit the configuration.
            ValueError: a value is missing.
        """
        shape, values = self._split(words)
        if shape not in self._templates:
            if shape not in self._composed or self._composed[shape][0] != tuple(words):
                self._composed[shape] = tuple(words), self._load(words)
            whole = self._whole(words, number, {})
            self._templates[shape] = template = self._template(words, number, values)
            if template is not None and self._filled(template, words, number, values) != whole:
                log.debug("composed one by one: jobs like %s", " ".join(words))
                self._templates[shape] = None
            return whole
        template = self._templates[shape]
        if template is None:
            return self._whole(words, number)
        return self._filled(template, words, number, values)

    def _whole(
        self, words: Sequence[str], number: int, marks: Mapping[str, str] | None = None
    ) -> Composed:
        """As Hydra composes it; with marks in place of some values."""
        cfg = self._load(words) if marks is None else copy.deepcopy(self.composed(words))
        hydra = HydraConfig.instance()
        before = hydra.cfg
        try:
            return self._settled(cfg, words, number, marks)
        finally:
            hydra.cfg = before

    def _settled(
        self,
        cfg: DictConfig,
        words: Sequence[str],
        number: int,
        marks: Mapping[str, str] | None,
    ) -> Composed:
        HydraConfig.instance().set_config(cfg)
        folder = Path(str(cfg.hydra.sweep.dir), str(cfg.hydra.sweep.subdir)).absolute()
        job, runtime = cfg.hydra.job, cfg.hydra.runtime
        with read_write(cfg.hydra), open_dict(cfg.hydra):
            cfg.hydra.output_subdir = ".hydra"
            job.id, job.num, runtime.output_dir = str(number), number, str(folder)
            if marks:
                job.id, job.num = str(_NUMBER), _NUMBER
                runtime.output_dir, job.override_dirname = _FOLDER, _DIRNAME
                cfg.hydra.overrides.task = [_word(index) for index in range(len(words))]
        for key, mark in (marks or {}).items():
            OmegaConf.update(cfg, key, mark)
        HydraConfig.instance().set_config(cfg)
        files = {
            "hydra": OmegaConf.to_yaml(HydraConfig.instance().cfg),
            "overrides": OmegaConf.to_yaml(cfg.hydra.overrides.task),
        }
        chosen = {group: str(runtime.choices.get(group)) for group in RECIPE_GROUPS}
        with read_write(cfg), open_dict(cfg):
            del cfg["hydra"]
        files["config"] = OmegaConf.to_yaml(cfg)
        unresolved = _container(cfg)
        config, choices = resolved_config(cfg, chosen, tuple(words))
        return Composed(number, tuple(words), folder, config, unresolved, choices, files)

    def _template(
        self, words: Sequence[str], number: int, values: Mapping[str, Any]
    ) -> Composed | None:
        if any(isinstance(value, (dict, list)) for value in values.values()):
            return None
        try:
            return self._whole(words, number, dict(zip(values, map(_value, count()), strict=False)))
        except Exception:
            log.debug("composed one by one: jobs like %s", " ".join(words), exc_info=True)
            return None

    def _filled(
        self, template: Composed, words: Sequence[str], number: int, values: Mapping[str, Any]
    ) -> Composed:
        folder = template.folder.parent / run_name(words)
        found: dict[str, Any] = {_value(i): value for i, value in enumerate(values.values())}
        found.update({_word(index): word for index, word in enumerate(words)})
        found[str(_NUMBER)] = number
        found[_FOLDER] = str(folder)
        found[_DIRNAME] = ",".join(sorted(words))
        files = dict(template.files)
        for mark, value in found.items():
            scalar = self._scalar(value)
            files = {name: text.replace(mark, scalar) for name, text in files.items()}
        return Composed(
            number,
            tuple(words),
            folder,
            _replaced(template.config, found),
            _replaced(template.unresolved, found),
            template.choices,
            files,
        )

    def _scalar(self, value: Any) -> str:
        """How a value stands in a YAML file."""
        if isinstance(value, str) and _PLAIN.fullmatch(value):
            return value
        key = (type(value), value)
        if key not in self._scalars:
            text = OmegaConf.to_yaml(OmegaConf.create([value]))
            self._scalars[key] = text.removeprefix("- ").removesuffix("\n")
        return self._scalars[key]


def _value(index: int) -> str:
    return f"q7Zxv{index}x"


def _word(index: int) -> str:
    return f"q7Zxw{index}x"


def _container(cfg: DictConfig) -> dict[str, Any]:
    return plain(cfg, resolve=False)


def _replaced(node: Any, found: Mapping[str, Any]) -> Any:
    """A copy with the values in place of their marks."""
    if isinstance(node, dict):
        return {key: _replaced(value, found) for key, value in node.items()}
    if isinstance(node, list):
        return [_replaced(value, found) for value in node]
    if isinstance(node, str) and _MARK in node:
        if node in found:
            return found[node]
        for mark, value in found.items():
            node = node.replace(mark, str(value))
    return node


@dataclass(frozen=True)
class Composed:
    """A job, ready to be trained.

    Attributes:
        number: Hydra's ``job.num``.
        words: its overrides.
        folder: where it goes.
        config: resolved, as ``Run.config`` has it.
        unresolved: as Hydra saves it.
        choices: as ``Run.choices`` has them.
        files: the text of ``.hydra/<name>.yaml``, by name.
    """

    number: int
    words: tuple[str, ...]
    folder: Path
    config: dict[str, Any]
    unresolved: dict[str, Any]
    choices: dict[str, str]
    files: dict[str, str]
