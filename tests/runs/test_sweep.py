"""Sweeps as a user runs them: what they leave behind, what a rerun does, how they end."""

import csv
import json
import shutil
import signal
import time

import pytest
from command_line import ROOT, run_command, start_command

SMALL = ("-m", "task=line", "trainer.max_steps=40", "plots=false")
LONG = ("-m", "task=curve", "trainer.max_steps=1200", "plots=false")
LONG_SWEEP = (*LONG, "callbacks.checkpoint.minutes=0.003", "optimizer=sgd,adam", "name=x")


def copy_project(folder):
    """What a clone has: a command and its configuration, which a test may change."""
    shutil.copytree(ROOT / "conf", folder / "conf")
    shutil.copy(ROOT / "train.py", folder)
    return folder


@pytest.fixture
def project(tmp_path):
    return copy_project(tmp_path)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A sweep of two longer runs that nothing cut off."""
    project = copy_project(tmp_path_factory.mktemp("project"))
    code, out, _ = sweep(project, *LONG_SWEEP)
    assert code == 0
    assert "2 completed" in out
    return project


def start(project, *words):
    return start_command(*words, cwd=project, script=project / "train.py")


def sweep(project, *words, **options):
    done = run_command(*words, cwd=project, script=project / "train.py", **options)
    assert "Traceback" not in done.stdout + done.stderr
    return done.returncode, done.stdout, done.stderr


def results(project, name):
    folders = sorted((project / "outputs" / "sweeps" / name).glob("*/.hydra"))
    return {
        path.parent.name: json.loads((path.parent / "result.json").read_text())
        for path in folders
        if (path.parent / "result.json").exists()
    }


def rows(project, name):
    return {
        path.parent.name: list(csv.reader(path.read_text().splitlines()))
        for path in (project / "outputs" / "sweeps" / name).glob("*/metrics.csv")
    }


def test_every_run_has_a_readable_folder_with_all_its_files(project):
    code, out, _ = sweep(project, *SMALL, "optimizer=sgd,adam", "seed=0,1", "name=x")
    assert code == 0
    runs = results(project, "x")
    assert set(runs) == {
        f"optimizer={optimizer},seed={seed},task=line,trainer.max_steps=40"
        for optimizer in ("sgd", "adam")
        for seed in (0, 1)
    }
    for name, result in runs.items():
        folder = project / "outputs" / "sweeps" / "x" / name
        assert result["status"] == "completed"
        assert (folder / "checkpoints" / "last.ckpt").exists()
        assert (folder / "train.log").exists()
        assert {p.name for p in (folder / ".hydra").iterdir()} == {
            "config.yaml", "hydra.yaml", "overrides.yaml",
        }  # fmt: skip
        assert len(list(folder.glob("events.out.tfevents*"))) == 1
    assert (project / "outputs" / "sweeps" / "x" / "report" / "report.html").exists()
    assert "4 runs: 4 completed" in out
    assert "--logdir outputs/sweeps/x" in out


def test_a_sweep_with_a_diverging_and_a_failing_job_shows_both_and_does_the_rest(project):
    code, out, err = sweep(project, *SMALL, "optimizer=sgd", "optimizer.lr=0.01,1e6,-1", "name=x")
    assert code == 1
    by_lr = {result["overrides"][-1]: result for result in results(project, "x").values()}
    statuses = {r["lr"]: r["status"] for r in results(project, "x").values()}
    assert statuses == {0.01: "completed", 1e6: "diverged", -1: "failed"}
    assert by_lr
    assert "1 completed, 1 diverged, 1 failed" in out
    assert "Invalid learning rate: -1" in out
    assert "at step" in next(
        r["reason"] for r in results(project, "x").values() if r["status"] == "diverged"
    )
    (log,) = [
        path.read_text()
        for path in (project / "outputs" / "sweeps" / "x").glob("*lr=-1*/train.log")
    ]
    assert "Traceback" in log
    assert not err


def test_the_same_command_again_skips_what_is_done_and_does_the_rest(project):
    words = (*SMALL, "optimizer=sgd,adam", "seed=0,1", "name=x")
    sweep(project, *words)
    folder = project / "outputs" / "sweeps" / "x"
    lost = next(folder.glob("*adam*seed=1*"))
    shutil.rmtree(lost)
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*/result.json")}
    curves = rows(project, "x")
    code, out, _ = sweep(project, *words[:-3], "seed=0,1", "optimizer=sgd,adam", "name=x")
    assert code == 0
    assert "4 runs: 4 completed" in out
    assert (lost / "result.json").exists()
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert rows(project, "x").items() >= curves.items()


def test_a_changed_configuration_is_refused_with_the_difference_unless_overwritten(project):
    words = (*SMALL, "optimizer=sgd,adam", "name=x")
    sweep(project, *words)
    before = results(project, "x")
    file = project / "conf" / "optimizer" / "adam.yaml"
    file.write_text(file.read_text().replace("lr: 1e-3", "lr: 2e-3"))
    code, _, err = sweep(project, *words)
    assert code == 1
    assert "optimizer.lr was 0.001, is 0.002" in err
    assert "overwrite=true" in err
    assert results(project, "x") == before
    code, _, _ = sweep(project, *words, "overwrite=true")
    assert code == 0
    after = results(project, "x")
    lrs = {result["optimizer"]: result["lr"] for result in after.values()}
    assert lrs == {"sgd": 0.001, "adam": 0.002}
    (sgd,) = [name for name in before if "sgd" in name]
    assert after[sgd] == before[sgd]  # its configuration is the same: not trained again


def test_fail_fast_stops_at_the_first_failure(project):
    code, out, _ = sweep(
        project, *SMALL, "optimizer=sgd", "optimizer.lr=0.01,-1,0.1", "fail_fast=true", "name=x"
    )
    assert code == 1
    assert {r["lr"]: r["status"] for r in results(project, "x").values()} == {
        0.01: "completed", -1: "failed",
    }  # fmt: skip
    assert "1 completed, 1 failed, 1 missing" in out


def test_sweeps_of_the_same_second_have_their_own_folders(project):
    processes = [start(project, *SMALL, f"seed={n},{n + 1}") for n in (0, 10)]
    for process in processes:
        process.communicate(timeout=300)
        assert process.returncode == 0
    folders = list((project / "outputs" / "sweeps").iterdir())
    assert len(folders) == 2
    assert [len(list(folder.glob("*seed=*/result.json"))) for folder in folders] == [2, 2]


def wait_for(project, pattern, process):
    deadline = time.monotonic() + 120
    while not list((project / "outputs").glob(pattern)):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM", "SIGINT"])
def test_a_sweep_that_is_cut_off_loses_at_most_the_job_in_flight(project, undisturbed, name):
    process = start(project, *LONG_SWEEP)
    wait_for(project, "sweeps/x/*optimizer=adam*/checkpoints/last.ckpt", process)
    process.send_signal(getattr(signal, name))
    out, err = process.communicate(timeout=120)
    assert process.returncode not in (0, None)
    assert "Traceback" not in out + err
    statuses = {r["optimizer"]: r["status"] for r in results(project, "x").values()}
    assert statuses.pop("sgd") == "completed"
    assert statuses in ({}, {"adam": "interrupted"})
    if name != "SIGKILL":
        cause = {"SIGINT": "Ctrl-C", "SIGTERM": "SIGTERM"}[name]
        assert process.returncode == {"SIGINT": 130, "SIGTERM": 143}[name]
        assert f"interrupted by {cause}: 1 of 2 runs are done; interrupted at step" in out
        assert "name=x" in out.split("continue")[1]

    code, out, _ = sweep(project, *LONG_SWEEP)
    assert code == 0
    assert "2 completed" in out
    assert rows(project, "x") == rows(undisturbed, "x")
    ours, theirs = results(project, "x"), results(undisturbed, "x")
    for run in theirs:
        for key in ("status", "steps", "metrics", "objective", "config_hash", "target"):
            assert ours[run][key] == theirs[run][key]
    for folder in (project / "outputs" / "sweeps" / "x").glob("*optimizer=*"):
        assert len(list(folder.glob("events.out.tfevents*"))) == 1
    (log,) = (project / "outputs" / "sweeps" / "x").glob("*optimizer=adam*/train.log")
    assert "resumed from" in log.read_text()


def test_optimizers_that_the_task_cannot_take_are_skipped_with_the_reason(project):
    code, out, _ = sweep(
        project, *SMALL[1:], "sweep=optimizers", "optimizer=sgd,sparse_adam", "seed=0", "name=x"
    )
    assert code == 0
    assert {r["optimizer"] for r in results(project, "x").values()} == {"sgd"}
    assert "skipped" in out
    plan = json.loads((project / "outputs" / "sweeps" / "x" / "sweep.json").read_text())
    assert "sparse" in plan["left_out"][0]["reason"]


def test_the_second_stage_runs_the_best_setting_of_each_on_fresh_seeds(project):
    code, _, _ = sweep(
        project, *SMALL[1:], "sweep=learning_rate", "optimizer=sgd,adam", "seed=0,1",
        "optimizer.lr=1e-3,1e-2,1e6", "hydra.sweeper.final_stage.seeds=[7,8]", "name=x",
    )  # fmt: skip
    assert code == 0
    runs = results(project, "x")
    tuned = [r for r in runs.values() if r["seed"] in (0, 1)]
    tested = [r for r in runs.values() if r["seed"] in (7, 8)]
    assert (len(tuned), len(tested)) == (12, 4)
    for optimizer in ("sgd", "adam"):
        by_lr = {}
        for r in tuned:
            if r["optimizer"] == optimizer and r["status"] == "completed":
                by_lr.setdefault(r["lr"], []).append(r["objective"])
        best = min(by_lr, key=lambda lr: sum(by_lr[lr]))
        assert {r["lr"] for r in tested if r["optimizer"] == optimizer} == {best}
    plan = json.loads((project / "outputs" / "sweeps" / "x" / "sweep.json").read_text())
    assert {job["stage"] for job in plan["jobs"]} == {"tune", "test"}


def test_seeds_that_chose_may_not_test(project):
    code, _, err = sweep(
        project,
        *SMALL[1:],
        "sweep=learning_rate",
        "hydra.sweeper.final_stage.seeds=[2,3]",
        "name=x",
    )
    assert code == 1
    assert "2 also selected the settings" in err
    assert not results(project, "x")


def test_a_word_that_does_not_fit_ends_the_sweep_before_its_first_run(project):
    code, _, err = sweep(project, *SMALL, "optimizer=sgd,adam", "optimizer.momentum=0.9", "name=x")
    assert code == 1
    assert "momentum" in err
    assert not results(project, "x")


def test_it_works_under_hydra_s_own_sweeper_and_launcher(project):
    words = (*SMALL, "hydra/sweeper=basic", "hydra/launcher=basic", "seed=0,1,2")
    code, out, _ = sweep(project, *words, "optimizer.lr=0.01,-1", "name=x")
    assert code == 1
    assert "6 runs: 3 completed, 3 failed" in out
    assert (project / "outputs" / "sweeps" / "x" / "report" / "report.html").exists()
