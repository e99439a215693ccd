"""A run: its settled configuration, its folder, and the ``result.json`` that it leaves behind."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import platform
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from stepsize import __version__
from stepsize.output_guard import holds_run

log = logging.getLogger(__name__)

RECIPE_GROUPS = ("task", "optimizer", "scheduler", "param_groups")
# These name a run or say where it goes, not what it computes.
_NOT_HASHED = ("name", "logger", "callbacks", "ckpt_path")


@dataclass(frozen=True)
class Run:
    """What identifies a run.

    Attributes:
        folder: where everything it writes goes.
        config: the whole configuration as plain containers, every interpolation resolved.
        choices: the chosen file of each group in ``RECIPE_GROUPS``.
        overrides: the command line's (and a sweep's) words.
    """

    folder: Path
    config: dict[str, Any]
    choices: dict[str, str]
    overrides: tuple[str, ...]
    started: float = field(default_factory=time.monotonic)

    @classmethod
    def open(cls, cfg: DictConfig) -> Run:
        """Settle the configuration that Hydra has composed, and take its folder.

        Raises:
            ValueError: the folder holds a run already, or a value is missing.
        """
        hydra = HydraConfig.get()
        folder = Path(hydra.runtime.output_dir)
        if holds_run(folder):
            raise ValueError(f"{folder} already holds a run; give another name or folder")
        missing = sorted(OmegaConf.missing_keys(cfg))
        if missing:
            raise ValueError(f"no value for {', '.join(missing)}; give one with {missing[0]}=VALUE")
        config: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
        overrides = tuple(hydra.overrides.task)
        choices = {group: str(hydra.runtime.choices.get(group)) for group in RECIPE_GROUPS}
        for group in ("optimizer", "scheduler"):
            if _overridden(f"{group}._target_", overrides):
                config[group] = _replaced_class(config[group], group, choices[group], overrides)
                choices[group] = config[group]["_target_"]
        folder.mkdir(parents=True, exist_ok=True)
        return cls(folder, config, choices, overrides)

    @property
    def config_hash(self) -> str:
        """The same for two runs that compute the same, whatever they are called: 16 hex digits."""
        kept = {key: value for key, value in self.config.items() if key not in _NOT_HASHED}
        text = json.dumps(kept, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def write_result(self, status: str, **values: Any) -> dict[str, Any]:
        """Write ``result.json`` in one go; a folder without it is an unfinished run.

        Args:
            status: ``completed``, ``diverged``, ``failed`` or ``interrupted``.
            **values: ``reason``, ``steps``, ``metrics``, ``optimum``. Numbers that are not finite
                are written as null.

        Returns:
            What was written.
        """
        result = {
            "status": status,
            "reason": values.get("reason"),
            **self.choices,
            "seed": self.config.get("seed"),
            "overrides": list(self.overrides),
            "config_hash": self.config_hash,
            "steps": values.get("steps", 0),
            "seconds": round(time.monotonic() - self.started, 3),
            "metrics": values.get("metrics", {}),
            "optimum": values.get("optimum"),
            "versions": versions(),
        }
        part = self.folder / "result.json.part"
        part.write_text(json.dumps(_finite(result), indent=2, allow_nan=False) + "\n", "utf-8")
        os.replace(part, self.folder / "result.json")
        return result


def versions() -> dict[str, str]:
    """Of Python and of the packages that decide a run's numbers."""
    packages = ("torch", "pytorch-lightning", "hydra-core", "omegaconf", "numpy")
    return {
        "stepsize": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
    }


def _overridden(key: str, overrides: tuple[str, ...]) -> bool:
    return any(re.match(rf"\+{{0,2}}{re.escape(key)}=", word) for word in overrides)


def _replaced_class(
    config: Mapping[str, Any], group: str, choice: str, overrides: tuple[str, ...]
) -> dict[str, Any]:
    """Keep only what was said for the new class: the file's values belong to the file's class."""
    kept = {key: value for key, value in config.items() if _mentioned(f"{group}.{key}", overrides)}
    dropped = [key for key in config if key not in kept]
    if dropped:
        log.info(
            "%s._target_=%s: uses its own defaults; %s of %s=%s no longer apply",
            group, config["_target_"], ", ".join(dropped), group, choice,
        )  # fmt: skip
    return kept


def _mentioned(key: str, overrides: tuple[str, ...]) -> bool:
    return any(re.match(rf"\+{{0,2}}{re.escape(key)}[=.]", word) for word in overrides)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
