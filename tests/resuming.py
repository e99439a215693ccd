"""Runs that are stopped and resumed, compared with runs that were never stopped."""

import hashlib
import json
import os
import signal

import pytest
import pytorch_lightning as pl
import torch
from torch.utils._pytree import tree_leaves

from stepsize.modules import Regressor

STEPS = 32
# 23 batches in an epoch, a validation every 8 steps, a row every 3.
TASK = [
    "task=digits_mlp", "trainer.val_check_interval=8", "trainer.log_every_n_steps=3",
    "callbacks.plot=null", "logger=none",
]  # fmt: skip
MIDDLE, VALIDATION, EPOCH = 13, 16, 23
# What cannot be trained on the task above, or takes long there.
OTHER_TASK = {"sparse_adam": "task=digits_sparse", "lbfgs": "task=breast_cancer"}
# Every step, for it is the last one before the stop that counts.
SAVING = ["callbacks.checkpoint.minutes=1e-9"]


class StopAt(pl.Callback):
    """Ends a run after ``step`` steps, in one of the ways in which runs end."""

    def __init__(self, step, way):
        self.step, self.way = step, way

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        # A crash in a step leaves the checkpoint that was written before it.
        if self.way == "crash" and trainer.global_step == self.step + 1:
            raise RuntimeError("a crash")
        if self.way == "sigterm" and trainer.global_step == self.step:
            os.kill(os.getpid(), signal.SIGTERM)


class StopAtBatch(pl.Callback):
    """Asks the process to terminate after so many batches."""

    def __init__(self, batch):
        self.batch, self.seen = batch, 0

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.seen += 1
        if self.seen == self.batch:
            os.kill(os.getpid(), signal.SIGTERM)


class Diary(pl.Callback):
    """Writes down the batches, by step and position in it."""

    def __init__(self, dirpath):
        self.dirpath, self.batches = dirpath, []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        digest = hashlib.sha256(b"".join(tensor.numpy().tobytes() for tensor in tree_leaves(batch)))
        self.batches.append([trainer.global_step, batch_idx, digest.hexdigest()])

    def on_fit_end(self, trainer, pl_module):
        with open(f"{self.dirpath}/batches.json", "w") as stream:
            json.dump(self.batches, stream)


class Jittery(Regressor):
    """Least squares with a dropout that draws from torch's global generator."""

    def step(self, batch):
        step = super().step(batch)
        return step._replace(loss=step.loss * (1 + torch.rand(())))


class JitteryOfAll(Jittery):
    """The same for a list of batches: all loaders' points together."""

    def step(self, batch):
        if isinstance(batch[0], (list, tuple)):
            batch = tuple(torch.cat(tensors) for tensors in zip(*batch, strict=True))
        return super().step(batch)


DIARY = [
    "allowed_packages=[resuming,own_loaders]",
    "+callbacks.diary={_target_: resuming.Diary, dirpath: '${hydra:runtime.output_dir}'}",
]


def stop_run(run, step, way, *overrides):
    """Train with a stop at a step, and return the checkpoint that is left."""
    stop = f"+callbacks.stop={{_target_: resuming.StopAt, step: {step}, way: {way}}}"
    ends = {"crash": RuntimeError, "sigterm": SystemExit}
    with pytest.raises(ends[way]):
        run(*overrides, *(SAVING if way == "crash" else []), stop, *DIARY)
    left = run.folders[-1] / "checkpoints" / "last.ckpt"
    assert torch.load(left, weights_only=True)["global_step"] == step
    return left


def assert_equal(left, right, where="checkpoint"):
    """Same types, same keys, same bits."""
    assert type(left) is type(right), where
    if isinstance(left, dict):
        assert list(left) == list(right), where
        for key in left:
            assert_equal(left[key], right[key], f"{where}[{key!r}]")
    elif isinstance(left, (list, tuple)):
        assert len(left) == len(right), where
        for index, (one, other) in enumerate(zip(left, right, strict=True)):
            assert_equal(one, other, f"{where}[{index}]")
    elif isinstance(left, torch.Tensor):
        assert left.dtype == right.dtype, where
        assert torch.equal(left.isnan(), right.isnan()), where
        assert torch.equal(left.nan_to_num(), right.nan_to_num()), where
    else:
        assert repr(left) == repr(right), where


def assert_same_run(resumed, whole, start):
    """The weights, all states and counters, the curves, and the batches from ``start`` on."""
    assert_equal(resumed.checkpoint, whole.checkpoint)
    assert (resumed.folder / "metrics.csv").read_text() == (
        whole.folder / "metrics.csv"
    ).read_text()
    assert resumed.result["metrics"] == whole.result["metrics"]
    assert resumed.result["steps"] == whole.result["steps"]
    later, all_batches = (
        json.loads((finished.folder / "batches.json").read_text()) for finished in (resumed, whole)
    )
    assert later == [entry for entry in all_batches if entry[0] >= start]


def check_exact(run, overrides, stop, way="crash", steps=STEPS):
    """Stop and resume a run; return the one that was never stopped."""
    overrides = [*overrides, f"trainer.max_steps={steps}"]
    left = stop_run(run, stop, way, *overrides)
    whole = run(*overrides, *DIARY)
    resumed = run(*overrides, *DIARY, f"ckpt_path={left}")
    assert_same_run(resumed, whole, stop)
    return whole


def task_of(optimizer):
    return [*TASK, *([OTHER_TASK[optimizer]] if optimizer in OTHER_TASK else [])]


def check_pair(run, optimizer, scheduler):
    """Stop and resume an optimizer under a schedule, amid an epoch."""
    choice = [f"optimizer={optimizer}", f"scheduler={scheduler}", "monitor=train/loss"]
    check_exact(run, [*task_of(optimizer), *choice], MIDDLE)


SCHEDULES = {
    "plateau by epoch": ["scheduler=plateau", "scheduler.patience=0", "scheduler.interval=epoch"],
    "plateau by step": ["scheduler=plateau", "scheduler.patience=2", "scheduler.interval=step"],
    "step by epoch": ["scheduler=step", "scheduler.interval=epoch", "scheduler.step_size=1"],
}


def check_stop(run, scheduler, step, way):
    """Stop at a step; the loss rises, so that plateaus reduce the lr, by epoch after the second."""
    rising = ["optimizer=sgd", "optimizer.lr=1e-2", "optimizer.maximize=true"]
    overrides = [*TASK, *rising, *SCHEDULES[scheduler]]
    if scheduler == "plateau by step":
        overrides.append("scheduler.monitor=train/loss")
    whole = check_exact(run, overrides, step, way, steps=50)
    (lr,) = {group["lr"] for group in whole.checkpoint["optimizer_states"][0]["param_groups"]}
    assert lr < 0.9e-2
