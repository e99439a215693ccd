"""A resumed run is the run that was never stopped, bit for bit; another one is refused."""

import math
import re
import signal
import sys
import time

import pytest
import torch
from command_line import start_command
from resuming import (
    DIARY,
    EPOCH,
    MIDDLE,
    STEPS,
    TASK,
    VALIDATION,
    assert_equal,
    assert_same_run,
    check_exact,
    check_pair,
    check_stop,
    stop_run,
)


# Closures, composites, two kinds of weights, sparse states, and the schedules with a memory. The
# whole tables: tests/all/test_every_resume.py.
@pytest.mark.parametrize(
    ("optimizer", "scheduler"),
    [
        ("adam", "chained"), ("lbfgs", "plateau"), ("muon", "onecycle"), ("sam", "cyclic"),
        ("schedulefree_adamw", "none"), ("sparse_adam", "sequential"),
    ],
)  # fmt: skip
def test_a_resumed_run_is_the_run_that_was_never_stopped(run, optimizer, scheduler):
    check_pair(run, optimizer, scheduler)


@pytest.mark.parametrize(
    ("scheduler", "step", "way"),
    [
        ("plateau by epoch", EPOCH, "crash"),
        ("plateau by step", VALIDATION, "sigterm"),
        ("step by epoch", EPOCH - 1, "crash"),
    ],
)
def test_it_does_not_matter_where_the_run_was_stopped(run, scheduler, step, way):
    check_stop(run, scheduler, step, way)


def test_rows_and_groups_of_a_run_with_both_go_on_exactly(run):
    words = ["optimizer=adamw", "param_groups=no_decay", "scheduler=onecycle"]
    whole = check_exact(run, [*TASK, *words], MIDDLE, "sigterm")
    assert {"lr/no_decay", "lr/default"} < set(whole.rows[0])


@pytest.mark.parametrize("step", [12, MIDDLE, EPOCH])
def test_an_accumulation_that_is_not_complete_goes_on_exactly(run, tmp_path, step):
    words = [*TASK, *DIARY, "trainer.accumulate_grad_batches=4", "trainer.max_steps=12"]
    stop = f"+callbacks.stop={{_target_: resuming.StopAtBatch, batch: {step}}}"
    with pytest.raises(SystemExit):
        run(*words, stop)
    left = tmp_path / "run0" / "checkpoints" / "last.ckpt"
    whole = run(*words)
    resumed = run(*words, f"ckpt_path={left}")
    assert_equal(resumed.checkpoint, whole.checkpoint)
    assert resumed.rows == whole.rows


def test_random_numbers_of_the_model_go_on_exactly(run):
    check_exact(run, ["task=diabetes", "model._target_=resuming.Jittery", *TASK[2:]], MIDDLE)


@pytest.mark.parametrize("optimizer", ["adam", "nadam", "rprop"])
def test_a_run_in_float64_goes_on_exactly(run, optimizer):
    check_exact(
        run, ["task=line", f"optimizer={optimizer}", "trainer.precision=64-true", *TASK[2:]], MIDDLE
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
    """All scalars but the time that the run took."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    return {
        tag: sorted((event.step, event.value) for event in events.Scalars(tag))
        for tag in events.Tags()["scalars"]
        if tag != "verdict/seconds"
    }


def test_tensorboard_of_the_resumed_run_shows_the_whole_curve(run):
    words = [word for word in TASK if word != "logger=none"] + [f"trainer.max_steps={STEPS}"]
    left = stop_run(run, MIDDLE, "crash", *words)
    resumed = run(*words, f"ckpt_path={left}")
    whole = run(*words)
    assert scalars(resumed.folder) == scalars(whole.folder)
    assert scalars(resumed.folder)["train/loss"][0][0] == 0


def test_a_group_that_was_unfrozen_before_or_after_the_stop_goes_on_exactly(run):
    words = [*TASK, "task=digits", "param_groups=freeze_backbone", "callbacks=unfreeze"]
    words.append("callbacks.plot=null")
    for step in (4, 7):
        check_exact(run, words, step, steps=10)


@pytest.mark.parametrize("averaging", ["swa", "ema"])
def test_averaged_weights_go_on_exactly(run, averaging):
    check_exact(run, [*TASK, f"callbacks={averaging}", "callbacks.plot=null"], 27, "sigterm")


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals: Linux or macOS")
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
    "fewer steps": ([], ["trainer.max_steps=3"], "it has 6 steps, and trainer.max_steps=3"),
}  # fmt: skip


@pytest.mark.parametrize("what", FULL)
def test_what_does_not_agree_is_refused_with_both_sides(run, what):
    before, asked, message = FULL[what]
    short = [*TASK, "trainer.max_steps=6"]
    left = run(*short, *before).folder / "checkpoints" / "last.ckpt"
    with pytest.raises(ValueError, match=message) as raised:
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


def test_a_run_with_overridden_rates_can_itself_be_resumed_in_full(run):
    left = run(*TASK, "trainer.max_steps=10").folder / "checkpoints" / "last.ckpt"
    words = [*TASK, "scheduler=warmup_cosine", "optimizer.lr=0.01", "trainer.max_steps=30"]
    over = [f"ckpt_path={left}", "resume=override_lr"]
    middle = stop_run(run, 20, "crash", *words, *over)
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
    message = re.escape("net.weight [1, 2], this run asks for net.weight [1, 1]")
    with pytest.raises(ValueError, match=message):
        run("task=line", f"ckpt_path={tmp_path}/other.ckpt", f"resume={mode}")


def test_a_checkpoint_of_another_origin_gives_only_its_weights(run, tmp_path):
    torch.save({"net.weight": torch.zeros(1, 1), "net.bias": torch.zeros(1)}, tmp_path / "w.pt")
    with pytest.raises(ValueError, match=r"does not say how it was trained.*resume=weights"):
        run("task=line", f"ckpt_path={tmp_path}/w.pt")


BAD = {
    "no checkpoint": (["resume=weights", "ckpt_path=null"], "resume=weights needs a checkpoint"),
    "no file of torch": ([], "not a checkpoint"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_resume_that_cannot_be_is_refused(run, tmp_path, what):
    overrides, message = BAD[what]
    (tmp_path / "text.ckpt").write_text("no checkpoint")
    with pytest.raises(ValueError, match=message) as raised:
        run("task=line", f"ckpt_path={tmp_path}/text.ckpt", *overrides)
    assert "\n" not in str(raised.value)
