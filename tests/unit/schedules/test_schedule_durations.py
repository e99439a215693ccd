"""Shares of a run become whole numbers in the unit that Lightning moves the scheduler in."""

from __future__ import annotations

from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from stepsize.schedules.build import build_schedule
from stepsize.schedules.durations import count_positions

pytestmark = [
    # Lightning advises worker processes for a loader of a few numbers,
    pytest.mark.filterwarnings("ignore:The 'train_dataloader' does not have many workers"),
    # and uses a class that torch 2.13 has deprecated.
    pytest.mark.filterwarnings("ignore:.*LeafSpec.* is deprecated:FutureWarning"),
]

COSINE = "torch.optim.lr_scheduler.CosineAnnealingLR"
SEQUENCE = {
    "_target_": "torch.optim.lr_scheduler.SequentialLR",
    "schedulers": [
        {"_target_": "torch.optim.lr_scheduler.LinearLR", "total_iters": "5%"},
        {"_target_": COSINE, "T_max": "95%"},
    ],
    "milestones": ["5%"],
}


def scheduler(config: dict[str, Any], steps: int, steps_per_epoch: int = 1) -> Any:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    entry = build_schedule(
        config, optimizer, total_steps=steps, steps_per_epoch=steps_per_epoch, monitor="loss"
    )
    assert entry is not None
    return entry["scheduler"]


def cosine(T_max: str, steps: int, steps_per_epoch: int = 1, **keys: Any) -> int:  # noqa: N803
    return scheduler({"_target_": COSINE, "T_max": T_max, **keys}, steps, steps_per_epoch).T_max


@pytest.mark.parametrize(
    ("share", "steps", "expected"),
    [
        ("100%", 40, 40),
        ("rest", 40, 40),
        ("5%", 100, 5),
        ("5%", 101, 6),
        ("5%", 1, 1),
        ("12.5%", 80, 10),
        ("0.1%", 10, 1),
        ("200%", 40, 80),
    ],
)
def test_a_share_is_rounded_up_to_whole_steps(share: str, steps: int, expected: int) -> None:
    assert cosine(share, steps) == expected


@pytest.mark.parametrize(("steps", "expected"), [(100, 10), (101, 11), (95, 10), (5, 1)])
def test_a_share_counts_epochs_begun_where_the_interval_is_the_epoch(
    steps: int, expected: int
) -> None:
    assert cosine("100%", steps, 10, interval="epoch") == expected


def test_a_share_counts_what_is_left_by_the_frequency() -> None:
    assert cosine("100%", 100, 10, interval="epoch", frequency=3) == 4
    assert cosine("100%", 100, 10, frequency=5) == 20


@pytest.mark.parametrize("steps", [2, 7, 10, 39, 40, 100, 1003])
def test_shares_of_a_sequence_that_make_up_a_run_end_with_it(steps: int) -> None:
    made = scheduler(SEQUENCE, steps)
    (milestone,) = made._milestones
    warmup, decay = made._schedulers
    assert warmup.total_iters == milestone
    assert decay.T_max == steps - milestone


@pytest.mark.parametrize("steps", [2, 7, 10, 39, 40, 100, 1003])
def test_the_rest_is_what_is_left_of_a_part(steps: int) -> None:
    parts = [
        {**SEQUENCE["schedulers"][0], "total_iters": "rest"},
        {"_target_": COSINE, "T_max": "rest"},
    ]
    made = scheduler({**SEQUENCE, "schedulers": parts}, steps)
    (milestone,) = made._milestones
    assert made._schedulers[0].total_iters == milestone
    assert made._schedulers[1].T_max == steps - milestone


def test_a_milestone_in_steps_leaves_the_rest_of_the_run() -> None:
    parts = [SEQUENCE["schedulers"][0], {"_target_": COSINE, "T_max": "rest"}]
    made = scheduler({**SEQUENCE, "schedulers": parts, "milestones": [12]}, 40)
    assert made._schedulers[1].T_max == 28


def test_milestones_are_shares_too() -> None:
    multistep = "torch.optim.lr_scheduler.MultiStepLR"
    made = scheduler({"_target_": multistep, "milestones": ["50%", 7, "75%"]}, 40)
    assert sorted(made.milestones) == [7, 20, 30]


def test_a_share_in_a_function_is_of_the_run() -> None:
    inverse = {"_target_": "stepsize.schedules.functions.InverseTime", "half_life": "25%"}
    made = scheduler({"_target_": "torch.optim.lr_scheduler.LambdaLR", "lr_lambda": inverse}, 40)
    assert made.lr_lambdas[0].half_life == 10


def test_patience_is_a_share_too() -> None:
    plateau = "torch.optim.lr_scheduler.ReduceLROnPlateau"
    made = scheduler({"_target_": plateau, "patience": "10%", "interval": "epoch"}, 400, 10)
    assert made.patience == 4


class Watched(pl.LightningModule):
    """Notes where its scheduler stands, and its learning rate, at the start of each step."""

    def __init__(self, config: dict[str, Any], steps: int, steps_per_epoch: int) -> None:
        super().__init__()
        self.net = torch.nn.Linear(1, 1)
        self.config, self.steps, self.steps_per_epoch = config, steps, steps_per_epoch
        self.seen: list[tuple[int, float]] = []

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=1.0)
        entry = build_schedule(
            self.config,
            optimizer,
            total_steps=self.steps,
            steps_per_epoch=self.steps_per_epoch,
        )
        return {"optimizer": optimizer, "lr_scheduler": entry}

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        scheduler = self.lr_schedulers()
        self.seen.append((scheduler.last_epoch, scheduler.get_last_lr()[0]))
        return self.net(batch).square().mean()


def fit(config: dict[str, Any], steps: int, steps_per_epoch: int) -> Watched:
    module = Watched(config, steps, steps_per_epoch)
    trainer = pl.Trainer(
        max_steps=steps,
        max_epochs=-1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, DataLoader(torch.ones(steps_per_epoch, 1), batch_size=1))
    return module


@pytest.mark.parametrize(
    ("interval", "frequency", "steps", "steps_per_epoch"),
    [
        ("step", 1, 13, 5),
        ("step", 2, 13, 5),
        ("step", 3, 11, 5),
        ("step", 5, 16, 5),
        ("epoch", 1, 13, 5),
        ("epoch", 1, 15, 5),
        ("epoch", 2, 16, 3),
        ("epoch", 1, 4, 1),
    ],
)
def test_a_run_uses_as_many_positions_as_lightning_moves_it_through(
    interval: str, frequency: int, steps: int, steps_per_epoch: int
) -> None:
    config = {"_target_": COSINE, "T_max": "100%", "interval": interval, "frequency": frequency}
    module = fit(config, steps, steps_per_epoch)
    positions = {position for position, _ in module.seen}
    expected = count_positions(steps, steps_per_epoch, interval, frequency)
    assert positions == set(range(expected))


def test_lightning_trains_the_last_step_of_one_cycle_at_its_last_learning_rate() -> None:
    config = {
        "_target_": "torch.optim.lr_scheduler.OneCycleLR",
        "max_lr": 1.0,
        "total_steps": "100%",
        "cycle_momentum": False,
    }
    seen = [lr for _, lr in fit(config, 13, 5).seen]
    assert seen[0] == pytest.approx(1 / 25)
    assert seen[-1] == pytest.approx(1 / 25 / 1e4)
