"""The plot of a run that was trained with others is that of an ordinary run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.image import imread
from together import alone, config_of, together

from stepsize.plots.callback import Plot
from stepsize.vectorized import sort_out
from stepsize.vectorized.folders import checkpoint_of, draw_plots

TASKS = ("curve", "blobs", "quadratic", "rosenbrock", "digits_mlp")


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("words", [(), ("optimizer.lr=1e3",)], ids=["", "diverging"])
def test_it_is_drawn_the_same(task: str, words: tuple[str, ...], tmp_path: Path) -> None:
    base = (f"task={task}", "optimizer=sgd", "optimizer.lr=1e-3", *words, "trainer.max_steps=30",
            "trainer.precision=64-true", "plots=true")  # fmt: skip
    configs = [config_of(*base, f"seed={seed}", folder=tmp_path / "ours") for seed in (0, 1)]
    outcome = together(configs)[1]
    drawn = dict(draw_plots(configs[1], outcome))
    _, _, theirs = alone(*base, "seed=1", folder=tmp_path / "theirs")
    files = sorted((tmp_path / "theirs").glob("*.png"))
    assert [f"plot/{file.stem}" for file in files] == sorted(drawn)
    assert files
    for file in files:
        # A number in the title may be rounded another way.
        assert np.mean(drawn[f"plot/{file.stem}"] != imread(file)[..., :3]) < 1e-3
    ours = checkpoint_of(outcome, configs[1])["callbacks"]
    assert ours.keys() == theirs["callbacks"].keys()
    if "Trajectory" in ours:
        mine, other = ours["Trajectory"], theirs["callbacks"]["Trajectory"]
        assert torch.equal(mine["steps"], other["steps"])
        points, expected = (way["points"].nan_to_num(0.0) for way in (mine, other))
        # Of a path that explodes the flat direction is a small difference of large numbers.
        size = expected.norm(dim=1, keepdim=True)
        assert ((points - expected).abs() <= 1e-9 * size).all()


def test_one_that_looks_at_every_step_is_left_to_the_ordinary_way(tmp_path: Path) -> None:
    config = config_of("task=curve", "allowed_packages=[test_vectorized_plots]", folder=tmp_path)
    config["plots"] = True
    config["callbacks"]["plot"]["_target_"] = "test_vectorized_plots.Watching"
    groups, left = sort_out([config])
    assert not groups
    assert left == {0: "callbacks.plot looks at every step; plots=false leaves it out"}


class Watching(Plot):
    name = "watching"

    def on_train_batch_end(self, *args: object) -> None:
        pass
