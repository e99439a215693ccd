"""A resumed run is the run that was never stopped, bit for bit; another one is refused."""

import hashlib
import itertools
import json
import math
import os
import re
import signal
import sys
import time

import pytest
import pytorch_lightning as pl
import torch
from command_line import start_command
from conftest import names

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
        digest = hashlib.sha256(b"".join(tensor.numpy().tobytes() for tensor in batch))
        self.batches.append([trainer.global_step, batch_idx, digest.hexdigest()])

    def on_fit_end(self, trainer, pl_module):
        with open(f"{self.dirpath}/batches.json", "w") as stream:
            json.dump(self.batches, stream)


class Jittery(Regressor):
    """Least squares with a dropout that draws from torch's global generator."""

    def step(self, batch):
        step = super().step(batch)
        return step._replace(loss=step.loss * (1 + torch.rand(())))


DIARY = [
    "allowed_packages=[test_resume]",
    "+callbacks.diary={_target_: test_resume.Diary, dirpath: '${hydra:runtime.output_dir}'}",
]


@pytest.fixture
def stopped(run, tmp_path):
    """Train with a stop at a step, and give the checkpoint that is left."""

    def train_and_stop(step, way, *words):
        before = set(tmp_path.glob("run*"))
        stop = f"+callbacks.stop={{_target_: test_resume.StopAt, step: {step}, way: {way}}}"
        ends = {"crash": RuntimeError, "sigterm": SystemExit}
        with pytest.raises(ends[way]):
            run(*words, *(SAVING if way == "crash" else []), stop, *DIARY)
        (folder,) = set(tmp_path.glob("run*")) - before
        left = folder / "checkpoints" / "last.ckpt"
        assert torch.load(left, weights_only=True)["global_step"] == step
        return left

    return train_and_stop


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


@pytest.fixture
def check_exact(run, stopped):
    def check(words, stop, way="crash", steps=STEPS):
        words = [*words, f"trainer.max_steps={steps}"]
        left = stopped(stop, way, *words)
        whole = run(*words, *DIARY)
        resumed = run(*words, *DIARY, f"ckpt_path={left}")
        assert_same_run(resumed, whole, stop)
        return whole

    return check


def paired():
    """Every optimizer and every schedule at least once, in as few runs."""
    optimizers, schedulers = names("optimizer"), names("scheduler")
    for index in range(max(len(optimizers), len(schedulers))):
        yield optimizers[index % len(optimizers)], schedulers[index % len(schedulers)]


def task_of(optimizer):
    return [*TASK, *([OTHER_TASK[optimizer]] if optimizer in OTHER_TASK else [])]


@pytest.mark.parametrize(("optimizer", "scheduler"), list(paired()))
def test_every_optimizer_and_every_schedule_goes_on_exactly(check_exact, optimizer, scheduler):
    words = [*task_of(optimizer), f"optimizer={optimizer}", f"scheduler={scheduler}"]
    check_exact([*words, "monitor=train/loss"], MIDDLE)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", names("optimizer"))
def test_every_optimizer_goes_on_exactly(check_exact, optimizer):
    check_exact([*task_of(optimizer), f"optimizer={optimizer}"], VALIDATION, "sigterm")


# LBFGS takes one group, and the task with sparse gradients has one tensor.
@pytest.mark.slow
@pytest.mark.parametrize(
    "optimizer", [name for name in names("optimizer") if name not in ("lbfgs", "sparse_adam")]
)
def test_every_optimizer_goes_on_exactly_with_groups(check_exact, optimizer):
    rule = "+param_groups.small={ndim: 1, lr_scale: 0.5}"
    check_exact([*TASK, f"optimizer={optimizer}", rule], MIDDLE, "sigterm")


@pytest.mark.slow
@pytest.mark.parametrize("scheduler", names("scheduler"))
def test_every_schedule_goes_on_exactly_over_groups(check_exact, scheduler):
    words = ["optimizer=sgd", "optimizer.momentum=0.9", "param_groups=layerwise"]
    check_exact([*TASK, *words, f"scheduler={scheduler}"], EPOCH, "sigterm")


SCHEDULES = {
    "plateau by epoch": ["scheduler=plateau", "scheduler.patience=0", "scheduler.interval=epoch"],
    "plateau by step": ["scheduler=plateau", "scheduler.patience=2", "scheduler.interval=step"],
    "step by epoch": ["scheduler=step", "scheduler.interval=epoch", "scheduler.step_size=1"],
}
# The first two have most to lose: what follows a step is done by Lightning after its last hook.
SAMPLED = [
    ("plateau by epoch", MIDDLE, "crash"),
    ("plateau by epoch", EPOCH, "crash"),
    ("plateau by epoch", EPOCH, "sigterm"),
    ("plateau by step", VALIDATION, "crash"),
    ("plateau by step", VALIDATION, "sigterm"),
    ("plateau by step", EPOCH, "sigterm"),
    ("step by epoch", EPOCH - 1, "crash"),
    ("step by epoch", EPOCH, "sigterm"),
    ("step by epoch", EPOCH + 1, "crash"),
]
ALL_STOPS = [
    pytest.param(*stop, marks=[] if stop in SAMPLED else pytest.mark.slow)
    for stop in itertools.product(
        SCHEDULES, [1, MIDDLE, VALIDATION, EPOCH - 1, EPOCH, EPOCH + 1], ["crash", "sigterm"]
    )
]


@pytest.mark.parametrize(("scheduler", "step", "way"), ALL_STOPS)
def test_it_does_not_matter_where_the_run_was_stopped(check_exact, scheduler, step, way):
    # The loss rises: plateaus reduce the rate, by epoch after the second one.
    words = ["optimizer=sgd", "optimizer.lr=1e-2", "optimizer.maximize=true", *SCHEDULES[scheduler]]
    if scheduler == "plateau by step":
        words.append("scheduler.monitor=train/loss")
    whole = check_exact([*TASK, *words], step, way, steps=50)
    (rate,) = {group["lr"] for group in whole.checkpoint["optimizer_states"][0]["param_groups"]}
    assert rate < 0.9e-2


def test_rows_and_groups_of_a_run_with_both_go_on_exactly(check_exact):
    words = ["optimizer=adamw", "param_groups=no_decay", "scheduler=onecycle"]
    whole = check_exact([*TASK, *words], MIDDLE, "sigterm")
    assert {"lr/no_decay", "lr/default"} < set(whole.rows[0])


@pytest.mark.parametrize("step", [12, MIDDLE, EPOCH])
def test_an_accumulation_that_is_not_complete_goes_on_exactly(run, tmp_path, step):
    words = [*TASK, *DIARY, "trainer.accumulate_grad_batches=4", "trainer.max_steps=12"]
    stop = f"+callbacks.stop={{_target_: test_resume.StopAtBatch, batch: {step}}}"
    with pytest.raises(SystemExit):
        run(*words, stop)
    left = tmp_path / "run0" / "checkpoints" / "last.ckpt"
    whole = run(*words)
    resumed = run(*words, f"ckpt_path={left}")
    assert_equal(resumed.checkpoint, whole.checkpoint)
    assert resumed.rows == whole.rows


def test_random_numbers_of_the_model_go_on_exactly(check_exact):
    check_exact(["task=diabetes", "model._target_=test_resume.Jittery", *TASK[2:]], MIDDLE)


@pytest.mark.parametrize("optimizer", ["adam", "nadam", "rprop"])
def test_a_run_in_float64_goes_on_exactly(check_exact, optimizer):
    check_exact(
        ["task=line", f"optimizer={optimizer}", "trainer.precision=64-true", *TASK[2:]], MIDDLE
    )


@pytest.mark.parametrize("stop", [MIDDLE, VALIDATION, EPOCH])
def test_a_finished_run_can_be_extended(run, stop):
    words = [*TASK, "optimizer=adam", *DIARY]
    short = run(*words, f"trainer.max_steps={stop}")
    left = short.folder / "checkpoints" / "last.ckpt"
    whole = run(*words, f"trainer.max_steps={STEPS}")
    resumed = run(*words, f"trainer.max_steps={STEPS}", f"ckpt_path={left}")
    assert_same_run(resumed, whole, stop)


def test_the_end_of_the_old_run_is_no_part_of_the_extended_ones_curve(run):
    words = ["task=line", "trainer.log_every_n_steps=10", "logger=none", *DIARY]
    short = run(*words, "trainer.max_steps=15")
    left = short.folder / "checkpoints" / "last.ckpt"
    whole = run(*words, "trainer.max_steps=30")
    resumed = run(*words, "trainer.max_steps=30", f"ckpt_path={left}")
    assert 15 in short.curve("train/loss")
    assert list(resumed.curve("train/loss")) == [0, 10, 20, 30]
    assert_same_run(resumed, whole, 15)


@pytest.mark.parametrize("steps", [15, 20])
def test_a_finished_run_that_is_resumed_only_reports(run, steps):
    words = ["task=digits_mlp", "trainer.val_check_interval=4", "trainer.log_every_n_steps=10"]
    words += [f"trainer.max_steps={steps}", "callbacks.plot=null"]
    whole = run(*words)
    resumed = run(*words, f"ckpt_path={whole.folder}/checkpoints/last.ckpt")
    assert resumed.rows == whole.rows
    assert resumed.result["metrics"] == whole.result["metrics"]
    assert resumed.result["steps"] == steps
    assert scalars(resumed.folder) == scalars(whole.folder)
    assert_equal(resumed.checkpoint, whole.checkpoint)


def scalars(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    return {
        tag: sorted((event.step, event.value) for event in events.Scalars(tag))
        for tag in events.Tags()["scalars"]
    }


def test_tensorboard_of_the_resumed_run_shows_the_whole_curve(run, stopped):
    words = [word for word in TASK if word != "logger=none"] + [f"trainer.max_steps={STEPS}"]
    left = stopped(MIDDLE, "crash", *words)
    resumed = run(*words, f"ckpt_path={left}")
    whole = run(*words)
    assert scalars(resumed.folder) == scalars(whole.folder)
    assert scalars(resumed.folder)["train/loss"][0][0] == 0


def test_a_group_that_was_unfrozen_before_or_after_the_stop_goes_on_exactly(check_exact):
    words = [*TASK, "task=digits", "param_groups=freeze_backbone", "callbacks=unfreeze"]
    words.append("callbacks.plot=null")
    for step in (4, 7):
        check_exact(words, step, steps=10)


@pytest.mark.parametrize("averaging", ["swa", "ema"])
def test_averaged_weights_go_on_exactly(check_exact, averaging):
    check_exact([*TASK, f"callbacks={averaging}", "callbacks.plot=null"], 27, "sigterm")


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_a_killed_process_goes_on_from_its_last_checkpoint(tmp_path):
    words = [*TASK, "scheduler=warmup_cosine", "optimizer=adamw", "trainer.max_steps=1500"]

    def start(*more):
        return start_command(*words, *more, cwd=tmp_path)

    uninterrupted = start("hydra.run.dir=whole")
    process = start("hydra.run.dir=killed", "callbacks.checkpoint.minutes=1e-4")
    left = tmp_path / "killed" / "checkpoints" / "last.ckpt"
    deadline = time.monotonic() + 60
    while not left.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    assert process.wait(60) == -signal.SIGKILL
    assert not (tmp_path / "killed" / "result.json").exists()
    assert 0 < torch.load(left, weights_only=True)["global_step"] < 1500
    resumed = start("hydra.run.dir=resumed", "ckpt_path=killed/checkpoints/last.ckpt")
    assert resumed.wait(120) == 0
    assert uninterrupted.wait(120) == 0
    checkpoints = [
        torch.load(tmp_path / run / "checkpoints" / "last.ckpt", weights_only=True)
        for run in ("resumed", "whole")
    ]
    assert_equal(*checkpoints)
    tables = [(tmp_path / run / "metrics.csv").read_text() for run in ("resumed", "whole")]
    assert tables[0] == tables[1]


# What the checkpoint was made with, what the resumed run asks for, and what it is told.
FULL = {
    "a rate": (
        [], ["optimizer.lr=0.01"],
        "Adam lr 0.001 in group default, this run asks for lr 0.01.*resume=override_lr",
    ),
    "a rate under a schedule": (
        ["scheduler=onecycle"], ["scheduler=onecycle", "optimizer.lr=0.01"],
        "Adam lr 0.001 in group default, this run asks for lr 0.01 in group default; use resume=ov",
    ),
    "an option": ([], ["optimizer.eps=1e-3"], "Adam eps 1e-08 .*asks for eps 0.001"),
    "a class": ([], ["optimizer=sgd"], "trained with Adam, this run asks for SGD;.*=weights"),
    "groups": (
        [], ["param_groups=no_decay"], "the groups default, this run asks for the groups no_decay",
    ),
    "a group's rate": (
        ["param_groups=no_decay"], ["param_groups=no_decay", "+param_groups.no_decay.lr=0.5"],
        "lr 0.001 in group no_decay, this run asks for lr 0.5 in group no_decay",
    ),
    "a group's parameters": (
        ["+param_groups.a={match: weight}"], ["+param_groups.a={match: bias}"],
        r"\S+weight in group a, this run asks for it in group default",
    ),
    "a schedule": ([], ["scheduler=cosine"], "no schedule, this run asks for CosineAnnealingLR"),
    "a schedule's option": (
        ["scheduler=cosine"], ["scheduler=cosine", "scheduler.eta_min=0.1"],
        "eta_min 0.0, this run asks for CosineAnnealingLR eta_min 0.1",
    ),
    "a share of another length": (
        ["scheduler=cosine"], ["scheduler=cosine", "trainer.max_steps=12"],
        "CosineAnnealingLR T_max 6, this run asks for CosineAnnealingLR T_max 12",
    ),
    "a batch size": ([], ["data.batch_size=16"], "data.batch_size 64.*data.batch_size 16"),
    "a seed": ([], ["seed=1"], "seed 0, .*seed 1"),
    "a task": ([], ["task=curve"], "data._target_"),
    "clipping": (
        [], ["trainer.gradient_clip_val=1"], "gradient_clip_val None.*gradient_clip_val 1",
    ),
    "a plateau's rhythm": (
        ["scheduler=plateau"], ["scheduler=plateau", "trainer.val_check_interval=4"],
        "trainer.val_check_interval 8.*val_check_interval 4",
    ),
    "fewer steps": ([], ["trainer.max_steps=3"], "it has 6 steps, trainer.max_steps=3"),
}  # fmt: skip


@pytest.mark.parametrize("what", FULL)
def test_what_does_not_agree_is_refused_with_both_sides(run, what):
    before, asked, told = FULL[what]
    short = [*TASK, "trainer.max_steps=6"]
    left = run(*short, *before).folder / "checkpoints" / "last.ckpt"
    with pytest.raises(ValueError, match=told) as raised:
        run(*short, *asked, f"ckpt_path={left}")
    assert "\n" not in str(raised.value)


def test_a_plateau_that_is_gone_is_told_as_such_and_not_by_what_it_watched(run):
    left = run(*TASK, "scheduler=plateau", "trainer.max_steps=6").folder / "checkpoints/last.ckpt"
    with pytest.raises(ValueError, match="with ReduceLROnPlateau, this run asks for no schedule"):
        run(*TASK, "trainer.max_steps=6", f"ckpt_path={left}")


def test_what_does_not_decide_the_updates_may_differ(run):
    left = run(*TASK, "trainer.max_steps=6").folder / "checkpoints" / "last.ckpt"
    words = ["trainer.max_steps=9", "trainer.log_every_n_steps=2", "callbacks.progress=null"]
    resumed = run(*TASK, *words, "name=other", f"ckpt_path={left}")
    assert resumed.result["steps"] == 9


@pytest.mark.parametrize("optimizer", ["muon", "adam"])
def test_weights_alone_start_a_new_run_with_any_optimizer(run, optimizer):
    first = run(*TASK, "optimizer=sgd", "optimizer.lr=0.1", "trainer.max_steps=20")
    left = first.folder / "checkpoints" / "last.ckpt"
    words = [f"optimizer={optimizer}", "seed=3", "scheduler=cosine", "trainer.max_steps=10"]
    second = run(*TASK, *words, f"ckpt_path={left}", "resume=weights")
    assert second.result["steps"] == 10
    assert min(second.curve("train/loss")) == 0
    assert second.curve("train/loss")[0] < first.curve("train/loss")[0] - 0.1
    assert second.checkpoint["global_step"] == 10


@pytest.mark.parametrize("prefix", ["net.", ""], ids=["of the module", "of its net"])
def test_a_plain_state_dict_gives_its_weights(run, tmp_path, prefix):
    weights = {f"{prefix}weight": torch.tensor([[3.0]]), f"{prefix}bias": torch.tensor([2.0])}
    torch.save(weights, tmp_path / "plain.pt")
    words = ["task=line", "optimizer=sgd", "optimizer.lr=1e-9", "trainer.max_steps=1"]
    done = run(*words, f"ckpt_path={tmp_path}/plain.pt", "resume=weights")
    assert done.checkpoint["state_dict"]["net.weight"].item() == pytest.approx(3.0)
    assert done.checkpoint["state_dict"]["net.bias"].item() == pytest.approx(2.0)


def test_override_lr_takes_the_new_rates_and_starts_the_schedule(run):
    words = [*TASK, "param_groups=no_decay", "optimizer=adamw", "trainer.log_every_n_steps=1"]
    first = run(*words, "scheduler=step", "trainer.max_steps=10")
    left = first.folder / "checkpoints" / "last.ckpt"
    again = ["scheduler=cosine", "optimizer.lr=0.5", "trainer.max_steps=20", "resume=override_lr"]
    second = run(*words, *again, f"ckpt_path={left}")
    rates = second.curve("lr/no_decay")
    assert [rates[step] for step in range(10)] == [first.curve("lr/no_decay")[s] for s in range(10)]
    for step in range(10, 20):
        expected = 0.25 * (1 + math.cos(math.pi * (step - 10) / 10))
        assert rates[step] == pytest.approx(expected), step
    states = second.checkpoint["optimizer_states"][0]["state"].values()
    assert {int(state["step"]) for state in states} == {20}


def test_a_run_with_overridden_rates_can_itself_be_resumed_in_full(run, stopped):
    left = run(*TASK, "trainer.max_steps=10").folder / "checkpoints" / "last.ckpt"
    words = [*TASK, "scheduler=warmup_cosine", "optimizer.lr=0.01", "trainer.max_steps=30"]
    over = [f"ckpt_path={left}", "resume=override_lr"]
    middle = stopped(20, "crash", *words, *over)
    whole = run(*words, *over, *DIARY)
    resumed = run(*words, f"ckpt_path={middle}", *DIARY)
    assert_same_run(resumed, whole, 20)


def test_override_lr_refuses_another_optimizer(run):
    left = run(*TASK, "trainer.max_steps=6").folder / "checkpoints" / "last.ckpt"
    words = [*TASK, "trainer.max_steps=9", f"ckpt_path={left}", "resume=override_lr"]
    with pytest.raises(ValueError, match="with Adam, this run asks for SGD"):
        run(*words, "optimizer=sgd")
    with pytest.raises(ValueError, match=r"betas \[0.9, 0.999\].* betas \[0.5, 0.9\]"):
        run(*words, "optimizer.betas=[0.5,0.9]")


@pytest.mark.parametrize("mode", ["full", "weights", "override_lr"])
def test_a_model_of_another_shape_is_refused(run, tmp_path, mode):
    left = run("task=line", "trainer.max_steps=6").folder / "checkpoints" / "last.ckpt"
    checkpoint = torch.load(left, weights_only=True)
    checkpoint["state_dict"]["net.weight"] = torch.zeros(1, 2)
    torch.save(checkpoint, tmp_path / "other.ckpt")
    told = re.escape("net.weight [1, 2], this run asks for net.weight [1, 1]")
    with pytest.raises(ValueError, match=told):
        run("task=line", f"ckpt_path={tmp_path}/other.ckpt", f"resume={mode}")


def test_a_checkpoint_of_another_origin_gives_only_its_weights(run, tmp_path):
    torch.save({"net.weight": torch.zeros(1, 1), "net.bias": torch.zeros(1)}, tmp_path / "w.pt")
    with pytest.raises(ValueError, match=r"does not say how it was trained.*resume=weights"):
        run("task=line", f"ckpt_path={tmp_path}/w.pt")


BAD = {
    "a word": (["resume=all"], "resume=all: give full, weights, override_lr"),
    "no checkpoint": (["resume=weights", "ckpt_path=null"], "resume=weights needs a checkpoint"),
    "no file of torch": ([], "not a checkpoint"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_resume_that_cannot_be_is_refused(run, tmp_path, what):
    words, told = BAD[what]
    (tmp_path / "text.ckpt").write_text("no checkpoint")
    with pytest.raises(ValueError, match=told) as raised:
        run("task=line", f"ckpt_path={tmp_path}/text.ckpt", *words)
    assert "\n" not in str(raised.value)
