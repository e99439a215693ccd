"""Each optimizer trains one task, each task one optimizer, each schedule one run."""

import pytest
from conftest import names
from every_pair import check_loss_falls
from every_schedule import check_learning_rates

TASKS = {"muon": "digits_mlp", "sparse_adam": "digits_sparse"}
OPTIMIZERS = {"digits_sparse": "adagrad"}


@pytest.mark.parametrize("optimizer", names("optimizer"))
def test_each_optimizer_reduces_the_loss_of_a_task(run, optimizer):
    check_loss_falls(run, optimizer, TASKS.get(optimizer, "blobs"), steps=20)


@pytest.mark.parametrize("task", names("task"))
def test_each_tasks_loss_is_reduced_by_an_optimizer(run, task):
    check_loss_falls(run, OPTIMIZERS.get(task, "adam"), task, steps=20)


@pytest.mark.parametrize("scheduler", [name for name in names("scheduler") if name != "none"])
def test_a_run_trains_at_the_learning_rates_of_each_schedule(run, tmp_path, scheduler):
    check_learning_rates(run, tmp_path, "sgd", scheduler)
