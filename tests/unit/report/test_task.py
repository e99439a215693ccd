from __future__ import annotations

import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from synthetic_sweeps import BEST, compared, write_run, write_sweep

from stepsize.report.differences import adjusted_p, differences
from stepsize.report.task import check_baseline, choose_baseline


def test_a_run_that_diverged_is_counted_and_never_averaged_in(tmp_path: Path):
    special = {f"seed={seed}": {"final": 0.1 * (seed + 1)} for seed in range(5)}
    special["seed=4"] = {"status": "diverged", "end": 200}
    (task,) = compared(write_sweep(tmp_path / "s", {"seed": range(5)}, special=special))

    (entry,) = task.entries
    assert entry.n == 5
    assert entry.median == pytest.approx(0.3)  # of 0.1, 0.2, 0.3, 0.4 and inf
    assert entry.mean is None
    assert entry.count("diverged") == 1


def test_the_median_is_infinite_where_most_seeds_diverged(tmp_path: Path):
    special = {f"seed={seed}": {"status": "diverged", "end": 200} for seed in (0, 1)}
    (task,) = compared(write_sweep(tmp_path / "s", {"seed": range(3)}, special=special))
    assert task.entries[0].median == math.inf


def test_a_failed_or_missing_run_has_no_value_and_is_counted_by_status(tmp_path: Path):
    special = {
        "seed=0": {"status": "failed", "end": 10, "final": 1e-9},
        "seed=1": {"status": "missing"},
        "seed=2": {"final": 0.2},
    }
    (task,) = compared(write_sweep(tmp_path / "s", {"seed": range(3)}, special=special))
    (entry,) = task.entries
    assert (entry.n, entry.median) == (1, pytest.approx(0.2))
    assert entry.count("failed") == entry.count("missing") == 1


def test_the_mean_is_geometric_with_an_interval_on_the_log(tmp_path: Path):
    special = {"seed=0": {"final": 0.01}, "seed=1": {"final": 1.0}}
    (task,) = compared(write_sweep(tmp_path / "s", {"seed": range(2)}, special=special))
    mean = task.entries[0].mean
    assert mean is not None
    assert mean.center == pytest.approx(0.1)
    # t of one degree of freedom is 12.706; the standard error of the log is ln(10).
    assert math.log(mean.high / mean.center) == pytest.approx(12.7062 * math.log(10), rel=1e-4)


def test_the_best_setting_of_each_method_leads_and_the_best_method_is_first(tmp_path: Path):
    varied = {"optimizer": ["sgd", "adam"], "optimizer.lr": [0.01, 0.1], "seed": range(3)}
    (task,) = compared(write_sweep(tmp_path / "s", varied))
    assert [entry.setting.label for entry in task.leaders] == ["adam lr=0.01", "sgd lr=0.1"]
    assert len(task.entries) == 4


def test_without_an_optimum_a_task_is_ranked_by_its_monitor(tmp_path: Path):
    varied = {"task": ["line", "curve"], "seed": range(2)}
    known = {f"seed={seed},task=curve": {"known": False} for seed in range(2)}
    line, curve = compared(write_sweep(tmp_path / "s", varied, special=known))
    assert (line.measure.tag, line.measure.is_gap) == ("train/gap", True)
    assert (curve.measure.tag, curve.measure.is_gap) == ("train/loss", False)


def test_runs_of_the_tuning_stage_do_not_rank(tmp_path: Path):
    varied = {"optimizer": ["adam"], "optimizer.lr": [0.01, 0.1], "seed": range(6)}
    stages = {
        f"optimizer=adam,optimizer.lr={lr},seed={seed}": "tune" if seed < 3 else "test"
        for lr in (0.01, 0.1)
        for seed in range(6)
    }
    (task,) = compared(write_sweep(tmp_path / "s", varied, stages=stages))
    assert task.two_stages
    assert {run.seed for entry in task.entries for run in entry.runs} == {3, 4, 5}
    assert {run.seed for entry in task.tuning for run in entry.runs} == {0, 1, 2}


def test_the_same_run_in_two_sweeps_is_counted_once(tmp_path: Path):
    first = write_sweep(tmp_path / "a", {"optimizer": ["adam", "sgd"], "seed": range(3)})
    shutil.copytree(first, tmp_path / "b")
    (task,) = compared(first, tmp_path / "b")
    assert [entry.n for entry in task.entries] == [3, 3]
    assert task.repeats == 6


def test_different_configurations_with_one_label_get_the_names_of_their_sweeps(tmp_path: Path):
    for name in ("a", "b"):
        for seed in range(2):
            write_run(tmp_path / name / str(seed), {"optimizer": "adam", "seed": seed})
    changed = tmp_path / "b" / "0" / "result.json"
    changed.write_text(changed.read_text().replace('"config_hash": "', '"config_hash": "f'))
    (task,) = compared(tmp_path / "a", tmp_path / "b")
    assert sorted(entry.setting.label for entry in task.entries) == ["adam (a)", "adam (b)"]
    assert task.repeats == 0


def test_a_finished_run_is_not_replaced_by_a_later_attempt_that_failed(tmp_path: Path):
    write_run(tmp_path / "s" / "1", {"seed": 0}, final=0.2)
    write_run(tmp_path / "s" / "2", {"seed": 0}, final=0.5, status="failed", end=10)
    (task,) = compared(tmp_path / "s")
    assert task.entries[0].median == pytest.approx(0.2)


def test_if_the_seed_has_no_effect_no_difference_is_significant(tmp_path: Path):
    special = {
        f"optimizer={optimizer},seed={seed}": {"final": final}
        for optimizer, final in (("adam", 0.1), ("sgd", 0.2))
        for seed in range(10)
    }
    varied = {"optimizer": ["adam", "sgd"], "seed": range(10)}
    (task,) = compared(write_sweep(tmp_path / "s", varied, special=special))
    assert not task.seed_matters
    (difference,) = differences(task, task.entries[0], adjusted_p(task))
    assert difference.pair.p is not None
    assert difference.pair.p < 0.05
    assert not difference.significant


def test_a_difference_significant_in_one_comparison_is_not_among_many(tmp_path: Path):
    losses = np.random.default_rng(4).lognormal(0, 1, (12, 8))
    losses[1] = losses[0] * np.random.default_rng(5).lognormal(0.6, 0.5, 8)
    names = list(BEST)[:12]
    special = {
        f"optimizer={name},seed={seed}": {"final": float(loss)}
        for name, row in zip(names, losses, strict=True)
        for seed, loss in enumerate(row)
    }
    varied = {"optimizer": names, "seed": range(8)}
    (task,) = compared(write_sweep(tmp_path / "s", varied, special=special))
    first = next(entry for entry in task.entries if entry.setting.label == names[0])
    found = {each.setting: each for each in differences(task, first, adjusted_p(task))}[names[1]]
    assert found.pair.verdict == "worse"
    assert found.pair.p <= 0.05 < found.p
    assert not found.significant
    assert found.verdict == "not significant among so many comparisons"


def test_adam_is_the_usual_baseline_at_its_best_learning_rate(tmp_path: Path):
    varied = {"optimizer": ["sgd", "adam"], "optimizer.lr": [0.01, 0.1], "seed": range(2)}
    (task,) = compared(write_sweep(tmp_path / "s", varied))
    chosen = choose_baseline(task, None)
    assert chosen is not None
    assert chosen.setting.label == "adam lr=0.01"


@pytest.mark.parametrize(
    ("wanted", "label"),
    [("sgd", "sgd lr=0.1"), ("sgd lr=0.01", "sgd lr=0.01"), ("0.1", "adam lr=0.1")],
    ids=["a method", "a setting", "a value"],
)
def test_a_baseline_is_a_setting_a_method_or_a_value(tmp_path: Path, wanted: str, label: str):
    varied = {"optimizer": ["sgd", "adam"], "optimizer.lr": [0.01, 0.1], "seed": range(2)}
    (task,) = compared(write_sweep(tmp_path / "s", varied))
    chosen = choose_baseline(task, wanted)
    assert chosen is not None
    assert chosen.setting.label == label


def test_an_unknown_baseline_is_an_error_that_names_the_settings(tmp_path: Path):
    tasks = compared(write_sweep(tmp_path / "s", {"optimizer": ["sgd", "adam"]}))
    with pytest.raises(ValueError, match=r"baseline=foo is none of the settings; .* adam, sgd$"):
        check_baseline(tasks, "foo")
