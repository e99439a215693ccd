"""Plots of finished fits, drawn by real runs."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path as FilePath
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from conftest import Finished, names
from torch import Tensor, nn

from stepsize.data import Blobs
from stepsize.modules import Classifier
from stepsize.optim import Recipe
from stepsize.plots import DecisionBoundary, Scores
from stepsize.plots.trajectory import Path

Run = Callable[..., Finished]
# The logged loss is not finite within a few steps of any task.
WILD = ("optimizer=sgd", "optimizer.lr=3e38", "callbacks.divergence=null")


@pytest.fixture
def no_complaint(caplog: pytest.LogCaptureFixture):
    """Fails a test in which a plot was given up, which a run by itself survives."""
    yield
    complaints = [r.getMessage() for r in caplog.records if "was not drawn" in r.getMessage()]
    assert not complaints


def pixels(file: FilePath) -> np.ndarray:
    from matplotlib.image import imread

    return (imread(file)[..., :3] * 255).round().astype(np.uint8)


def plot_of(finished: Finished) -> np.ndarray:
    (file,) = finished.folder.glob("*.png")
    return pixels(file)


def share_of_ink(image: np.ndarray) -> float:
    return float((image < 250).any(-1).mean())


@pytest.mark.usefixtures("no_complaint")
@pytest.mark.parametrize("task", names("task"))
def test_every_task_leaves_a_plot_with_ink_in_it(run: Run, task: str) -> None:
    image = plot_of(run(f"task={task}", "trainer.max_steps=3"))
    assert image.shape == (600, 900, 3)
    assert share_of_ink(image) > 0.02
    assert share_of_ink(image[100:500, 100:-100]) > 0.005


@pytest.mark.usefixtures("no_complaint")
@pytest.mark.parametrize("task", names("task"))
def test_weights_that_are_not_finite_are_drawn(run: Run, task: str) -> None:
    finished = run(f"task={task}", *WILD, "trainer.max_steps=8", "trainer.log_every_n_steps=1")
    assert finished.result["status"] == "diverged"
    assert share_of_ink(plot_of(finished)) > 0.01


@pytest.mark.usefixtures("no_complaint")
@pytest.mark.parametrize("lr", [1e-2, 1.0, 1e6, 1e20])
def test_a_run_that_diverged_keeps_its_result_and_its_plot(run: Run, lr: float) -> None:
    finished = run("task=rosenbrock", "optimizer=sgd", f"optimizer.lr={lr}", "trainer.max_steps=50")
    assert finished.result["status"] == "diverged"
    assert share_of_ink(plot_of(finished)) > 0.1


@pytest.mark.usefixtures("no_complaint")
@pytest.mark.parametrize("task", ["blobs", "breast_cancer", "curve", "diabetes", "digits_mlp"])
def test_weights_that_are_huge_but_finite_are_drawn(run: Run, task: str) -> None:
    finished = run(f"task={task}", "optimizer=sgd", "optimizer.lr=1e9", "trainer.max_steps=2")
    assert share_of_ink(plot_of(finished)) > 0.01


@pytest.mark.usefixtures("no_complaint")
@pytest.mark.parametrize("net", ["dim=2", "dim=3", "dim=40", "condition=1", "rotate=false"])
def test_a_quadratic_of_many_dimensions_is_drawn_in_a_plane(run: Run, net: str) -> None:
    finished = run("task=quadratic", f"model.net.{net}", "trainer.max_steps=3")
    assert share_of_ink(plot_of(finished)) > 0.1


def test_tensorboard_shows_the_same_plot_at_the_last_step(run: Run, tmp_path: FilePath) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    finished = run("task=line", "trainer.max_steps=7")
    events = EventAccumulator(str(finished.folder)).Reload()
    (image,) = events.Images("view/fit")
    copy = tmp_path / "tensorboard.png"
    copy.write_bytes(image.encoded_image_string)
    assert image.step == 7
    assert (pixels(copy) == plot_of(finished)).all()


def test_without_tensorboard_the_file_is_still_written(run: Run) -> None:
    finished = run("task=line", "logger=none", "trainer.max_steps=2")
    assert (finished.folder / "fit.png").is_file()


@pytest.mark.parametrize("switch", ["~callbacks.plot", "callbacks.plot=null"])
def test_plots_can_be_switched_off(run: Run, switch: str) -> None:
    finished = run("task=line", switch, "trainer.max_steps=2")
    assert finished.result["status"] == "completed"
    assert not list(finished.folder.glob("*.png"))


def test_a_plot_that_does_not_suit_the_task_is_a_warning(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    unsuited = "callbacks.plot._target_=stepsize.plots.Trajectory"
    with caplog.at_level(logging.WARNING):
        finished = run("task=line", unsuited, "trainer.max_steps=2")
    assert finished.result["status"] == "completed"
    assert "trajectory.png was not drawn: a trajectory is drawn for" in caplog.text


def test_a_folder_that_cannot_be_written_is_a_warning(
    run: Run, caplog: pytest.LogCaptureFixture, tmp_path: FilePath
) -> None:
    (tmp_path / "file").touch()
    finished = run("task=line", f"callbacks.plot.dirpath={tmp_path}/file", "trainer.max_steps=2")
    assert finished.result["status"] == "completed"
    assert "fit.png was not drawn" in caplog.text


@pytest.mark.parametrize(
    "optimizer",
    [
        ("optimizer=sgd", "optimizer.lr=1e-3", "optimizer.momentum=0.9"),
        ("optimizer=lbfgs", "optimizer.max_iter=2"),  # evaluates several times in a step
    ],
    ids=["sgd", "lbfgs"],
)
def test_a_resumed_run_draws_the_whole_trajectory(run: Run, optimizer: tuple[str, ...]) -> None:
    overrides = ("task=rosenbrock", *optimizer)
    whole = run(*overrides, "trainer.max_steps=30")
    half = run(*overrides, "trainer.max_steps=12")
    rest = run(*overrides, "trainer.max_steps=30", f"ckpt_path={half.folder}/checkpoints/last.ckpt")
    paths = [ended.checkpoint["callbacks"]["Trajectory"] for ended in (rest, whole)]
    assert all(torch.equal(paths[0][key], value) for key, value in paths[1].items())
    assert (plot_of(rest) == plot_of(whole)).all()
    assert (plot_of(half) != plot_of(whole)).any()


def test_the_trajectory_of_lbfgs_has_every_point_that_it_evaluates(run: Run) -> None:
    finished = run("task=rosenbrock", "optimizer=lbfgs", "trainer.max_steps=3")
    path = finished.checkpoint["callbacks"]["Trajectory"]
    x = torch.nn.Parameter(torch.tensor([-1.2, 1.0]))
    optimizer = torch.optim.LBFGS([x])
    evaluated, steps = [], []

    def closure() -> Tensor:
        evaluated.append(x.detach().clone())
        steps.append(step)
        optimizer.zero_grad()
        loss = (1 - x[0]).square() + 100 * (x[1] - x[0].square()).square()
        loss.backward()
        return loss

    for step in range(3):  # noqa: B007 (read by the closure)
        optimizer.step(closure)
    assert path["steps"].tolist() == steps
    assert len(steps) > 20
    torch.testing.assert_close(path["points"], torch.stack(evaluated), rtol=1e-3, atol=1e-3)


def test_the_trajectory_in_a_checkpoint_has_every_iterate(run: Run) -> None:
    finished = run("task=rosenbrock", "optimizer=sgd", "optimizer.lr=1e-4", "trainer.max_steps=5")
    path = finished.checkpoint["callbacks"]["Trajectory"]
    assert path["steps"].tolist() == [0, 1, 2, 3, 4]
    assert path["points"][0].tolist() == pytest.approx([-1.2, 1.0])
    gradient = torch.tensor([-215.6, -88.0])  # at the start, by hand
    torch.testing.assert_close(path["points"][1], path["points"][0] - 1e-4 * gradient)


def walk(path: Path, steps: range, each: int = 1) -> Path:
    """Add ``each`` points in each step."""
    for step in steps:
        if path.begin(step):
            for number in range(each):
                path.add(step, torch.tensor([float(step), float(number)]))
    return path


def test_a_long_path_is_thinned_evenly() -> None:
    path = walk(Path(most=16), range(100))
    assert path.steps().tolist() == list(range(0, 100, 8))
    assert path.points()[:, 0].tolist() == path.steps().tolist()


def test_a_thinned_path_keeps_all_points_of_a_step() -> None:
    path = walk(Path(most=16), range(10), each=3)
    assert path.steps().tolist() == [0, 0, 0, 2, 2, 2, 4, 4, 4, 6, 6, 6, 8, 8, 8]
    assert path.points()[:, 1].tolist() == [0, 1, 2] * 5


@pytest.mark.parametrize("each", [1, 3])
def test_a_path_continues_from_its_state_as_if_never_stopped(each: int) -> None:
    resumed = Path(most=10)
    resumed.load_state_dict(walk(Path(most=10), range(47), each).state_dict())
    whole = walk(Path(most=10), range(52), each).state_dict()
    for key, value in walk(resumed, range(47, 52), each).state_dict().items():
        assert torch.equal(value, whole[key])


def test_a_step_that_is_repeated_after_an_interruption_counts_once() -> None:
    path = walk(walk(Path(), range(3), each=2), range(2, 4), each=2)
    assert path.steps().tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


class _Restless(nn.Module):
    """Draws a random number at each call, and has a part with statistics of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.norm, self.fc = nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.norm(self.linear(x)) + 1e-3 * torch.randn(1))


class _Snapshot(pl.Callback):
    """What drawing must not change, as it was at the end of training."""

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        import matplotlib

        self.weights = {k: v.clone() for k, v in pl_module.state_dict().items()}
        self.gradients = [p.grad for p in pl_module.parameters()]
        self.modes = [part.training for part in pl_module.modules()]
        self.random: Any = torch.get_rng_state()
        self.settings = dict(matplotlib.rcParams)


@pytest.fixture(scope="module")
def around(tmp_path_factory: pytest.TempPathFactory) -> tuple[_Snapshot, _Snapshot]:
    """Snapshots from before and after a decision boundary was drawn."""
    folder = tmp_path_factory.mktemp("drawn")
    before, after = _Snapshot(), _Snapshot()
    module = Classifier(_Restless())
    module.recipe = Recipe({"_target_": "torch.optim.SGD", "lr": 0.1}, None, None)
    trainer = pl.Trainer(
        max_steps=2,
        accelerator="cpu",
        callbacks=[_HalfFrozen(), before, DecisionBoundary(str(folder), "blobs"), after],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
    )
    trainer.fit(module, Blobs())
    assert (folder / "decision_boundary.png").is_file()
    return before, after


class _HalfFrozen(pl.Callback):
    """Leaves one part in evaluation mode within a module in training mode."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        pl_module.net.linear.eval()


def test_drawing_changes_neither_weights_nor_statistics(around) -> None:
    before, after = around
    assert all(torch.equal(after.weights[name], value) for name, value in before.weights.items())
    assert all(a is b for a, b in zip(before.gradients, after.gradients, strict=True))


def test_drawing_leaves_every_part_in_its_mode(around) -> None:
    before, after = around
    assert {True, False} == set(before.modes)
    assert before.modes == after.modes


def test_drawing_takes_no_random_number_from_the_run(around) -> None:
    before, after = around
    assert torch.equal(before.random, after.random)


def test_drawing_leaves_matplotlibs_settings_alone(around) -> None:
    before, after = around
    assert before.settings == after.settings


def test_scores_need_two_names() -> None:
    with pytest.raises(ValueError, match=r"callbacks.plot.classes=\['a'\]: give two names"):
        Scores("folder", "title", classes=["a"])
