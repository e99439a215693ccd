"""The logarithm of the gap to the optimum, where there is one."""

import math

import pytest
import torch
from torch import nn

from stepsize.data import Line
from stepsize.modules import Regressor
from stepsize.optima.gap import Gap

OVERRIDES = ["callbacks.plot=null", "logger=none"]


def test_it_is_the_logarithm_of_the_gap_in_every_row(run):
    done = run("task=line", *OVERRIDES, "trainer.max_steps=25")
    gaps, logarithms = done.curve("train/gap"), done.curve("train/log10_gap")
    assert list(gaps) == list(logarithms) == [0, 10, 20, 25]
    for step, gap in gaps.items():
        assert logarithms[step] == math.log10(gap)


@pytest.mark.parametrize("gap", [-1e-15, 0.0, 1e-17])
def test_what_rounding_leaves_of_a_gap_is_shown_at_the_resolution_of_the_loss(gap):
    torch.manual_seed(0)
    module = Regressor(nn.Linear(1, 1))
    shown = Gap(module, Line(), optimum=0.0)
    shown.optimum = shown(module) - gap  # the module itself is as good as the optimum
    row = shown.row(module)
    assert row["train/log10_gap"] == math.log10(2.220446049250313e-16 * abs(shown.optimum))


def test_where_the_optimum_is_0_small_gaps_are_exact_and_shown(run):
    overrides = ["task=quadratic", "optimizer=sgd", "optimizer.lr=0.5", "model.net.condition=2"]
    done = run(*overrides, *OVERRIDES, "trainer.max_steps=40", "trainer.precision=64-true")
    assert done.curve("train/log10_gap")[40] < -20
    assert done.curve("train/log10_gap")[40] == math.log10(done.curve("train/gap")[40])


def test_an_exact_0_is_shown_too():
    gap = Gap(Regressor(nn.Linear(1, 1)), Line(), optimum=0.0)
    assert math.log10(gap.floor) == pytest.approx(-31.3, abs=0.01)


def test_a_gap_that_is_not_finite_has_no_finite_logarithm(run):
    done = run(
        "task=line", *OVERRIDES, "optimizer=sgd", "optimizer.lr=1e30", "trainer.max_steps=30"
    )
    assert not math.isfinite(list(done.curve("train/log10_gap").values())[-1])


def test_it_can_be_monitored_and_is_no_result_otherwise(run):
    overrides = ["task=line", *OVERRIDES, "trainer.max_steps=20"]
    watched, usual = run(*overrides, "monitor=train/log10_gap"), run(*overrides)
    assert watched.objective == watched.curve("train/log10_gap")[20]
    assert "train/log10_gap" in watched.result["metrics"]
    assert "train/log10_gap" not in usual.result["metrics"]


def test_without_a_known_optimum_there_is_none(run):
    done = run("task=curve", *OVERRIDES, "trainer.max_steps=1")
    assert not any("gap" in tag for tag in done.rows[0])
    with pytest.raises(ValueError, match="monitor=train/log10_gap is never logged"):
        run("task=curve", *OVERRIDES, "monitor=train/log10_gap")
