"""All of torch.optim under all of torch.optim.lr_scheduler, on a task that each optimizer can take.

The whole product is marked slow. The default run takes every fourth of its diagonals, so that each
optimizer meets five schedules or more, and each schedule three optimizers or more.
"""

import math

import pytest
import torch
from conftest import CONF, composed, names
from omegaconf import OmegaConf

from stepsize.optim import build_schedule

STEPS = 40
OPTIMIZERS = [
    name
    for name in names("optimizer")
    if OmegaConf.load(CONF / "optimizer" / f"{name}.yaml")["_target_"].startswith("torch.")
]
SCHEDULERS = [name for name in names("scheduler") if name != "none"]
TASKS = {"muon": "digits_mlp", "sparse_adam": "digits_sparse"}
# The loss falls in nearly every step; counted as no progress, the plateau reduces the rate.
WORDS = {
    "plateau": ["scheduler.interval=step", "scheduler.patience=20", "scheduler.threshold=0.99"]
}


def pair(row, column):
    marks = () if (row + column) % 4 == 0 else pytest.mark.slow
    return pytest.param(OPTIMIZERS[row], SCHEDULERS[column], marks=marks)


PAIRS = [pair(o, s) for o in range(len(OPTIMIZERS)) for s in range(len(SCHEDULERS))]


@pytest.mark.parametrize(("optimizer", "scheduler"), PAIRS)
def test_a_run_trains_at_the_rates_that_stepping_by_hand_gives(run, tmp_path, optimizer, scheduler):
    words = [
        f"task={TASKS.get(optimizer, 'line')}",
        f"optimizer={optimizer}",
        f"scheduler={scheduler}",
        f"trainer.max_steps={STEPS}",
        "trainer.log_every_n_steps=1",
        "monitor=train/loss",
        "callbacks.plot=null",
        *WORDS.get(scheduler, []),
    ]
    finished = run(*words)
    result = finished.result
    assert result["status"] == "completed", result["reason"]
    assert result["steps"] == STEPS
    losses = finished.curve("train/loss")
    assert all(math.isfinite(loss) for loss in losses.values())

    expected = rates_by_hand(composed(*words, folder=tmp_path / "config"), losses)
    for group, rates in expected.items():
        curve = finished.curve(f"lr/{group}")
        assert [curve[step] for step in range(STEPS)] == pytest.approx(rates, rel=1e-6, abs=1e-15)
        assert len(set(rates)) > 1, "this schedule does nothing here"


def rates_by_hand(config, losses):
    """The rates of each group when a loop of two lines steps the schedule."""
    first = OmegaConf.to_container(config.optimizer, resolve=True)
    parts = [first, first["other_params"]] if "other_params" in first else [first]
    names = [f"default/{p['_target_'].split('.')[-1]}" for p in parts]
    groups = [
        {"params": [torch.zeros(1, requires_grad=True)], "lr": part["lr"], "name": name}
        for part, name in zip(parts, names if len(parts) > 1 else ["default"], strict=True)
    ]
    optimizer = torch.optim.SGD(groups, lr=first["lr"])
    schedule = build_schedule(
        OmegaConf.to_container(config.scheduler, resolve=True),
        optimizer,
        total_steps=STEPS,
        steps_per_epoch=STEPS,
        monitor="train/loss",
    )["scheduler"]
    watches = isinstance(schedule, torch.optim.lr_scheduler.ReduceLROnPlateau)
    rates = {group["name"]: [] for group in groups}
    for step in range(STEPS):
        for group in optimizer.param_groups:
            rates[group["name"]].append(float(group["lr"]))
        optimizer.step()
        schedule.step(*([losses[step]] if watches else []))
    return rates
