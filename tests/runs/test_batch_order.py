"""Every training loader gives the same batches at one seed, and continues exactly."""

import json

import pytest
from own_loaders import LOADERS
from resuming import check_exact

STOPS = {"the middle of an epoch": 10, "a validation": 8, "the end of an epoch": 14}
RESTORED = [kind for kind in LOADERS if kind != "iterator"]


def own(kind, optimizer="adam"):
    return [
        "task=line", "~data", f"+data={{_target_: own_loaders.Own, kind: {kind}}}",
        "model._target_=resuming.JitteryOfAll", "monitor=train/loss", "target=null",
        f"optimizer={optimizer}", "allowed_packages=[own_loaders,resuming]", "logger=none",
        "callbacks.plot=null", "trainer.val_check_interval=8", "trainer.log_every_n_steps=3",
    ]  # fmt: skip


@pytest.mark.parametrize("kind", RESTORED)
def test_a_run_with_dropout_goes_on_exactly_in_the_middle_of_an_epoch(run, kind):
    check_exact(run, own(kind), 10, steps=19)


@pytest.mark.parametrize("step", [7, 8, 14])
@pytest.mark.parametrize("kind", ["unshuffled", "shuffled"])
def test_it_does_not_matter_where_a_run_with_a_loader_was_stopped(run, kind, step):
    check_exact(run, own(kind), step, steps=19)
