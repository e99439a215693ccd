"""Runs of the real program, in this process (fast) or as a command (true)."""

from __future__ import annotations

import csv
import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import headless_chromium
import pytest
import torch
from command_line import ROOT, run_command
from headless_chromium import Tab
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, open_dict

CONF = ROOT / "conf"

torch.set_num_threads(1)


def names(group: str) -> list[str]:
    """The files of a config group, so that a new one is tested unasked."""
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


@dataclass(frozen=True)
class Finished:
    """A run that has ended: its objective and what it left behind."""

    objective: float
    folder: Path

    @property
    def result(self) -> dict[str, Any]:
        return json.loads((self.folder / "result.json").read_text("utf-8"))

    @property
    def checkpoint(self) -> dict[str, Any]:
        return torch.load(self.folder / "checkpoints" / "last.ckpt", weights_only=True)

    @property
    def rows(self) -> list[dict[str, str]]:
        with (self.folder / "metrics.csv").open(newline="", encoding="utf-8") as stream:
            return list(csv.DictReader(stream))

    def curve(self, tag: str) -> dict[int, float]:
        return {int(row["step"]): float(row[tag]) for row in self.rows if row.get(tag)}


def composed(*overrides: str, folder: Path) -> DictConfig:
    """The configuration as train.py gets it, with Hydra's own part in place."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose(
            "train",
            overrides=[*overrides, f"hydra.runtime.output_dir={folder}"],
            return_hydra_config=True,
        )
    with open_dict(cfg):
        cfg.hydra.overrides.task = list(overrides)
    HydraConfig.instance().set_config(cfg)
    job = cfg.copy()
    with open_dict(job):
        del job["hydra"]
    return job


class Runner:
    """Trains in this process: ``run("task=line", "optimizer=sgd")``.

    Attributes:
        folders: of all runs so far, those too that ended with an error.
    """

    def __init__(self, parent: Path) -> None:
        self._parent = parent
        self.folders: list[Path] = []

    def __call__(self, *overrides: str) -> Finished:
        from stepsize.train import train  # torch and Lightning: seconds that not every test needs

        folder = self._parent / f"run{len(self.folders)}"
        self.folders.append(folder)
        cfg = composed(*overrides, "trainer.accelerator=cpu", folder=folder)
        return Finished(train(cfg), folder)


@pytest.fixture
def run(tmp_path: Path) -> Runner:
    """Train in this process; the folders lie below ``tmp_path``."""
    return Runner(tmp_path)


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run ``python train.py ...`` as a user does; its folders lie below ``tmp_path``."""

    def call(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        new = "PYTHONPROFILEIMPORTTIME" in env  # which is read when the interpreter starts
        return run_command(*arguments, cwd=tmp_path, env=env, new=new)

    return call


@pytest.fixture(scope="module")
def tab() -> Iterator[Tab]:
    """A tab of a real browser; its tests are skipped where there is none."""
    if headless_chromium.EXECUTABLE is None:
        pytest.skip(f"needs a browser: none of {', '.join(headless_chromium.NAMES)} is installed")
    with headless_chromium.open_tab() as opened:
        yield opened
