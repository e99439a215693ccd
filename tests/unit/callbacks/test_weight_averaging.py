"""Averaged weights are what is validated, looked at and kept; training goes on with its own."""

from typing import ClassVar

import pytest
import pytorch_lightning as pl
import torch
from conftest import composed
from torch.optim.swa_utils import AveragedModel

from stepsize.callbacks.weight_averaging import WeightAveraging

SWA = (
    "task=digits_mlp", "scheduler=swalr", "callbacks=swa", "callbacks.plot=null",
    "logger=none", "trainer.log_every_n_steps=1",
)  # fmt: skip


class Weights(pl.Callback):
    """The trained weights after every step, and those that a validation has seen."""

    made: ClassVar[list["Weights"]] = []

    def __init__(self):
        self.trained, self.validated = [], {}
        self.made.append(self)

    def on_train_batch_end(self, trainer, pl_module, *_):
        self.trained.append(_copy(pl_module))

    def on_validation_batch_start(self, trainer, pl_module, *_):
        self.validated[trainer.global_step] = _copy(pl_module)


def _copy(module):
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def trained(tmp_path, *overrides):
    """Train with a witness among the callbacks."""
    from stepsize.train import train

    mine = (f"+callbacks.witness._target_={__name__}.Weights", f"allowed_packages=[{__name__}]")
    folder = tmp_path / "run"
    train(composed(*overrides, *mine, "trainer.accelerator=cpu", folder=folder))
    saved = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    return Weights.made.pop(), saved


def _mean(states):
    floating = [name for name, value in states[0].items() if value.is_floating_point()]
    return {name: torch.stack([s[name].double() for s in states]).mean(0) for name in floating}


def _close(state, expected):
    for name, value in expected.items():
        if value.is_floating_point():
            torch.testing.assert_close(state[name].double(), value.double(), rtol=1e-4, atol=1e-6)


def test_the_checkpoint_holds_the_mean_of_the_last_quarter_of_the_steps(tmp_path):
    witness, saved = trained(tmp_path, *SWA, "trainer.max_steps=12")
    _close(saved["state_dict"], _mean(witness.trained[9:]))
    _close(saved["current_model_state"], witness.trained[-1])
    assert int(saved["averaging_state"]["n_averaged"]) == 3


def test_validation_sees_the_present_weights_until_the_average_begins(tmp_path):
    witness, _ = trained(tmp_path, *SWA, "trainer.max_steps=12", "trainer.val_check_interval=4")
    assert sorted(witness.validated) == [4, 8, 12]
    _close(witness.validated[4], witness.trained[3])
    _close(witness.validated[8], witness.trained[7])
    _close(witness.validated[12], _mean(witness.trained[9:]))


def test_the_validation_after_the_last_step_is_of_the_average(tmp_path):
    witness, saved = trained(tmp_path, *SWA, "trainer.max_steps=10", "trainer.val_check_interval=4")
    _close(witness.validated[10], saved["state_dict"])
    _close(saved["state_dict"], _mean(witness.trained[8:]))


def test_averaging_changes_nothing_about_the_training(run):
    averaged = run(*SWA, "trainer.max_steps=8").curve("train/loss")
    plain = run(*SWA, "trainer.max_steps=8", "callbacks.swa=null").curve("train/loss")
    assert averaged == plain


def test_the_final_value_of_a_full_batch_task_is_the_averages(run):
    words = ("task=line", "trainer.max_steps=40", "callbacks.plot=null", "callbacks=ema")
    finished = run(*words, "callbacks.ema.decay=0.9")
    plain = run(*words, "callbacks.ema=null")
    assert finished.curve("train/loss")[30] == plain.curve("train/loss")[30]
    last, plains = (r.result["metrics"]["train/loss"]["final"] for r in (finished, plain))
    assert last > plains
    gap = finished.result["metrics"]["train/gap"]["final"]
    assert gap == pytest.approx(last - finished.result["optimum"])


def test_a_moving_average_is_torchs_own(tmp_path):
    words = ("task=digits_mlp", "callbacks=ema", "callbacks.ema.start=3", "callbacks.ema.decay=0.7")
    witness, saved = trained(tmp_path, *words, "callbacks.plot=null", "trainer.max_steps=8")
    average = witness.trained[3]
    for state in witness.trained[4:]:
        average = {name: 0.7 * average[name] + 0.3 * state[name] for name in average}
    _close(saved["state_dict"], average)


def test_batch_norms_statistics_are_averaged_and_its_counter_is_not(tmp_path):
    words = ("task=digits", "callbacks=swa", "callbacks.plot=null", "trainer.max_steps=4")
    witness, saved = trained(tmp_path, *words, "callbacks.swa.start=1", "optimizer.lr=1e-2")
    _close(saved["state_dict"], _mean(witness.trained[1:]))
    assert int(saved["state_dict"]["net.bn1.num_batches_tracked"]) == 4


@pytest.mark.parametrize("stop", [4, 8])
def test_a_run_resumes_exactly_before_and_after_the_average_begins(run, stop):
    words = (*SWA, "scheduler=none", "callbacks.swa.start=6", "trainer.val_check_interval=4")
    first = run(*words, f"trainer.max_steps={stop}")
    checkpoint = f"ckpt_path={first.folder / 'checkpoints' / 'last.ckpt'}"
    resumed = run(*words, "trainer.max_steps=12", checkpoint)
    whole = run(*words, "trainer.max_steps=12")
    for key in ("state_dict", "current_model_state"):
        for name, value in whole.checkpoint[key].items():
            assert torch.equal(value, resumed.checkpoint[key][name]), (key, name)
    for tag in ("train/loss", "val/loss"):
        assert resumed.curve(tag) == whole.curve(tag)


def test_the_equal_average_is_torchs_own():
    torch.manual_seed(0)
    source = torch.nn.BatchNorm1d(3)
    average = WeightAveraging()._kwargs["avg_fn"]
    ours = AveragedModel(source, avg_fn=average, use_buffers=True)
    theirs = AveragedModel(source, use_buffers=True)
    for _ in range(5):
        source(torch.randn(4, 3))
        ours.update_parameters(source)
        theirs.update_parameters(source)
    torch.testing.assert_close(ours.module.running_var, theirs.module.running_var)


@pytest.mark.parametrize("start", ["rest", "half", -1, 0.5, True])
def test_a_start_that_is_no_moment_is_refused(start):
    with pytest.raises(ValueError, match="start="):
        WeightAveraging(start)


@pytest.mark.parametrize("decay", [-0.1, 1, 1.5])
def test_a_decay_outside_0_to_1_is_refused(decay):
    with pytest.raises(ValueError, match="decay="):
        WeightAveraging(decay=decay)
