from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from synthetic_sweeps import write_run, write_sweep

from stepsize.report.read import read_sweep


def test_every_planned_run_is_a_row_in_the_order_of_the_plan(tmp_path: Path):
    special = {
        "optimizer=adam,seed=1": {"status": "diverged", "end": 100},
        "optimizer=sgd,seed=0": {"status": "failed", "end": 0},
        "optimizer=sgd,seed=1": {"status": "interrupted", "end": 50},
        "optimizer=sgd,seed=2": {"status": "missing"},
    }
    folder = write_sweep(
        tmp_path / "s", {"optimizer": ["adam", "sgd"], "seed": range(3)}, special=special
    )

    rows = read_sweep(folder).runs

    assert [(row.optimizer, row.seed, row.status) for row in rows] == [
        ("adam", 0, "completed"),
        ("adam", 1, "diverged"),
        ("adam", 2, "completed"),
        ("sgd", 0, "failed"),
        ("sgd", 1, "interrupted"),
        ("sgd", 2, "missing"),
    ]
    assert rows[1].reason == "train/loss is nan at step 100"
    assert rows[3].reason == "RuntimeError: no"
    assert [row.finished for row in rows] == [True, True, True, False, False, False]


def test_a_miss_is_infinite_and_a_run_without_a_result_has_no_steps_to_target(tmp_path: Path):
    special = {
        "seed=0": {"final": 1e-6},
        "seed=1": {"final": 1.0},
        "seed=2": {"status": "interrupted", "end": 50},
    }
    folder = write_sweep(tmp_path / "s", {"seed": range(3)}, special=special)

    hit, miss, unknown = (row.target_steps for row in read_sweep(folder).runs)

    assert hit is not None
    assert 0 < hit < 400
    assert miss == float("inf")
    assert unknown is None


def test_a_run_with_an_unreadable_result_is_interrupted(tmp_path: Path):
    folder = write_sweep(tmp_path / "s", {"seed": [0, 1]})
    (folder / "seed=0" / "result.json").write_text('{"status": "comp')

    row = read_sweep(folder).runs[0]

    assert row.status == "interrupted"
    assert row.reason is not None
    assert "result.json" in row.reason


def test_an_unplanned_run_is_a_row_too(tmp_path: Path):
    folder = write_sweep(tmp_path / "s", {"seed": [0, 1]})
    write_run(folder / "seed=7", {"seed": 7})

    assert [row.seed for row in read_sweep(folder).runs] == [0, 1, 7]


def test_runs_of_another_sweeper_are_read_from_their_folders_in_the_order_of_their_numbers(
    tmp_path: Path,
):
    for number in (10, 9, 0):
        write_run(tmp_path / "s" / str(number), {"optimizer": "sgd", "seed": number})

    sweep = read_sweep(tmp_path / "s")

    assert [row.run for row in sweep.runs] == ["0", "9", "10"]
    assert {row.stage for row in sweep.runs} == {"compare"}


def test_a_single_run_is_a_sweep_of_one(tmp_path: Path):
    write_run(tmp_path / "run", {"optimizer": "sgd"})

    assert [row.optimizer for row in read_sweep(tmp_path / "run").runs] == ["sgd"]


def test_the_sweep_has_its_plan(tmp_path: Path):
    folder = write_sweep(tmp_path / "s", {"optimizer": ["adam"], "seed": [0]})
    plan = json.loads((folder / "sweep.json").read_text())
    plan |= {
        "name": "mine",
        "sweep": "learning_rate",
        "commands": ["a", "b"],
        "baseline": "adam",
        "left_out": [{"overrides": ["optimizer=muon"], "reason": "no matrix"}],
    }
    (folder / "sweep.json").write_text(json.dumps(plan))

    sweep = read_sweep(folder)

    assert (sweep.name, sweep.baseline) == ("mine", "adam")
    assert sweep.commands == ("a", "b")
    assert sweep.skipped[0]["reason"] == "no matrix"


def test_a_folder_of_sweeps_is_an_error_that_names_them(tmp_path: Path):
    write_sweep(tmp_path / "first", {"seed": [0]})
    write_sweep(tmp_path / "second", {"seed": [0]})

    with pytest.raises(ValueError, match=r"holds no runs; it holds folders that do: first, second"):
        read_sweep(tmp_path)


def test_a_folder_that_does_not_exist_is_an_error_of_one_line(tmp_path: Path):
    with pytest.raises(ValueError, match="is not a folder"):
        read_sweep(tmp_path / "nowhere")


def test_real_runs_are_read_with_their_configuration(run: Callable[..., object], tmp_path: Path):
    short = ("task=line", "trainer.max_steps=20", "callbacks.plot=null")
    run(*short, "optimizer=sgd", "optimizer.lr=1e-3", "seed=3")
    run(*short, "optimizer=adam", "scheduler=cosine", "seed=4")

    first, second = read_sweep(tmp_path).runs

    assert (first.task, first.optimizer, first.lr, first.seed) == ("line", "sgd", 1e-3, 3)
    assert (second.optimizer, second.scheduler, second.seed) == ("adam", "cosine", 4)
    assert first.status == second.status == "completed"
    assert first.steps == 20
    assert first.optimum == pytest.approx(0.15119, rel=1e-3)
    assert first.objective == first.metrics["train/loss"]["final"]


def test_an_interrupted_run_without_a_plan_is_read_from_its_configuration(
    run: Callable[..., object], tmp_path: Path, command: Callable[..., object]
):
    command("task=line", "optimizer=sgd", "trainer.max_steps=20", "seed=5",
            f"hydra.run.dir={tmp_path / 'runs' / 'cut'}")  # fmt: skip
    (tmp_path / "runs" / "cut" / "result.json").unlink()

    (row,) = read_sweep(tmp_path / "runs").runs

    assert (row.status, row.task, row.optimizer, row.seed) == ("interrupted", "line", "sgd", 5)
    assert row.lr == 1e-3
    assert "seed=5" in row.overrides


def test_reading_imports_neither_torch_nor_matplotlib_nor_numpy():
    code = (
        "import sys; import stepsize.report.read; "
        "print({'torch', 'matplotlib', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
