"""A vectorized run has the curve, the end and the state of the individual run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from vectorized_runs import ELEMENTWISE, config_of, difference, individual, varied, vectorized

from stepsize.vectorized import Outcome

# Not larger, because NAdam and RMSprop at 0.05 are chaotic on the quadratic: also in plain torch, a
# difference in the last bit of the initial weights grows to 1 in 100 steps.
LRS = (2e-3, 1e-2)
SCHEDULED = ("scheduler=warmup_cosine", "+param_groups.bias={match: bias, lr_scale: 0.5}")

# Overrides; all optimizers at two learning rates with two seeds are one program.
CASES = {
    "line": ("task=line",),
    "curve": ("task=curve", "data.points=100", *SCHEDULED),
    "blobs": ("task=blobs", "data.batch_size=18", "trainer.val_check_interval=70"),
    "quadratic": ("task=quadratic", "data.sigma=0.1", "scheduler=step", "scheduler.interval=epoch"),
}
SLOW = {
    "line, scheduled": ("task=line", *SCHEDULED),
    "curve, plain": ("task=curve",),
    "blobs, scheduled": ("task=blobs", *SCHEDULED),
    "quadratic, plain": ("task=quadratic",),
    "digits_mlp": ("task=digits_mlp",),
    "digits_mlp, scheduled": ("task=digits_mlp", *SCHEDULED, "trainer.gradient_clip_val=1.0"),
}


def trained(case: tuple[str, ...], names: tuple[str, ...], folder: Path) -> dict[Any, Outcome]:
    configs, keys = [], []
    for name in names:
        for lr in LRS:
            overrides = (f"optimizer={name}", f"optimizer.lr={lr}")
            configs += varied(config_of(*case, *overrides, folder=folder), (lr,), (0, 1))
        keys += [(name, lr, seed) for lr in LRS for seed in (0, 1)]
    return dict(zip(keys, vectorized(configs), strict=True))


def same(case: tuple[str, ...], key: Any, ours: Outcome, folder: Path, tolerance: float) -> None:
    name, lr, seed = key
    overrides = (f"optimizer={name}", f"optimizer.lr={lr}", f"seed={seed}")
    rows, result, checkpoint = individual(*case, *overrides, folder=folder)
    assert difference(ours.rows, rows, ours.optimum) < tolerance
    assert (result["status"] == "diverged") == (ours.diverged is not None)
    assert (result["reason"], result["steps"]) == (ours.diverged, ours.steps)
    assert result["optimum"] == ours.optimum
    same_state(ours, checkpoint, tolerance)


def same_state(ours: Outcome, checkpoint: dict[str, Any], tolerance: float) -> None:
    close = {"rtol": 100 * tolerance, "atol": 100 * tolerance, "equal_nan": True}
    torch.testing.assert_close(ours.state_dict(), checkpoint["state_dict"], **close)
    (theirs,) = checkpoint["optimizer_states"]
    state = ours.optimizer_state()
    assert repr(ours.param_groups) == repr(theirs["param_groups"])
    assert state.keys() == theirs["state"].keys()
    for index, entry in theirs["state"].items():
        torch.testing.assert_close(state[index], entry, **close)
    assert repr(ours.scheduler_state) == repr((checkpoint["lr_schedulers"] or [None])[0])


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Any:
    known: dict[str, dict[Any, Outcome]] = {}

    def of(case: str) -> dict[Any, Outcome]:
        if case not in known:
            overrides = (
                *{**CASES, **SLOW}[case],
                "trainer.precision=64-true",
                "trainer.max_steps=200",
            )
            known[case] = trained(overrides, ELEMENTWISE, tmp_path_factory.mktemp("configs"))
        return known[case]

    return of


@pytest.mark.parametrize("name", ELEMENTWISE)
@pytest.mark.parametrize("case", CASES)
def test_in_float64_every_number_equals_the_individual_run_s(
    case: str, name: str, outcomes: Any, tmp_path: Path
) -> None:
    place = ELEMENTWISE.index(name)
    key = (name, LRS[place % 2], place // 2 % 2)
    overrides = (*CASES[case], "trainer.precision=64-true", "trainer.max_steps=200")
    same(overrides, key, outcomes(case)[key], tmp_path / "run", 1e-10)


@pytest.mark.parametrize("lr", LRS)
@pytest.mark.parametrize("name", ELEMENTWISE)
@pytest.mark.parametrize("case", SLOW)
def test_in_float64_every_number_equals_the_individual_run_s_in_slow_cases(
    case: str, name: str, lr: float, outcomes: Any, tmp_path: Path
) -> None:
    key = (name, lr, 1)
    overrides = (*SLOW[case], "trainer.precision=64-true", "trainer.max_steps=200")
    same(overrides, key, outcomes(case)[key], tmp_path / "run", 1e-10)


@pytest.mark.parametrize("name", ["sgd", "asgd", "adagrad", "adam", "nadam", "radam", "rprop"])
def test_in_float32_the_first_steps_agree_to_rounding(name: str, tmp_path: Path) -> None:
    overrides = ("task=curve", "trainer.max_steps=50")
    ours = trained(overrides, (name,), tmp_path)
    key = (name, LRS[0], 1)
    rows, _, _ = individual(*overrides, f"optimizer={name}", f"optimizer.lr={LRS[0]}", "seed=1",
                       folder=tmp_path / "run")  # fmt: skip
    assert difference(ours[key].rows, rows) < 1e-4


DIGITS = ("task=digits_mlp", "model.net.widths=[64,16,16,10]", "trainer.max_steps=47",
          "trainer.precision=64-true")  # fmt: skip


@pytest.mark.parametrize(
    ("name", "overrides"),
    [
        ("muon", ()),
        ("lion", ("trainer.gradient_clip_val=1.0", "scheduler=cosine")),
        ("schedulefree_adamw", ("optimizer.warmup_steps=5",)),
        ("adam", ("scheduler=plateau", "scheduler.patience=0", "scheduler.threshold=0.3")),
        ("sgd", ("scheduler=plateau", "scheduler.interval=step", "scheduler.patience=2",
                 "+scheduler.frequency=3", "scheduler.monitor=train/loss")),
        ("adafactor", ("param_groups=layerwise",)),
        ("adamw", ("param_groups=no_decay", "trainer.gradient_clip_val=0.5")),
        ("sgd", ("optimizer.momentum=0.9", "optimizer.nesterov=true",
                 "trainer.gradient_clip_val=0.01", "+trainer.gradient_clip_algorithm=value")),
        ("adam", ("param_groups=freeze_backbone", "optimizer.amsgrad=true")),
        ("rmsprop", ("optimizer.centered=true", "optimizer.momentum=0.9", "scheduler=onecycle",
                     "scheduler.cycle_momentum=true", "+scheduler.frequency=2")),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_digits_agree_with_validation_groups_clipping_and_whole_matrices(
    name: str, overrides: tuple[str, ...], tmp_path: Path
) -> None:
    case = (*DIGITS, *overrides)
    key = (name, LRS[0], 1)
    ours = trained(case, (name,), tmp_path)[key]
    assert {23, 46, 47} <= {step for step, row in ours.rows.items() if "val/loss" in row}
    same(case, key, ours, tmp_path / "run", 1e-10)


def test_a_budget_in_epochs_is_the_same_number_of_steps(tmp_path: Path) -> None:
    overrides = ("task=blobs", "data.batch_size=18", "trainer.max_steps=-1", "trainer.max_epochs=3",
             "scheduler=cosine", "optimizer=adam", "trainer.precision=64-true")  # fmt: skip
    (ours,) = vectorized([config_of(*overrides, folder=tmp_path)])
    rows, result, checkpoint = individual(*overrides, folder=tmp_path / "run")
    assert ours.steps == result["steps"] == 36
    assert difference(ours.rows, rows) < 1e-10
    same_state(ours, checkpoint, 1e-10)
