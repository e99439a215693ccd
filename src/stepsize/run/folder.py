"""A run: its settled configuration, its folder, and the ``result.json`` that it leaves behind."""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import math
import os
import platform
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml
from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from stepsize import __version__
from stepsize.run.errors import one_line

log = logging.getLogger(__name__)

RECIPE_GROUPS = ("task", "optimizer", "scheduler", "param_groups")
# These name a run or say where it goes, not what it computes.
_NOT_HASHED = (
    "name",
    "logger",
    "callbacks",
    "ckpt_path",
    "target",
    "plots",
    "overwrite",
    "fail_fast",
)


@dataclass(frozen=True)
class Run:
    """What identifies a run.

    Attributes:
        folder: where everything it writes goes.
        config: the whole configuration as plain containers, every interpolation resolved.
        choices: the chosen file of each group in ``RECIPE_GROUPS``.
        overrides: the command line's (and a sweep's) words.
        earlier: what an earlier attempt at this run of a sweep has left behind.
    """

    folder: Path
    config: dict[str, Any]
    choices: dict[str, str]
    overrides: tuple[str, ...]
    earlier: Earlier
    started: float = field(default_factory=time.monotonic)

    @classmethod
    def open(cls, cfg: DictConfig) -> Run:
        """Settle the configuration that Hydra has composed, for the folder that Hydra has chosen.

        Raises:
            ValueError: the folder holds another run, or a value is missing. In the folder of a
                run that is not done, a missing value is recorded as that run's failure.
        """
        hydra = HydraConfig.get()
        folder = Path(hydra.runtime.output_dir)
        unresolved: dict[str, Any] = OmegaConf.to_container(cfg)  # type: ignore[assignment]
        if in_sweep():
            earlier = Earlier.look(folder).agreed(unresolved, overwrite=bool(cfg.overwrite))
        elif holds_run(folder):
            raise ValueError(f"{folder} already holds a run; give another name or folder")
        else:
            earlier = Earlier(folder, {}, begun=False)
        choices = {group: str(hydra.runtime.choices.get(group)) for group in RECIPE_GROUPS}
        overrides = tuple(hydra.overrides.task)
        try:
            config, choices = settled(cfg, choices, overrides)
        except Exception as error:
            folder.mkdir(parents=True, exist_ok=True)
            run = cls(folder, unresolved, choices, overrides, earlier)
            run.write_result("failed", reason=one_line(error))
            raise
        return cls(folder, config, choices, overrides, earlier)

    @property
    def checkpoint(self) -> Path | None:
        """Of an earlier attempt that was cut off: this run goes on from there."""
        return self.earlier.checkpoint

    def take(self, cfg: DictConfig) -> None:
        """Make the folder this run's: clear what an earlier attempt has left, write ``.hydra``.

        Args:
            cfg: the configuration as Hydra has composed it.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self.earlier.clear(keep_checkpoint=self.checkpoint is not None)
        _write_hydra(self.folder, cfg)

    def start_over(self) -> Run:
        """The same run, from the start."""
        self.earlier.clear(keep_checkpoint=False)
        return replace(self, earlier=Earlier(self.folder, {}, begun=False))

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
            **values: ``reason``, ``steps``, ``metrics``, ``optimum``, ``objective``,
                ``steps_to_target``. Numbers that are not finite are written as null.

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
            "monitor": self.config.get("monitor"),
            "mode": self.config.get("mode"),
            "objective": values.get("objective"),
            "lr": (self.config.get("optimizer") or {}).get("lr"),
            "target": _target(self.config, values.get("steps_to_target")),
            "versions": versions(),
        }
        part = self.folder / "result.json.part"
        part.write_text(json.dumps(_finite(result), indent=2, allow_nan=False) + "\n", "utf-8")
        os.replace(part, self.folder / "result.json")
        return result


def in_sweep() -> bool:
    """Whether this job is one of a sweep's, and not a run by itself."""
    return not OmegaConf.is_missing(HydraConfig.get().job, "num")


def settled(
    cfg: DictConfig, choices: Mapping[str, str], overrides: tuple[str, ...]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Resolve a configuration into plain containers.

    Args:
        cfg: as Hydra composes it.
        choices: the chosen file of each group.
        overrides: the words that were said; a class that they replace drops its file's values.

    Returns:
        The configuration, and the choices with a replaced class in its file's place.

    Raises:
        ValueError: a value is missing.
    """
    missing = sorted(OmegaConf.missing_keys(cfg))
    if missing:
        raise ValueError(f"no value for {', '.join(missing)}; give one with {missing[0]}=VALUE")
    config: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    chosen = dict(choices)
    for group in ("optimizer", "scheduler"):
        if _overridden(f"{group}._target_", overrides):
            config[group] = _replaced_class(config[group], group, chosen[group], overrides)
            chosen[group] = config[group]["_target_"]
    return config, chosen


@functools.cache  # a hundredth of a second, which a sweep of stacked runs would notice
def versions() -> dict[str, str]:
    """Of Python and of the packages that decide a run's numbers."""
    packages = ("torch", "pytorch-lightning", "hydra-core", "omegaconf", "numpy")
    return {
        "stepsize": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
    }


def _target(config: Mapping[str, Any], steps: int | None) -> dict[str, Any] | None:
    target = config.get("target")
    return None if target is None else {**target, "steps": steps}


def _write_hydra(folder: Path, cfg: DictConfig) -> None:
    """What Hydra itself would write before a run can object: the configuration of this job."""
    node: Any = HydraConfig.instance().cfg
    with read_write(node.hydra), open_dict(node.hydra):
        node.hydra.output_subdir = ".hydra"  # Lightning's other ranks look for it there
    (folder / ".hydra").mkdir(exist_ok=True)
    for name, part in (
        ("config", cfg),
        ("hydra", OmegaConf.masked_copy(node, "hydra")),
        ("overrides", node.hydra.overrides.task),
    ):
        OmegaConf.save(part, folder / ".hydra" / f"{name}.yaml")


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


# Of the top-level values: where a run goes and what is done about an earlier one, not what it is.
NOT_COMPARED = ("name", "overwrite", "fail_fast")
_CURVES = ("metrics.csv", "metrics.part", "*.png", "events.out.tfevents*")
_SHOWN = 4


class ChangedError(ValueError):
    """A run's folder holds a run with another configuration; the message shows how."""


@dataclass(frozen=True)
class Earlier:
    """An earlier attempt at a run.

    Attributes:
        folder: the run's.
        result: what ``result.json`` says; empty where there is none, or none that can be read.
        begun: whether a run has ever taken the folder.
    """

    folder: Path
    result: Mapping[str, Any]
    begun: bool

    @classmethod
    def look(cls, folder: Path) -> Earlier:
        """Read what there is; a folder that does not exist has not begun."""
        try:
            result = json.loads((folder / "result.json").read_text("utf-8"))
        except (FileNotFoundError, NotADirectoryError, ValueError):
            result = {}
        return cls(folder, result, bool(result) or (folder / ".hydra" / "config.yaml").is_file())

    @property
    def is_done(self) -> bool:
        """Whether there is nothing left to do: it was completed, or diverged."""
        return self.result.get("status") in ("completed", "diverged")

    @property
    def checkpoint(self) -> Path | None:
        """Where to go on from, if it was cut off; one that failed is repeated from the start."""
        path = self.folder / "checkpoints" / "last.ckpt"
        failed = self.result.get("status") == "failed"
        return path if path.is_file() and not failed else None

    def differences(self, config: Mapping[str, Any]) -> list[str]:
        """What ``config`` would change, a phrase each; empty where nothing has begun.

        Args:
            config: the new configuration, interpolations unresolved, as Hydra saves it.
        """
        file = self.folder / ".hydra" / "config.yaml"
        unsettled = self.result.get("status") == "failed" and not file.exists()
        if not self.begun or unsettled:  # a value was missing, so that it never took the folder
            return []
        try:
            text = file.read_text("utf-8")
            old = dict(_leaves(yaml.load(text, Loader=_LOADER) or {}))
        except (FileNotFoundError, yaml.YAMLError):
            return ["its .hydra/config.yaml cannot be read"]
        new = dict(_leaves(config))
        keys = [key for key in {**old, **new} if key.split(".")[0] not in NOT_COMPARED]
        return [
            f"{key} was {_shown(old, key)}, is {_shown(new, key)}"
            for key in keys
            if old.get(key, _ABSENT) != new.get(key, _ABSENT)
        ]

    def agreed(self, config: Mapping[str, Any], *, overwrite: bool) -> Earlier:
        """Settle what a changed configuration means.

        Args:
            config: as in :meth:`differences`.
            overwrite: whether a run whose configuration has changed is to be trained anew.

        Returns:
            This attempt; where it is to be trained anew, one with nothing to go on from.

        Raises:
            ChangedError: the configuration has changed; shows how.
        """
        found = self.differences(config)
        if found and not overwrite:
            more = f" (and {len(found) - _SHOWN} more)" if len(found) > _SHOWN else ""
            raise ChangedError(
                f"{self.folder} holds a run with another configuration: "
                f"{'; '.join(found[:_SHOWN])}{more}; give overwrite=true to train it anew, or "
                "another name"
            )
        return replace(self, result={"status": "failed"}) if found else self

    def clear(self, *, keep_checkpoint: bool) -> None:
        """Remove the curves, so that those of two attempts never merge; the log goes on."""
        if not self.begun:
            return
        # First, so that nothing unfinished looks finished.
        (self.folder / "result.json").unlink(missing_ok=True)
        for pattern in _CURVES:
            for path in self.folder.glob(pattern):
                path.unlink()
        if not keep_checkpoint:
            shutil.rmtree(self.folder / "checkpoints", ignore_errors=True)


_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_ABSENT = object()


def _leaves(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(node, Mapping) and node:
        for key, value in node.items():
            yield from _leaves(value, f"{path}.{key}" if path else str(key))
    else:
        yield path, node


def _shown(leaves: Mapping[str, Any], key: str) -> str:
    return str(leaves[key]) if key in leaves else "absent"


RUN_FILES = ("result.json", "metrics.csv", "checkpoints")


class OutputGuard(Callback):
    """Ends the program with one line when its output folder cannot be used.

    Hydra creates the folder before the job starts, so an error there would be a bare traceback, and
    a second run in one folder would overwrite the first one's configuration and merge their curves.
    ``SystemExit``, because Hydra turns any other exception of a callback into a warning.
    """

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        HydraConfig.instance().set_config(config)  # Hydra does so itself, but later
        folder = Path(config.hydra.run.dir)
        _check_writable(folder, "hydra.run.dir")
        if holds_run(folder):
            raise SystemExit(
                f"{folder} already holds a run; give another name=... or hydra.run.dir"
            )

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        HydraConfig.instance().set_config(config)
        _check_writable(Path(config.hydra.sweep.dir), "hydra.sweep.dir")


def holds_run(folder: Path) -> bool:
    """Whether a run has already written its results or checkpoints into ``folder``."""
    return any((folder / name).exists() for name in RUN_FILES)


def _check_writable(folder: Path, key: str) -> None:
    existing = next(p for p in (folder, *folder.absolute().parents) if p.exists())
    if not existing.is_dir():
        raise SystemExit(f"{key}={folder}: {existing} is not a folder; give one that is")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise SystemExit(
            f"{key}={folder}: no permission to write in {existing}; give another folder"
        )
