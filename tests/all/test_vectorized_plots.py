"""The plot of a vectorized run is that of the individual run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.image import imread
from vectorized_runs import config_of, individual, vectorized

from stepsize.plots.callback import Plot
from stepsize.vectorized import group_jobs
from stepsize.vectorized.folders import checkpoint_of, draw_plots

TASKS = ("curve", "blobs", "quadratic", "rosenbrock", "digits_mlp")


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("overrides", [(), ("optimizer.lr=1e3",)], ids=["", "diverging"])
def test_it_is_drawn_the_same(task: str, overrides: tuple[str, ...], tmp_path: Path) -> None:
    base = (f"task={task}", "optimizer=sgd", "optimizer.lr=1e-3", *overrides, "plots=true",
            "trainer.max_steps=30", "trainer.precision=64-true")  # fmt: skip
    configs = [config_of(*base, f"seed={seed}", folder=tmp_path / "ours") for seed in (0, 1)]
    outcome = vectorized(configs)[1]
    drawn = dict(draw_plots(configs[1], outcome))
    _, _, theirs = individual(*base, "seed=1", folder=tmp_path / "theirs")
    files = sorted((tmp_path / "theirs").glob("*.png"))
    assert [f"view/{file.stem}" for file in files] == sorted(drawn)
    assert files
    for file in files:
        theirs_drawn = (imread(file)[..., :3] * 255).round()
        # A number in the title may be rounded differently.
        assert np.mean(drawn[f"view/{file.stem}"] != theirs_drawn) < 1e-3
    ours = checkpoint_of(outcome, configs[1])["callbacks"]
    assert ours.keys() == theirs["callbacks"].keys()
    if "Trajectory" in ours:
        mine, other = ours["Trajectory"], theirs["callbacks"]["Trajectory"]
        assert torch.equal(mine["steps"], other["steps"])
        points, expected = (trajectory["points"].nan_to_num(0.0) for trajectory in (mine, other))
        # On a diverging path, the flat direction is a small difference of large numbers.
        size = expected.norm(dim=1, keepdim=True)
        assert ((points - expected).abs() <= 1e-9 * size).all()


def test_a_plot_with_a_hook_for_every_step_is_trained_individually(tmp_path: Path) -> None:
    config = config_of("task=curve", "allowed_packages=[test_vectorized_plots]", folder=tmp_path)
    config["plots"] = True
    config["callbacks"]["plot"]["_target_"] = "test_vectorized_plots.EveryStep"
    groups, reasons = group_jobs([config])
    assert not groups
    assert reasons == {0: "callbacks.plot runs in every step; plots=false disables it"}


class EveryStep(Plot):
    name = "observer"

    def on_train_batch_end(self, *args: object) -> None:
        pass
