"""The learning rates of a run, compared with a schedule that is stepped by hand."""

import math

import pytest
import torch
from conftest import composed
from omegaconf import OmegaConf

from stepsize.optim import build_schedule

STEPS = 40
TASKS = {"muon": "digits_mlp", "sparse_adam": "digits_sparse"}
# The loss falls in nearly every step; counted as no progress, the plateau reduces the lr.
OVERRIDES = {
    "plateau": ["scheduler.interval=step", "scheduler.patience=20", "scheduler.threshold=0.99"]
}


def check_learning_rates(run, tmp_path, optimizer: str, scheduler: str) -> None:
    """Train in this process, and compare each step's learning rates with those by hand."""
    overrides = [
        f"task={TASKS.get(optimizer, 'line')}",
        f"optimizer={optimizer}",
        f"scheduler={scheduler}",
        f"trainer.max_steps={STEPS}",
        "trainer.log_every_n_steps=1",
        "monitor=train/loss",
        "callbacks.plot=null",
        *OVERRIDES.get(scheduler, []),
    ]
    finished = run(*overrides)
    result = finished.result
    assert result["status"] == "completed", result["reason"]
    assert result["steps"] == STEPS
    losses = finished.curve("train/loss")
    assert all(math.isfinite(loss) for loss in losses.values())

    expected = lrs_by_hand(composed(*overrides, folder=tmp_path / "config"), losses)
    for group, lrs in expected.items():
        curve = finished.curve(f"lr/{group}")
        assert [curve[step] for step in range(STEPS)] == pytest.approx(lrs, rel=1e-6, abs=1e-15)
        assert len(set(lrs)) > 1, "this schedule does nothing here"


def lrs_by_hand(config, losses):
    """The learning rates of each group when a loop of two lines steps the schedule."""
    first = OmegaConf.to_container(config.optimizer, resolve=True, enum_to_str=True)
    parts = [first, first["other_params"]] if "other_params" in first else [first]
    names = [f"default/{p['_target_'].split('.')[-1]}" for p in parts]
    groups = [
        {"params": [torch.zeros(1, requires_grad=True)], "lr": part["lr"], "name": name}
        for part, name in zip(parts, names if len(parts) > 1 else ["default"], strict=True)
    ]
    optimizer = torch.optim.SGD(groups, lr=first["lr"])
    schedule = build_schedule(
        OmegaConf.to_container(config.scheduler, resolve=True, enum_to_str=True),
        optimizer,
        total_steps=STEPS,
        steps_per_epoch=STEPS,
        monitor="train/loss",
    )["scheduler"]
    watches = isinstance(schedule, torch.optim.lr_scheduler.ReduceLROnPlateau)
    lrs = {group["name"]: [] for group in groups}
    for step in range(STEPS):
        for group in optimizer.param_groups:
            lrs[group["name"]].append(float(group["lr"]))
        optimizer.step()
        schedule.step(*([losses[step]] if watches else []))
    return lrs
