"""The promises of the command line, on the program itself."""

import json
import os
import shlex
import signal
import sys
import time
from pathlib import Path

import pytest
from command_line import run_command, start_command


def only_run(folder: Path) -> Path:
    (run,) = (folder / "outputs" / "runs").iterdir()
    return run


def test_one_command_trains_and_leaves_a_complete_folder(command, tmp_path):
    done = command("optimizer=adam", "trainer.max_steps=100")
    assert done.returncode == 0, done.stderr
    run = only_run(tmp_path)
    for name in (
        ".hydra/config.yaml",
        "train.log",
        "metrics.csv",
        "checkpoints/last.ckpt",
        "result.json",
    ):
        assert (run / name).exists(), name
    assert list(run.glob("events.out.tfevents.*"))
    assert f"tensorboard --logdir outputs/runs/{run.name}\n" in done.stdout
    for word in ("curve with adam", "completed", "train/loss", "optimum"):
        assert word in done.stdout
    header, first, *_ = (run / "metrics.csv").read_text().splitlines()
    assert header.split(",")[0] == "step"
    assert first.split(",")[0] == "0"
    result = json.loads((run / "result.json").read_text())
    assert {
        "status", "reason", "task", "optimizer", "scheduler", "param_groups", "seed", "overrides",
        "config_hash", "steps", "seconds", "metrics", "optimum", "versions", "monitor", "mode",
        "objective", "lr", "target", "fingerprints",
    } == set(result)  # fmt: skip
    assert (result["task"], result["optimizer"], result["steps"]) == ("curve", "adam", 100)
    assert result["overrides"] == ["optimizer=adam", "trainer.max_steps=100"]
    assert set(result["metrics"]["train/loss"]) == {"first", "final", "best"}


def test_help_names_the_groups_and_imports_no_torch(command):
    done = command("--help", PYTHONPROFILEIMPORTTIME="1")
    assert done.returncode == 0
    for word in (
        "optimizer:",
        "scheduler:",
        "param_groups:",
        "task:",
        "digits_mlp",
        "python train.py",
    ):
        assert word in done.stdout
    assert "torch" not in {line.split("|")[-1].strip() for line in done.stderr.splitlines()}


def test_the_configuration_can_be_shown_without_training(command, tmp_path):
    done = command("--cfg", "job", "--resolve", "task=line")
    assert done.returncode == 0, done.stderr
    assert "torch.optim.Adam" in done.stdout
    assert not (tmp_path / "outputs").exists()


# One of Hydra's, one found while building, one in the run's folder, one before there is a folder.
BAD_INPUT = {
    "a group's name": (["optimizer=adamm"], "Could not find 'optimizer/adamm'"),
    "a negative rate": (["optimizer.lr=-1"], "Invalid learning rate: -1"),
    "a batch size of 0": (["data.batch_size=0"], "data.batch_size=0"),
    "an output folder": (["hydra.run.dir=/dev/null/x"], "/dev/null is not a folder"),
}


@pytest.mark.parametrize("what", BAD_INPUT)
def test_bad_input_ends_in_a_short_message(command, tmp_path, what):
    words, told = BAD_INPUT[what]
    done = command("task=line", "trainer.max_steps=20", *words)
    assert done.returncode != 0
    assert told in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    if what != "a group's name":  # Hydra lists the names there are, one in a line
        assert len(done.stderr.splitlines()) <= 4
    for result in tmp_path.glob("outputs/runs/*/result.json"):
        assert json.loads(result.read_text())["status"] == "failed"


def test_the_traceback_is_in_the_runs_log(command, tmp_path):
    command("task=line", "optimizer.lr=-1")
    assert "Traceback" in (only_run(tmp_path) / "train.log").read_text()


def test_the_traceback_is_shown_when_asked_for(command):
    done = command("task=line", "optimizer.lr=-1", HYDRA_FULL_ERROR="1")
    assert done.returncode != 0
    assert "Traceback" in done.stderr


def test_a_class_of_another_package_needs_no_file(command, tmp_path):
    (tmp_path / "mine.py").write_text(
        "import torch\n\n\nclass Signed(torch.optim.SGD):\n"
        "    def __init__(self, params, lr=0.01, strength=1.0):\n"
        "        super().__init__(params, lr=lr * strength)\n"
    )
    words = ["task=line", "optimizer._target_=mine.Signed", "trainer.max_steps=20"]
    refused = command(*words, PYTHONPATH=str(tmp_path))
    assert "allowed_packages=[mine]" in refused.stderr
    done = command(
        *words, "+optimizer.strength=0.5", "allowed_packages=[mine]", PYTHONPATH=str(tmp_path)
    )
    assert done.returncode == 0, done.stderr
    assert "line with mine.Signed" in done.stdout
    assert "lr, betas, eps, weight_decay" in done.stdout


def test_a_run_never_writes_over_another(command, tmp_path):
    words = ["task=line", "trainer.max_steps=10", "hydra.run.dir=here"]
    assert command(*words).returncode == 0
    before = (tmp_path / "here" / ".hydra" / "overrides.yaml").read_bytes()
    again = command(*words, "seed=1")
    assert again.returncode != 0
    assert "already holds a run" in again.stderr
    assert (tmp_path / "here" / ".hydra" / "overrides.yaml").read_bytes() == before


def test_a_multirun_trains_every_combination(command, tmp_path):
    done = command("-m", "task=line", "optimizer=sgd,adam", "seed=0,1", "trainer.max_steps=10")
    assert done.returncode == 0, done.stderr
    results = [json.loads(p.read_text()) for p in tmp_path.glob("outputs/sweeps/*/*/result.json")]
    assert sorted((r["optimizer"], r["seed"]) for r in results) == [
        ("adam", 0), ("adam", 1), ("sgd", 0), ("sgd", 1),
    ]  # fmt: skip


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals: Linux or macOS")
@pytest.mark.parametrize(("signal_name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_an_interrupted_run_says_at_which_step_and_how_to_continue(tmp_path, signal_name, code):
    words = ["task=line", "trainer.max_steps=10000000", "hydra.run.dir=here"]
    process = start_command(*words, cwd=tmp_path)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("here/events*")) and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(1)
    process.send_signal(getattr(signal, signal_name))
    out, err = process.communicate(60)
    assert process.returncode == code
    assert "Traceback" not in err
    result = json.loads((tmp_path / "here" / "result.json").read_text())
    assert result["status"] == "interrupted"
    reason = {"SIGINT": "Ctrl-C", "SIGTERM": "SIGTERM"}[signal_name]
    assert result["reason"] == reason
    assert result["steps"] > 0
    assert (tmp_path / "here" / "metrics.csv").exists()
    assert f"interrupted by {reason} at step {result['steps']:,} of 10,000,000: line with" in out
    (line,) = (line for line in out.splitlines() if line.startswith("continue "))
    python, script, *continued = shlex.split(line.removeprefix("continue "))
    assert (python, Path(script).name) == ("python", "train.py")
    longer = [f"trainer.max_steps={result['steps'] + 5}", "hydra.run.dir=there"]
    kept = [each for each in continued if not each.startswith("trainer.max_steps")]
    assert run_command(*kept, *longer, cwd=tmp_path).returncode == 0
    whole = json.loads((tmp_path / "there" / "result.json").read_text())
    assert (whole["status"], whole["steps"]) == ("completed", result["steps"] + 5)


def test_lightnings_hints_are_silent_where_srun_is_installed(tmp_path):
    srun = tmp_path / "bin" / "srun"
    srun.parent.mkdir()
    srun.write_text("#!/bin/sh\n")
    srun.chmod(0o755)
    path = f"{srun.parent}{os.pathsep}{os.environ['PATH']}"
    words = ["task=line", "trainer.max_steps=5", "plots=false"]
    for command in (words, ["-m", *words, "seed=0,1"]):
        done = run_command(*command, cwd=tmp_path, env={"PATH": path})
        assert done.returncode == 0
        assert "srun" not in done.stdout + done.stderr
        assert "logging interval" not in done.stdout + done.stderr
