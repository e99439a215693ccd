"""Every file of conf/scheduler, drawn over a run and compared with torch's own stepping."""

from __future__ import annotations

import copy
import functools
import io
import math
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from torch.optim import lr_scheduler as lrs
from torch.optim.swa_utils import SWALR

from stepsize.schedules.build import build_schedule

FOLDER = Path(__file__).parents[3] / "conf" / "scheduler"
NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
METRICS = [3.0, 2.0, 1.0]  # then it stays

# The same schedules by hand, for a run of 40 steps and groups with the learning rates 1 and 0.1.
BY_HAND: dict[str, Callable[[torch.optim.Optimizer], Any]] = {
    "none": lambda o: None,
    "lambda": lambda o: lrs.LambdaLR(o, lambda t: 1 / (1 + t / 4)),
    "multiplicative": lambda o: lrs.MultiplicativeLR(o, lambda t: 0.01 ** (1 / 40)),
    "step": lambda o: lrs.StepLR(o, step_size=12),
    "multistep": lambda o: lrs.MultiStepLR(o, milestones=[20, 30]),
    "constant": lambda o: lrs.ConstantLR(o, total_iters=2),
    "linear": lambda o: lrs.LinearLR(o, total_iters=2),
    "exponential": lambda o: lrs.ExponentialLR(o, gamma=0.01 ** (1 / 40)),
    "polynomial": lambda o: lrs.PolynomialLR(o, total_iters=40),
    "cosine": lambda o: lrs.CosineAnnealingLR(o, T_max=40),
    "cosine_warm_restarts": lambda o: lrs.CosineAnnealingWarmRestarts(o, T_0=10),
    "cyclic": lambda o: lrs.CyclicLR(o, [0.1, 0.01], [1.0, 0.1], 4, cycle_momentum=False),
    "onecycle": lambda o: lrs.OneCycleLR(o, [1.0, 0.1], total_steps=40, cycle_momentum=False),
    "plateau": lambda o: lrs.ReduceLROnPlateau(o, patience=4, eps=0.0),
    "sequential": lambda o: lrs.SequentialLR(
        o,
        [
            lrs.ConstantLR(o, factor=0.1, total_iters=4),
            lrs.StepLR(o, step_size=8, gamma=0.5),
            lrs.CosineAnnealingLR(o, T_max=12),
        ],
        milestones=[4, 28],
    ),
    "chained": lambda o: lrs.ChainedScheduler(
        [
            lrs.LinearLR(o, start_factor=0.1, total_iters=4),
            lrs.MultiStepLR(o, milestones=[20, 30]),
        ],
        optimizer=o,
    ),
    "swalr": lambda o: SWALR(o, [0.5, 0.05], anneal_epochs=30),
    "warmup_cosine": lambda o: lrs.SequentialLR(
        o,
        [
            lrs.LinearLR(o, start_factor=0.01, total_iters=2),
            lrs.CosineAnnealingLR(o, T_max=38),
        ],
        milestones=[2],
    ),
    "warmup_linear": lambda o: lrs.SequentialLR(
        o,
        [
            lrs.LinearLR(o, start_factor=0.01, total_iters=2),
            lrs.LinearLR(o, start_factor=1.0, end_factor=0.0, total_iters=38),
        ],
        milestones=[2],
    ),
    "warmup_stable_decay": lambda o: lrs.SequentialLR(
        o,
        [
            lrs.LinearLR(o, start_factor=0.01, total_iters=2),
            lrs.ConstantLR(o, factor=1.0),
            lrs.LinearLR(o, start_factor=1.0, end_factor=0.0, total_iters=8),
        ],
        milestones=[2, 32],
    ),
    "inverse_sqrt": lambda o: lrs.LambdaLR(
        o, lambda t: min((t + 1) / 2, math.sqrt(2) / math.sqrt(t + 1))
    ),
}


def load(name: str, *overrides: str) -> dict[str, Any]:
    """A file of conf/scheduler, as the command line changes it."""
    return copy.deepcopy(composed(name, *overrides))


@functools.cache
def composed(name: str, *overrides: str) -> dict[str, Any]:
    beside = ["+optimizer.lr=1.0", "+monitor=train/loss", "+mode=min"]
    with initialize_config_dir(str(FOLDER.parent), version_base="1.3"):
        config = compose(f"scheduler/{name}", overrides=[*beside, *overrides])
    return OmegaConf.to_container(config, resolve=True)["scheduler"]


def two_groups(first: float = 1.0, second: float = 0.1) -> torch.optim.Optimizer:
    parameters = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    groups = [{"params": [parameters[0]], "lr": first}, {"params": [parameters[1]], "lr": second}]
    return torch.optim.SGD(groups, lr=1.0)


def learning_rates(
    optimizer: torch.optim.Optimizer, scheduler: Any, steps: int
) -> list[tuple[float, ...]]:
    """The groups' learning rates in each step of a run, by Lightning's order of calls."""
    drawn = []
    for step in range(steps):
        drawn.append(tuple(group["lr"] for group in optimizer.param_groups))
        optimizer.step()
        if isinstance(scheduler, lrs.ReduceLROnPlateau):
            scheduler.step(METRICS[min(step, len(METRICS) - 1)])
        elif scheduler is not None:
            scheduler.step()
    return drawn


def built(config: dict[str, Any], optimizer: torch.optim.Optimizer, steps: int) -> Any:
    entry = build_schedule(config, optimizer, total_steps=steps, steps_per_epoch=1)
    return entry["scheduler"] if entry else None


def draw(config: dict[str, Any], steps: int) -> list[tuple[float, ...]]:
    optimizer = two_groups()
    return learning_rates(optimizer, built(config, optimizer, steps), steps)


@pytest.mark.parametrize("name", BY_HAND)
def test_a_file_makes_the_learning_rates_of_torchs_own_stepping(name: str) -> None:
    optimizer = two_groups()
    by_hand = learning_rates(optimizer, BY_HAND[name](optimizer), 40)
    for ours, theirs in zip(draw(load(name), 40), by_hand, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-12)


@pytest.mark.parametrize("steps", [1, 2, 7, 100, 1003])
@pytest.mark.parametrize("name", NAMES)
def test_groups_keep_the_ratio_of_their_learning_rates_over_runs_of_any_length(
    name: str, steps: int
) -> None:
    drawn = draw(load(name), steps)
    assert [second for _, second in drawn] == pytest.approx([0.1 * first for first, _ in drawn])


@pytest.mark.parametrize("steps", [100, 1003])
@pytest.mark.parametrize("name", NAMES)
def test_a_run_of_any_length_ends_where_a_long_run_ends(name: str, steps: int) -> None:
    assert draw(load(name), steps)[-1] == pytest.approx(draw(load(name), 4000)[-1], abs=0.1)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "plateau"])
def test_a_run_ten_times_as_long_has_the_same_curve(name: str) -> None:
    short, long = draw(load(name), 400), draw(load(name), 4000)
    assert short == [pytest.approx(lr, abs=0.05) for lr in long[::10]]


@pytest.mark.parametrize("name", ["cosine", "polynomial", "warmup_cosine", "warmup_linear"])
@pytest.mark.parametrize("steps", [2, 7, 100, 1003])
def test_a_decay_is_at_zero_after_the_last_step_and_not_before(name: str, steps: int) -> None:
    optimizer = two_groups()
    scheduler = built(load(name), optimizer, steps)
    assert min(learning_rates(optimizer, scheduler, steps))[0] > 0
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0, 0], abs=1e-12)


@pytest.mark.parametrize("steps", [99, 100, 101, 102, 1001])
def test_no_restart_falls_on_the_end_of_a_run(steps: int) -> None:
    assert draw(load("cosine_warm_restarts"), steps)[-1][0] < 0.1


def test_the_peak_of_one_cycle_is_each_groups_own_learning_rate() -> None:
    optimizer = two_groups(second=5.0)
    drawn = learning_rates(optimizer, built(load("onecycle"), optimizer, 1000), 1000)
    assert [max(column) for column in zip(*drawn, strict=True)] == pytest.approx([1, 5], rel=1e-4)


def test_a_list_of_learning_rates_is_taken_as_it_is() -> None:
    config = {**load("onecycle"), "max_lr": [2.0, 3.0]}
    optimizer = two_groups()
    drawn = learning_rates(optimizer, built(config, optimizer, 1000), 1000)
    assert [max(column) for column in zip(*drawn, strict=True)] == pytest.approx([2, 3], rel=1e-4)


def test_a_floor_of_a_plateau_is_scaled_to_each_group() -> None:
    config = load("plateau", "scheduler.min_lr=0.01")
    assert draw(config, 400)[-1] == pytest.approx((0.01, 0.001))


def test_learning_rates_are_scaled_by_those_that_groups_start_from_inside_a_sequence() -> None:
    onecycle = {k: v for k, v in load("onecycle").items() if k != "interval"}
    config = load("warmup_cosine")
    config["schedulers"][1] = {**onecycle, "total_steps": "rest"}
    drawn = draw(config, 1000)
    assert [max(column) for column in zip(*drawn, strict=True)] == pytest.approx([1, 0.1], rel=1e-4)


def test_an_absolute_floor_of_a_cosine_is_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    draw(load("cosine", "scheduler.eta_min=0.01"), 4)
    assert "eta_min=0.01" in caplog.text


def test_an_absolute_floor_is_not_spoken_of_where_all_learning_rates_are_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    built(load("cosine", "scheduler.eta_min=0.01"), two_groups(second=1.0), 4)
    assert not caplog.text


@pytest.mark.parametrize("config", [None, {}])
def test_without_a_schedule_there_is_no_entry(config: dict[str, Any] | None) -> None:
    assert build_schedule(config, two_groups(), total_steps=4, steps_per_epoch=1) is None


def test_an_entry_carries_lightnings_keys() -> None:
    keys = {"interval": "epoch", "frequency": 2, "monitor": "a", "strict": False, "name": "b"}
    entry = build_schedule(
        {**load("cosine"), **keys}, two_groups(), total_steps=100, steps_per_epoch=10, monitor="c"
    )
    assert entry is not None
    assert entry.pop("scheduler").T_max == 5
    assert entry == keys


def test_a_plateau_watches_the_tasks_monitor_where_it_names_none() -> None:
    config = load("plateau", "scheduler.monitor=null")
    entry = build_schedule(
        config, two_groups(), total_steps=9, steps_per_epoch=1, monitor="val/loss"
    )
    assert entry is not None
    assert entry["monitor"] == "val/loss"


def test_one_epoch_in_epochs_is_said_to_leave_the_learning_rate_as_it_is(
    caplog: pytest.LogCaptureFixture,
) -> None:
    config = load("cosine", "scheduler.interval=epoch")
    build_schedule(config, two_groups(), total_steps=10, steps_per_epoch=10)
    assert "one epoch" in caplog.text


def test_a_function_for_each_group_is_a_list() -> None:
    function = load("lambda")["lr_lambda"]
    config = {**load("lambda"), "lr_lambda": [function, {**function, "half_life": "50%"}]}
    first, second = draw(config, 40)[20]
    assert (first, second) == pytest.approx((1 / 6, 0.1 / 2))


def test_a_function_of_another_package_gets_the_optimizer_and_durations() -> None:
    pytest.importorskip("pytorch_optimizer", reason='needs: pip install -e ".[optimizers]"')
    config = {
        "_target_": "pytorch_optimizer.get_wsd_schedule",
        "num_warmup_steps": "10%",
        "num_stable_steps": "50%",
        "num_decay_steps": "40%",
    }
    drawn = [first for first, _ in draw(config, 40)]
    assert drawn[4:24] == [1.0] * 20
    assert drawn[3] < 1 > drawn[25]


@pytest.mark.parametrize("name", [name for name in NAMES if name != "none"])
def test_a_schedule_continues_from_a_checkpoint_of_plain_values(name: str) -> None:
    optimizer = two_groups()
    scheduler = built(load(name), optimizer, 40)
    learning_rates(optimizer, scheduler, 20)
    file = io.BytesIO()
    torch.save({"o": optimizer.state_dict(), "s": scheduler.state_dict()}, file)
    file.seek(0)
    state = torch.load(file, weights_only=True)

    resumed = two_groups()
    resumed_scheduler = built(load(name), resumed, 40)
    resumed.load_state_dict(state["o"])
    resumed_scheduler.load_state_dict(state["s"])
    assert learning_rates(resumed, resumed_scheduler, 20) == learning_rates(
        optimizer, scheduler, 20
    )


@pytest.mark.parametrize("name", NAMES)
def test_the_command_of_a_file_makes_a_schedule(name: str) -> None:
    first = shlex.split((FOLDER / f"{name}.yaml").read_text().splitlines()[0])
    draw(load(name, *(word for word in first if word.startswith("scheduler."))), 40)
