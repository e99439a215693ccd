"""All of torch.optim under all of torch.optim.lr_scheduler, on a task that suits the optimizer."""

import pytest
from conftest import CONF, names
from every_schedule import check_learning_rates
from omegaconf import OmegaConf

OPTIMIZERS = [
    name
    for name in names("optimizer")
    if OmegaConf.load(CONF / "optimizer" / f"{name}.yaml")["_target_"].startswith("torch.")
]


@pytest.mark.parametrize("scheduler", [name for name in names("scheduler") if name != "none"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_run_trains_at_the_learning_rates_that_stepping_by_hand_gives(
    run, tmp_path, optimizer, scheduler
):
    check_learning_rates(run, tmp_path, optimizer, scheduler)
