"""The same runs both ways: together, and one by one through the ordinary ``train``."""

from __future__ import annotations

import copy
import csv
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from conftest import composed
from omegaconf import OmegaConf

from stepsize.train import train
from stepsize.vectorized import Outcome, Training, sort_out

ELEMENTWISE = (
    "sgd", "asgd", "adagrad", "adadelta", "adam", "adamw", "adamax", "nadam", "radam", "rmsprop",
    "rprop",
)  # fmt: skip
_ALWAYS = ("trainer.accelerator=cpu", "logger=none")

Rows = dict[int, dict[str, float]]


def config_of(*words: str, folder: Path) -> dict[str, Any]:
    """The whole configuration of a run, as ``Run.config`` has it."""
    config: Any = OmegaConf.to_container(_composed(*words, folder=folder), resolve=True)
    return config


def _composed(*words: str, folder: Path) -> Any:
    return composed("plots=false", *words, *_ALWAYS, folder=folder)


def varied(
    base: dict[str, Any], rates: Sequence[float], seeds: Sequence[int]
) -> list[dict[str, Any]]:
    """One configuration for each rate and seed; composing each takes longer than training it."""
    configs = []
    for rate in rates:
        for seed in seeds:
            config = copy.deepcopy(base)
            config["optimizer"]["lr"] = rate
            config["seed"] = config["data"]["shuffle_seed"] = seed
            configs.append(config)
    return configs


def together(configs: Sequence[dict[str, Any]], compile: bool | None = False) -> list[Outcome]:
    """Train them all as one program; all of them must be able to."""
    groups, left = sort_out(configs)
    assert not left
    outcomes: dict[int, Outcome] = {}
    for group in groups:
        outcomes.update(zip(group.numbers, Training(group, compile).run(), strict=True))
    return [outcomes[number] for number in range(len(configs))]


def alone(*words: str, folder: Path) -> tuple[Rows, dict[str, Any], dict[str, Any]]:
    """Train one run in the ordinary way: its rows, result and checkpoint."""
    import torch

    train(_composed(*words, folder=folder))
    with (folder / "metrics.csv").open(newline="", encoding="utf-8") as stream:
        rows = {
            int(row.pop("step")): {tag: float(value) for tag, value in row.items() if value}
            for row in csv.DictReader(stream)
        }
    result = json.loads((folder / "result.json").read_text("utf-8"))
    return rows, result, torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)


def difference(ours: Rows, theirs: Rows, optimum: float | None = None) -> float:
    """The largest relative difference; infinite where a step or a tag is missing on one side.

    A gap is known as well as the optimum that it is the distance to.
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
