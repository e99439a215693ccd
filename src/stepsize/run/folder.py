"""A run's folder: its settled configuration, what an earlier attempt left, and who may write."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml
from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from stepsize.config.resolve import plain, resolved_config
from stepsize.config.schema import RECIPE_GROUPS
from stepsize.run.atomic import replacing

# These name a run or say where it goes and what it shows, not what it computes.
_NOT_HASHED = (
    "name",
    "logger",
    "callbacks",
    "ckpt_path",
    "target",
    "plots",
    "allowed_packages",
    "overwrite",
    "fail_fast",
)
# These say where a run goes, how an earlier attempt is treated and what is drawn, not what the run
# is.
_NOT_COMPARED = ("name", "overwrite", "fail_fast", "plots", "allowed_packages")
_RUN_FILES = ("result.json", "metrics.csv", "checkpoints")
_CURVE_FILES = ("metrics.csv", "metrics.part", "*.png", "events.out.tfevents*")
_DIFFERENCES_SHOWN = 4


@dataclass(frozen=True)
class Run:
    """What identifies a run.

    Attributes:
        folder: where all of its files go.
        config: the whole configuration as plain containers, every interpolation resolved.
        choices: the chosen file of each group in ``RECIPE_GROUPS``.
        overrides: those of the command line and of the sweep.
        earlier: the earlier attempt at this run of a sweep.
        started: ``time.monotonic()`` at its start, in seconds.
    """

    folder: Path
    config: dict[str, Any]
    choices: dict[str, str]
    overrides: tuple[str, ...]
    earlier: EarlierAttempt
    started: float = field(default_factory=time.monotonic)

    @classmethod
    def open(cls, cfg: DictConfig) -> Run:
        """Resolve the configuration that Hydra has composed, for the folder that Hydra has chosen.

        Raises:
            ValueError: the folder holds another run, a value is missing or a key was renamed. In
                the folder of a run that is not done, the latter two are recorded as its failure.
        """
        hydra = HydraConfig.get()
        folder = Path(hydra.runtime.output_dir)
        if in_sweep():
            earlier = EarlierAttempt.read(folder)
            earlier = earlier.checked(plain(cfg, resolve=False), overwrite=bool(cfg.overwrite))
        elif holds_run(folder):
            raise ValueError(f"{folder} already holds a run; give another name or folder")
        else:
            earlier = EarlierAttempt.none(folder)
        choices = {group: str(hydra.runtime.choices.get(group)) for group in RECIPE_GROUPS}
        overrides = tuple(hydra.overrides.task)
        try:
            config, choices = resolved_config(cfg, choices, overrides)
        except Exception as error:
            from stepsize.run.result import result_of, write_result

            folder.mkdir(parents=True, exist_ok=True)
            run = cls(folder, plain(cfg, resolve=False), choices, overrides, earlier)
            write_result(folder, result_of(run, error=error))
            raise
        return cls(folder, config, choices, overrides, earlier)

    def claim_folder(self, cfg: DictConfig) -> None:
        """Remove the files of an earlier attempt and write ``.hydra``.

        Args:
            cfg: the configuration as Hydra has composed it.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self.earlier.clear(keep_checkpoint=self.earlier.checkpoint is not None)
        _write_hydra(self.folder, cfg)

    def from_start(self) -> Run:
        """The same run, without the checkpoint of the earlier attempt."""
        self.earlier.clear(keep_checkpoint=False)
        return replace(self, earlier=EarlierAttempt.none(self.folder))

    @property
    def config_hash(self) -> str:
        """Equal for two runs that compute the same, whatever their names: 16 hexadecimal digits."""
        hashed = {key: value for key, value in self.config.items() if key not in _NOT_HASHED}
        if self.config.get("resume") == "weights":
            hashed["ckpt_path"] = self.config.get("ckpt_path")  # another start, not the same run
        text = json.dumps(hashed, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def in_sweep() -> bool:
    """Whether this job belongs to a sweep; otherwise it is a single run."""
    return not OmegaConf.is_missing(HydraConfig.get().job, "num")


def holds_run(folder: Path) -> bool:
    """Whether a run has already written results or checkpoints into ``folder``."""
    return any((folder / name).exists() for name in _RUN_FILES)


def _write_hydra(folder: Path, cfg: DictConfig) -> None:
    """Write what Hydra itself would write before a run can refuse the folder.

    Each file appears whole, and config.yaml last, because a run with it has begun.
    """
    node: Any = HydraConfig.instance().cfg
    with read_write(node.hydra), open_dict(node.hydra):
        node.hydra.output_subdir = ".hydra"  # Lightning's other ranks look for it there
    (folder / ".hydra").mkdir(exist_ok=True)
    for name, content in (
        ("hydra", OmegaConf.masked_copy(node, "hydra")),
        ("overrides", node.hydra.overrides.task),
        ("config", cfg),
    ):
        with replacing(folder / ".hydra" / f"{name}.yaml") as part:
            OmegaConf.save(content, part)


class ChangedConfigError(ValueError):
    """A run's folder holds a run with another configuration; the message lists the differences."""


@dataclass(frozen=True)
class EarlierAttempt:
    """What an earlier attempt at a run left in its folder.

    Attributes:
        folder: the run's.
        result: the content of ``result.json``; empty where there is no readable one.
        begun: whether a run has ever claimed the folder.
    """

    folder: Path
    result: Mapping[str, Any]
    begun: bool

    @classmethod
    def read(cls, folder: Path) -> EarlierAttempt:
        """Read the folder; one that does not exist has not begun."""
        try:
            result = json.loads((folder / "result.json").read_text("utf-8"))
        except (FileNotFoundError, NotADirectoryError, ValueError):
            result = {}
        result = result if isinstance(result, dict) else {}
        return cls(folder, result, bool(result) or (folder / ".hydra" / "config.yaml").is_file())

    @classmethod
    def none(cls, folder: Path) -> EarlierAttempt:
        """No earlier attempt."""
        return cls(folder, {}, begun=False)

    @property
    def is_done(self) -> bool:
        """Whether the run was completed or diverged, so that nothing is left to do."""
        return self.result.get("status") in ("completed", "diverged")

    @property
    def checkpoint(self) -> Path | None:
        """Where an interrupted run resumes; a failed run is repeated from its start."""
        path = self.folder / "checkpoints" / "last.ckpt"
        failed = self.result.get("status") == "failed"
        return path if path.is_file() and not failed else None

    def differences(self, config: Mapping[str, Any]) -> list[str]:
        """The values that ``config`` changes, such as ``seed was 0, is 1``.

        Args:
            config: the new configuration, interpolations unresolved, as Hydra saves it.
        """
        # Without this file the run failed because a value was missing: it never claimed the folder.
        never_claimed = self.result.get("status") == "failed" and not self._config_file.exists()
        if not self.begun or never_claimed:
            return []
        earlier = self._config()
        if earlier is None:  # that of an unfinished run is trained again, see `checked`
            return ["its .hydra/config.yaml cannot be read"] if self.result else []
        old, new = dict(_leaves(earlier)), dict(_leaves(config))
        keys = [key for key in {**old, **new} if key.split(".")[0] not in _NOT_COMPARED]
        return [
            f"{key} was {old.get(key, 'absent')}, is {new.get(key, 'absent')}"
            for key in keys
            if old.get(key, _ABSENT) != new.get(key, _ABSENT)
        ]

    def checked(self, config: Mapping[str, Any], *, overwrite: bool) -> EarlierAttempt:
        """This attempt, where its configuration is the new one or may be overwritten.

        Args:
            config: as in :meth:`differences`.
            overwrite: whether a run whose configuration has changed is trained again.

        Returns:
            This attempt; one with nothing to resume from where the run is trained again.

        Raises:
            ChangedConfigError: the configuration has changed, and ``overwrite`` is false.
        """
        found = self.differences(config)
        if found and not overwrite:
            hidden = len(found) - _DIFFERENCES_SHOWN
            more = f" (and {hidden} more)" if hidden > 0 else ""
            raise ChangedConfigError(
                f"{self.folder} holds a run with another configuration: "
                f"{'; '.join(found[:_DIFFERENCES_SHOWN])}{more}; give overwrite=true to train it "
                "again, or another name"
            )
        lost = self.begun and not self.result and self._config() is None  # half written
        return replace(self, result={"status": "failed"}) if found or lost else self

    @property
    def _config_file(self) -> Path:
        return self.folder / ".hydra" / "config.yaml"

    def _config(self) -> Mapping[str, Any] | None:
        """The configuration of the earlier attempt; None where it cannot be read."""
        try:
            found = yaml.load(self._config_file.read_text("utf-8"), Loader=_LOADER)
        except (OSError, UnicodeDecodeError, yaml.YAMLError):
            return None
        return found if isinstance(found, Mapping) and found else None

    def clear(self, *, keep_checkpoint: bool) -> None:
        """Remove the curves, so that those of two attempts never merge; the log is continued."""
        if not self.begun:
            return
        # First, so that nothing unfinished looks finished.
        (self.folder / "result.json").unlink(missing_ok=True)
        for pattern in _CURVE_FILES:
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


class OutputGuard(Callback):
    """Hydra callback that ends the program in one line where its output folder cannot be used.

    Hydra creates the folder before the job starts: an error there would be a traceback, and a
    second run in one folder would overwrite the first run's configuration and merge their curves.
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


def _check_writable(folder: Path, key: str) -> None:
    existing = next(p for p in (folder, *folder.absolute().parents) if p.exists())
    if not existing.is_dir():
        raise SystemExit(f"{key}={folder}: {existing} is not a folder; give one that is")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise SystemExit(
            f"{key}={folder}: no permission to write in {existing}; give another folder"
        )
