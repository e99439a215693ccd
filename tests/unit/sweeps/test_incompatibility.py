"""Which optimizers a sweep skips because they cannot train the task's model."""

import pytest
from conftest import CONF
from hydra import compose, initialize_config_dir

from stepsize.sweeps.compatibility import incompatibility


def reason(*overrides):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return incompatibility(
            compose("train", overrides=list(overrides), return_hydra_config=True)
        )


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "lbfgs"])
def test_an_optimizer_that_can_train_the_model_has_no_reason(optimizer):
    assert reason("task=line", f"optimizer={optimizer}") is None


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        (("task=line", "optimizer=sparse_adam"), "sparse"),
        (("task=line", "param_groups=layerwise"), "param_groups"),
    ],
)
def test_the_reason_names_what_is_incompatible(overrides, named):
    found = reason(*overrides)
    assert found is not None
    assert named in found
    assert "\n" not in found


def test_a_wrong_value_is_no_incompatibility():
    assert reason("task=line", "optimizer.lr=-1") is None
