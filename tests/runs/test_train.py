"""What a run computes and records."""

import math

import pytest
import torch
from conftest import names

LINE = ["task=line", "callbacks.plot=null"]


def test_the_objective_is_the_monitors_final_value(run):
    done = run(*LINE, "trainer.max_steps=30")
    assert done.objective == done.result["metrics"]["train/loss"]["final"]


def test_a_row_shows_the_weights_after_as_many_updates_as_its_step(run):
    once = run(*LINE, "optimizer=sgd", "trainer.max_steps=1", "trainer.log_every_n_steps=1")
    weights = once.checkpoint["state_dict"]
    x, y = torch.tensor(POINTS).T.unsqueeze(2).unbind()
    prediction = x * weights["net.weight"] + weights["net.bias"]
    assert list(once.curve("train/loss")) == [0, 1]
    assert once.curve("train/loss")[1] == pytest.approx((prediction - y).square().mean().item())


def test_a_closure_optimizers_row_shows_the_weights_that_the_step_began_with(run):
    words = [*LINE, "trainer.max_steps=3", "trainer.log_every_n_steps=1"]
    adam, lbfgs = run(*words, "optimizer=adam"), run(*words, "optimizer=lbfgs")
    assert lbfgs.curve("train/loss")[0] == adam.curve("train/loss")[0]
    assert lbfgs.result["steps"] == 3
    assert lbfgs.curve("train/loss")[1] < adam.curve("train/loss")[1]


@pytest.mark.parametrize("precision", ["64-true", "bf16-mixed", "bf16-true"])
def test_a_run_in_another_precision_ends_well(run, precision):
    done = run(*LINE, f"trainer.precision={precision}", "trainer.max_steps=20")
    assert done.result["status"] == "completed"


def test_stochastic_gradient_descent_reaches_the_closed_form(run):
    done = run(*LINE, "optimizer=sgd", "optimizer.lr=1e-2", "trainer.max_steps=8000")
    x, y = torch.tensor(POINTS, dtype=torch.float64).T
    design = torch.stack([x, torch.ones_like(x)], 1)
    slope, intercept = torch.linalg.lstsq(design, y).solution
    best = (design @ torch.stack([slope, intercept]) - y).square().mean().item()
    assert done.result["optimum"] == pytest.approx(best, abs=1e-7)
    assert abs(done.result["metrics"]["train/gap"]["final"]) < 1e-6
    assert abs(done.objective - best) < 1e-6
    weights = done.checkpoint["state_dict"]
    # float32: near the minimum the flat direction moves by less than a rounding of the loss
    assert weights["net.weight"].item() == pytest.approx(slope.item(), abs=1e-4)
    assert weights["net.bias"].item() == pytest.approx(intercept.item(), abs=1e-4)


def test_gradient_descent_on_the_quadratic_has_its_textbook_rate(run):
    condition = 100.0
    done = run(
        "task=quadratic", "optimizer=sgd", f"optimizer.lr={2 / (condition + 1)}",
        "callbacks.plot=null", "trainer.max_steps=300", "trainer.precision=64-true",
    )  # fmt: skip
    gap = done.curve("train/gap")
    rate = (gap[290] / gap[190]) ** (1 / 200)  # the gap is quadratic in the error
    assert rate == pytest.approx((condition - 1) / (condition + 1), rel=1e-6)


def test_heavy_ball_on_the_quadratic_has_its_textbook_rate(run):
    condition = 100.0
    root = math.sqrt(condition)
    done = run(
        "task=quadratic", "optimizer=sgd", f"optimizer.lr={(2 / (root + 1)) ** 2}",
        f"optimizer.momentum={((root - 1) / (root + 1)) ** 2}", "callbacks.plot=null",
        "trainer.max_steps=300", "trainer.precision=64-true",
    )  # fmt: skip
    gap = done.curve("train/gap")
    first, last = 150, 290
    rate = (math.sqrt(gap[last] / gap[first]) / (last / first)) ** (1 / (last - first))
    assert rate == pytest.approx((root - 1) / (root + 1), rel=0.01)


def test_gradient_noise_gives_the_textbook_variance(run):
    """At curvature 1, x has the variance lr sigma^2 / (2 - lr), and f is half its square."""
    lr, sigma, dim = 0.2, 1.0, 2000
    done = run(
        "task=quadratic", f"model.net.dim={dim}", "model.net.condition=1.0",
        "model.net.rotate=false", f"data.sigma={sigma}", "optimizer=sgd", f"optimizer.lr={lr}",
        "callbacks.plot=null", "trainer.max_steps=400",
    )  # fmt: skip
    late = [value for step, value in done.curve("train/loss").items() if step >= 100]
    expected = dim * lr * sigma**2 / (2 - lr) / 2
    assert sum(late) / len(late) == pytest.approx(expected, rel=0.02)


def test_a_diverged_run_says_when_and_is_infinitely_bad(run):
    done = run(*LINE, "optimizer=sgd", "optimizer.lr=1", "trainer.max_steps=2000")
    assert done.objective == math.inf
    assert done.result["status"] == "diverged"
    assert "at step" in done.result["reason"]
    assert done.result["steps"] < 2000


def test_a_loss_that_is_not_a_number_is_divergence_at_once(run):
    done = run(*LINE, "optimizer=sgd", "optimizer.lr=1e30", "trainer.max_steps=100")
    assert done.result["status"] == "diverged"
    assert done.result["steps"] <= 11


@pytest.mark.parametrize("task", names("task"))
def test_the_optimum_is_known_where_the_design_says(run, task):
    words = [f"task={task}", "trainer.max_steps=1", "callbacks.plot=null"]
    known = {"line", "blobs", "quadratic", "rosenbrock", "diabetes", "breast_cancer"}
    done = run(*words)
    assert (done.result["optimum"] is not None) == (task in known)
    if task in known:
        assert done.result["metrics"]["train/gap"]["first"] > 0


def test_another_model_on_a_task_has_no_known_optimum(run):
    words = ["model=curve_net", "model.net.widths=[10,5,1]", "callbacks.plot=null"]
    assert run("task=diabetes", *words, "trainer.max_steps=1").result["optimum"] is None


def test_the_final_weights_are_validated_whatever_the_number_of_steps(run):
    done = run("task=digits_mlp", "trainer.max_steps=7", "callbacks.plot=null")
    assert list(done.curve("val/loss")) == [7]


def test_a_validation_stands_in_the_row_of_the_weights_that_it_saw(run):
    words = ["task=digits_mlp", "trainer.max_steps=8", "callbacks.plot=null"]
    often = run(*words, "trainer.val_check_interval=4").curve("val/loss")
    assert list(often) == [4, 8]
    assert run(*words).curve("val/loss") == {8: often[8]}


def test_resolved_configurations_have_equal_hashes_and_others_not(run):
    first, again, other = (
        run(*LINE, "trainer.max_steps=2", *words).result["config_hash"]
        for words in ([], ["name=second"], ["optimizer.lr=0.5"])
    )
    assert first == again != other


def test_groups_and_schedule_show_in_the_rates(run):
    done = run(
        "task=digits_mlp", "param_groups=no_decay", "scheduler=warmup_cosine",
        "trainer.max_steps=40", "callbacks.plot=null",
    )  # fmt: skip
    for tag in ("lr/no_decay", "lr/default"):
        rates = done.curve(tag)
        assert rates[0] < rates[10] > rates[30]


POINTS = [
    (3.4, 1.7), (5.4, 2.76), (6.71, 2.09), (6.89, 3.19), (6.93, 1.694), (4.16, 1.573),
    (9.779, 3.366), (6.182, 2.596), (7.59, 2.53), (2.167, 1.221), (7.042, 2.87), (10.791, 3.45),
    (5.31, 1.6), (7.997, 2.9), (3.1, 1.3),
]  # fmt: skip
