"""Every optimizer trains a group that joins while the Trainer runs."""

import pytest
import torch
from conftest import Finished, composed, names

OVERRIDES = (
    "task=digits_mlp", "param_groups=freeze_backbone", "callbacks=unfreeze", "callbacks.plot=null",
    "trainer.val_check_interval=4", "logger=none",
)  # fmt: skip
ONE_GROUP = ("lbfgs", "sparse_adam")


@pytest.fixture(scope="module")
def initial_weight(tmp_path_factory):
    """Of the first layer: the same for every optimizer."""
    from stepsize.train import train

    folder = tmp_path_factory.mktemp("frozen") / "run"
    overrides = [*OVERRIDES, "callbacks.unfreeze=null", "trainer.max_steps=1"]
    train(composed(*overrides, folder=folder))
    return Finished(0.0, folder).checkpoint["state_dict"]["net.layer1.linear.weight"]


@pytest.mark.parametrize("name", [name for name in names("optimizer") if name not in ONE_GROUP])
@pytest.mark.parametrize("frozen", [True, False], ids=["before", "after"])
def test_every_optimizer_trains_the_group_when_it_has_joined(run, initial_weight, name, frozen):
    at = f"callbacks.unfreeze.groups.backbone.at={9 if frozen else 2}"
    finished = run(*OVERRIDES, f"optimizer={name}", at, "trainer.max_steps=4")
    assert finished.result["status"] == "completed"
    weight = finished.checkpoint["state_dict"]["net.layer1.linear.weight"]
    assert torch.equal(weight, initial_weight) == frozen
