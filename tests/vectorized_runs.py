"""Trains the same runs vectorized, and individually by ``train``."""

from __future__ import annotations

import copy
import csv
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from conftest import composed

from stepsize.config.resolve import plain
from stepsize.train import train
from stepsize.vectorized import Outcome, Training, group_jobs

ELEMENTWISE = (
    "sgd", "asgd", "adagrad", "adadelta", "adam", "adamw", "adamax", "nadam", "radam", "rmsprop",
    "rprop",
)  # fmt: skip
_ALWAYS = ("trainer.accelerator=cpu", "logger=none")

Rows = dict[int, dict[str, float]]


def config_of(*overrides: str, folder: Path) -> dict[str, Any]:
    """The whole configuration of a run, as ``Run.config`` has it."""
    return plain(_composed(*overrides, folder=folder), resolve=True)


def _composed(*overrides: str, folder: Path) -> Any:
    return composed("plots=false", *overrides, *_ALWAYS, folder=folder)


def varied(
    base: dict[str, Any], lrs: Sequence[float], seeds: Sequence[int]
) -> list[dict[str, Any]]:
    """One configuration for each lr and seed; Hydra takes longer to compose one than training."""
    configs = []
    for lr in lrs:
        for seed in seeds:
            config = copy.deepcopy(base)
            config["optimizer"]["lr"] = lr
            config["seed"] = config["data"]["shuffle_seed"] = seed
            configs.append(config)
    return configs


def vectorized(configs: Sequence[dict[str, Any]], compile: bool | None = False) -> list[Outcome]:
    """Train runs vectorized; all of them must be eligible."""
    groups, reasons = group_jobs(configs)
    assert not reasons
    outcomes: dict[int, Outcome] = {}
    for group in groups:
        outcomes.update(zip(group.numbers, Training(group, compile).run(), strict=True))
    return [outcomes[number] for number in range(len(configs))]


def individual(*overrides: str, folder: Path) -> tuple[Rows, dict[str, Any], dict[str, Any]]:
    """Train one run by ``train``: its rows, result and checkpoint."""
    import torch

    train(_composed(*overrides, folder=folder))
    with (folder / "metrics.csv").open(newline="", encoding="utf-8") as stream:
        rows = {
            int(row.pop("step")): {tag: float(value) for tag, value in row.items() if value}
            for row in csv.DictReader(stream)
        }
    result = json.loads((folder / "result.json").read_text("utf-8"))
    return rows, result, torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)


def difference(ours: Rows, theirs: Rows, optimum: float | None = None) -> float:
    """The largest relative difference; infinite where a step or tag is missing on one side.

    The error of a gap is relative to the optimum as well, which the gap is computed from.
    """
    if ours.keys() != theirs.keys():
        return math.inf
    worst = 0.0
    for step, row in theirs.items():
        if ours[step].keys() != row.keys():
            return math.inf
        for tag, value in row.items():
            other = ours[step][tag]
            size = abs(value)
            if tag == "train/log10_gap":
                value, other = 10**value, 10**other
            if "gap" in tag:
                size = abs(value) + abs(optimum or 0.0)
            if other != value and not (math.isnan(other) and math.isnan(value)):
                gap = abs(other - value) / max(size, 1e-300)
                worst = max(worst, gap if math.isfinite(gap) else math.inf)
    return worst
