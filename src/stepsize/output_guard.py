"""A Hydra callback that looks at the output folder before Hydra writes into it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

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
