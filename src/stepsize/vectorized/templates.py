"""The configurations and ``.hydra`` files of a sweep's jobs, filled in from templates.

Hydra takes a tenth of a second to compose a job, and another to write its files: minutes for a
sweep that trains in seconds. Jobs with overrides of the same keys differ in a few values only, so
one of them is composed, resolved and serialised with a placeholder for each value, and the others
are filled in. Where the result would differ from Hydra's, because a configuration computes with a
value, Hydra composes each job.
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

# Placeholders: strings and a number that no configuration contains.
_PREFIX = "q7Zx"
_FOLDER, _DIRNAME = "q7Zxfx", "q7Zxdx"
_NUMBER = 987_654_321_012  # where Hydra accepts a whole number only
# Strings that YAML writes without quotes and reads as strings.
_PLAIN = re.compile(r"[a-zA-Z_/][\w./+-]*[=/,][\w./=,+-]*")


@dataclass(frozen=True)
class ComposedJob:
    """A job with its composed configuration.

    Attributes:
        number: Hydra's ``job.num``.
        overrides: the job's overrides.
        folder: the run's folder.
        config: resolved, as in ``Run.config``.
        unresolved: as Hydra saves it.
        choices: as in ``Run.choices``.
        files: the text of ``.hydra/<name>.yaml``, by name.
    """

    number: int
    overrides: tuple[str, ...]
    folder: Path
    config: dict[str, Any]
    unresolved: dict[str, Any]
    choices: dict[str, str]
    files: dict[str, str]


class Templates(Composer):
    """Composes jobs: one for each set of overridden keys, of which the others are copies."""

    def __init__(self, config: DictConfig, loader: ConfigLoader) -> None:
        super().__init__(config, loader)
        self._templates: dict[tuple[str, ...], ComposedJob | None] = {}
        self._scalars: dict[tuple[type, Any], str] = {}

    def complete(self, overrides: Sequence[str], number: int) -> ComposedJob:
        """A job as Hydra's launcher and ``Run`` compose it.

        Args:
            overrides: the job's.
            number: Hydra's ``job.num``.

        Raises:
            hydra.errors.HydraException: an override does not match the configuration.
            ValueError: a value is missing.
        """
        shape, values = self._split(overrides)
        if shape not in self._templates:
            if shape not in self._composed or self._composed[shape][0] != tuple(overrides):
                self._composed[shape] = tuple(overrides), self._load(overrides)
            job = self._compose(overrides, number, {})
            self._templates[shape] = template = self._template(overrides, number, values)
            if template is not None and self._filled(template, overrides, number, values) != job:
                log.debug("no template for jobs like %s", " ".join(overrides))
                self._templates[shape] = None
            return job
        template = self._templates[shape]
        if template is None:
            return self._compose(overrides, number)
        return self._filled(template, overrides, number, values)

    def _compose(
        self, overrides: Sequence[str], number: int, marks: Mapping[str, str] | None = None
    ) -> ComposedJob:
        """Compose a job with Hydra; ``marks`` are placeholders by key."""
        cfg = self._load(overrides) if marks is None else copy.deepcopy(self.composed(overrides))
        hydra = HydraConfig.instance()
        before = hydra.cfg
        try:
            return self._settled(cfg, overrides, number, marks)
        finally:
            hydra.cfg = before

    def _settled(
        self,
        cfg: DictConfig,
        overrides: Sequence[str],
        number: int,
        marks: Mapping[str, str] | None,
    ) -> ComposedJob:
        if marks:  # the typed top-level keys accept no placeholder
            untyped = OmegaConf.create(plain(cfg, resolve=False))
            untyped["hydra"] = cfg.hydra
            cfg = untyped
        HydraConfig.instance().set_config(cfg)
        folder = Path(str(cfg.hydra.sweep.dir), str(cfg.hydra.sweep.subdir)).absolute()
        job, runtime = cfg.hydra.job, cfg.hydra.runtime
        with read_write(cfg.hydra), open_dict(cfg.hydra):
            cfg.hydra.output_subdir = ".hydra"
            job.id, job.num, runtime.output_dir = str(number), number, str(folder)
            if marks:
                job.id, job.num = str(_NUMBER), _NUMBER
                runtime.output_dir, job.override_dirname = _FOLDER, _DIRNAME
                cfg.hydra.overrides.task = [_override(index) for index in range(len(overrides))]
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
        unresolved = plain(cfg, resolve=False)
        config, choices = resolved_config(cfg, chosen, tuple(overrides))
        return ComposedJob(number, tuple(overrides), folder, config, unresolved, choices, files)

    def _template(
        self, overrides: Sequence[str], number: int, values: Mapping[str, Any]
    ) -> ComposedJob | None:
        if any(isinstance(value, (dict, list)) for value in values.values()):
            return None
        marks = dict(zip(values, map(_value, count()), strict=False))
        try:
            return self._compose(overrides, number, marks)
        except Exception:
            log.debug("no template for jobs like %s", " ".join(overrides), exc_info=True)
            return None

    def _filled(
        self,
        template: ComposedJob,
        overrides: Sequence[str],
        number: int,
        values: Mapping[str, Any],
    ) -> ComposedJob:
        """The job of a template with these values."""
        folder = template.folder.parent / run_name(overrides)
        found: dict[str, Any] = {_value(i): value for i, value in enumerate(values.values())}
        found.update({_override(index): text for index, text in enumerate(overrides)})
        found[str(_NUMBER)] = number
        found[_FOLDER] = str(folder)
        found[_DIRNAME] = ",".join(sorted(overrides))
        files = dict(template.files)
        for mark, value in found.items():
            scalar = self._scalar(value)
            files = {name: text.replace(mark, scalar) for name, text in files.items()}
        return ComposedJob(
            number,
            tuple(overrides),
            folder,
            _replaced(template.config, found),
            _replaced(template.unresolved, found),
            template.choices,
            files,
        )

    def _scalar(self, value: Any) -> str:
        """A value as YAML."""
        if isinstance(value, str) and _PLAIN.fullmatch(value):
            return value
        key = (type(value), value)
        if key not in self._scalars:
            text = OmegaConf.to_yaml(OmegaConf.create([value]))
            self._scalars[key] = text.removeprefix("- ").removesuffix("\n")
        return self._scalars[key]


def _value(index: int) -> str:
    return f"{_PREFIX}v{index}x"


def _override(index: int) -> str:
    return f"{_PREFIX}w{index}x"


def _replaced(node: Any, found: Mapping[str, Any]) -> Any:
    """A copy with the values in place of their placeholders."""
    if isinstance(node, dict):
        return {key: _replaced(value, found) for key, value in node.items()}
    if isinstance(node, list):
        return [_replaced(value, found) for value in node]
    if isinstance(node, str) and _PREFIX in node:
        if node in found:
            return found[node]
        for mark, value in found.items():
            node = node.replace(mark, str(value))
    return node
