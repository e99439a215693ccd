"""Runs of the real program, in this process (fast) or as a command (true)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, open_dict

ROOT = Path(__file__).resolve().parents[1]
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
        import csv

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


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Finished]:
    """Train in this process: ``run("task=line", "optimizer=sgd")``."""
    count = 0

    def train_here(*overrides: str) -> Finished:
        nonlocal count
        from stepsize.train import train

        folder = tmp_path / f"run{count}"
        count += 1
        words = [*overrides, "trainer.accelerator=cpu"]
        return Finished(train(composed(*words, folder=folder)), folder)

    return train_here


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run ``python train.py ...`` as a user does; its folders lie below ``tmp_path``."""

    def call(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(ROOT / "train.py"), *words],
            cwd=tmp_path,
            env={**os.environ, "OMP_NUM_THREADS": "1", **env},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    return call
