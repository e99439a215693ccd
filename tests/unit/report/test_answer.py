from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from synthetic_sweeps import compared, write_sweep

from stepsize.report.answer import answer_task
from stepsize.report.conclusion import Conclusion


def answered(folder: Path, varied: dict[str, Any], **options: Any) -> Conclusion:
    (task,) = compared(write_sweep(folder, varied, **options))
    return answer_task(task).conclusion


def text(found: Conclusion) -> str:
    return " ".join([found.headline, *found.sentences, *found.caveats])


def test_ten_seeds_show_which_setting_is_better_and_by_how_much(tmp_path: Path):
    found = answered(tmp_path / "s", {"optimizer": ["sgd", "adam"], "seed": range(10)})
    assert found.headline.startswith("`adam` ends lowest: median train/gap 0.00")
    assert "Over 10 seeds the geometric mean is" in text(found)
    assert "significantly better than `sgd`: " in text(found)
    assert "times lower (95% interval " in text(found)


def test_settings_without_a_significant_difference_are_named(tmp_path: Path):
    special = {
        f"optimizer={optimizer},seed={seed}": {"final": 0.1 * (1 + (seed + shift) % 10 / 10)}
        for optimizer, shift in (("adam", 0), ("adamw", 3))
        for seed in range(10)
    }
    varied = {"optimizer": ["adam", "adamw"], "seed": range(10)}
    found = answered(tmp_path / "s", varied, special=special)
    assert "does not differ significantly from `" in text(found)
    assert "better than" not in text(found)


@pytest.mark.parametrize(("seeds", "p"), [(3, "0.25"), (5, "0.062")], ids=["three", "five"])
def test_with_fewer_than_six_seeds_no_difference_is_significant(tmp_path: Path, seeds: int, p: str):
    found = answered(tmp_path / "s", {"optimizer": ["sgd", "adam"], "seed": range(seeds)})
    assert f"With {seeds} common seeds no difference from `sgd` can be significant" in text(found)
    assert f"smallest possible p is {p}" in text(found)
    assert "better than" not in text(found)


def test_six_seeds_decide_clear_differences_among_many(tmp_path: Path):
    varied = {"optimizer": ["sgd", "adam", "nadam", "adadelta"], "seed": range(6)}
    found = answered(tmp_path / "s", varied)
    assert "It is significantly better than all others" in text(found)


def test_one_seed_gives_no_interval(tmp_path: Path):
    found = answered(tmp_path / "s", {"optimizer": ["sgd", "adam"]})
    assert "There is one seed, so there is no interval" in text(found)
    assert "median" not in found.headline


def test_settings_selected_on_the_seeds_that_rank_them_have_a_selection_bias(tmp_path: Path):
    varied = {"optimizer": ["sgd", "adam"], "optimizer.lr": [0.01, 0.1], "seed": range(6)}
    found = answered(tmp_path / "s", varied)
    assert "The same seeds selected them" in text(found)


def test_settings_selected_on_other_seeds_have_no_selection_bias(tmp_path: Path):
    varied = {"optimizer": ["sgd", "adam"], "optimizer.lr": [0.1], "seed": range(9)}
    stages = {
        f"optimizer={optimizer},optimizer.lr=0.1,seed={seed}": "tune" if seed < 3 else "test"
        for optimizer in ("sgd", "adam")
        for seed in range(9)
    }
    found = answered(tmp_path / "s", varied, stages=stages)
    assert "on other seeds, so there is no selection bias" in text(found)
    assert "The same seeds" not in text(found)


def test_a_best_learning_rate_on_the_edge_of_its_grid_is_a_caveat(tmp_path: Path):
    varied = {"optimizer": ["adam"], "optimizer.lr": [1e-3, 3e-3, 1e-2], "seed": range(6)}
    found = answered(tmp_path / "s", varied)
    assert "on the edge of the grid" in text(found)
    assert "`adam` (0.01, the highest of 3)." in text(found)


def test_a_best_learning_rate_inside_its_grid_is_no_caveat(tmp_path: Path):
    varied = {"optimizer": ["adam"], "optimizer.lr": [1e-3, 1e-2, 1e-1], "seed": range(6)}
    assert "edge" not in text(answered(tmp_path / "s", varied))


def test_a_learning_rate_above_which_all_runs_diverge_is_inside_its_grid(tmp_path: Path):
    varied = {"optimizer": ["adam"], "optimizer.lr": [1e-3, 1e-2, 1e-1], "seed": range(6)}
    special = {
        f"optimizer=adam,optimizer.lr=0.1,seed={seed}": {"status": "diverged", "end": 50}
        for seed in range(6)
    }
    found = answered(tmp_path / "s", varied, special=special)
    assert "edge" not in text(found)
    assert "6 runs diverged and count as infinitely bad" in text(found)


def test_unequal_numbers_of_seeds_are_a_caveat(tmp_path: Path):
    special = {f"optimizer=sgd,seed={seed}": {"status": "missing"} for seed in (3, 4, 5)}
    varied = {"optimizer": ["sgd", "adam"], "seed": range(6)}
    folder = write_sweep(tmp_path / "s", varied, special=special)
    (folder / "sweep.json").unlink()  # with a plan, the missing runs would be missing
    (task,) = compared(folder)
    assert "Unequal numbers of seeds: 3 for `sgd`; 6 for `adam`." in text(
        answer_task(task).conclusion
    )


def test_runs_without_a_final_value_are_a_caveat(tmp_path: Path):
    special = {
        "optimizer=sgd,seed=0": {"status": "failed", "end": 10},
        "optimizer=sgd,seed=1": {"status": "missing"},
    }
    varied = {"optimizer": ["sgd", "adam"], "seed": range(6)}
    found = answered(tmp_path / "s", varied, special=special)
    assert "not counted in n: 1 failed and 1 missing." in text(found)


def test_without_a_finished_run_there_is_no_answer(tmp_path: Path):
    special = {f"seed={seed}": {"status": "failed", "end": 0} for seed in range(2)}
    found = answered(tmp_path / "s", {"seed": range(2)}, special=special)
    assert found.headline == "No run completed or diverged, so there is no answer."


def test_if_all_runs_diverged_no_setting_is_called_best(tmp_path: Path):
    special = {f"seed={seed}": {"status": "diverged", "end": 50} for seed in range(2)}
    found = answered(tmp_path / "s", {"seed": range(2)}, special=special)
    assert "at least half of the runs diverged" in found.headline


def test_if_the_seed_has_no_effect_the_order_is_exact(tmp_path: Path):
    special = {
        f"optimizer={optimizer},seed={seed}": {"final": final}
        for optimizer, final in (("adam", 0.1), ("sgd", 0.2))
        for seed in range(10)
    }
    varied = {"optimizer": ["adam", "sgd"], "seed": range(10)}
    found = answered(tmp_path / "s", varied, special=special)
    assert "so the seed has no effect" in text(found)
    assert "interval" not in text(found)


def test_gaps_below_the_rounding_error_have_no_interval_and_ratios_are_bounds(tmp_path: Path):
    special = {
        f"optimizer={optimizer},seed={seed}": {"final": final * (1 + seed / 10)}
        for optimizer, final in (("lbfgs", 1e-18), ("sgd", 1e-3))
        for seed in range(8)
    }
    varied = {"optimizer": ["lbfgs", "sgd"], "seed": range(8)}
    found = answered(tmp_path / "s", varied, special=special)
    assert "At all 8 seeds the gap is a rounding error, below 8.9e-16." in text(found)
    assert "significantly better than `sgd`: more than 1." in text(found)


def test_accuracies_are_compared_by_their_difference(tmp_path: Path):
    folder = write_sweep(tmp_path / "s", {"optimizer": ["adam", "sgd"], "seed": range(8)})
    for file in folder.glob("*/result.json"):
        result = json.loads(file.read_text())
        accuracy = (0.97 if result["optimizer"] == "adam" else 0.91) + result["seed"] / 1000
        result |= {"monitor": "val/acc", "mode": "max", "objective": accuracy, "optimum": None}
        result["metrics"] = {"val/acc": {"first": 0.1, "final": accuracy, "best": accuracy}}
        file.write_text(json.dumps(result))
    (task,) = compared(folder)
    assert "significantly better than `sgd`: 0.0600 higher (95% interval 0.0600" in text(
        answer_task(task).conclusion
    )


def test_settings_of_other_data_or_models_are_not_said_to_start_equal(tmp_path: Path):
    varied = {"optimizer": ["sgd", "adam"], "data.batch_size": [8, 16], "seed": range(6)}
    (task,) = compared(write_sweep(tmp_path / "s", varied))
    found = answer_task(task)
    assert "The settings differ in `data.batch_size`, so that initial weights" in text(
        found.conclusion
    )
    assert "equal initial weights" not in found.pairing
    (task,) = compared(write_sweep(tmp_path / "t", {"optimizer": ["sgd", "adam"], "seed": [0, 1]}))
    assert answer_task(task).pairing.endswith("with equal initial weights and batches.")


def test_one_training_under_two_names_is_called_one(tmp_path: Path):
    folder = write_sweep(
        tmp_path / "s", {"optimizer": ["adam"], "optimizer.lr": [1, 10], "seed": range(3)}
    )
    for seed in range(3):
        one, ten = (folder / f"optimizer=adam,optimizer.lr={lr},seed={seed}" for lr in (1, 10))
        result = json.loads((one / "result.json").read_text())
        other = json.loads((ten / "result.json").read_text())
        other |= {key: result[key] for key in ("metrics", "objective", "steps")}
        (ten / "result.json").write_text(json.dumps(other))
    (task,) = compared(folder)
    found = text(answer_task(task).conclusion)
    assert "`adam lr=1` and `adam lr=10` are one training under several names" in found
    assert "end lowest, at equal values" in found


def test_the_fastest_setting_is_named_beside_the_best(tmp_path: Path):
    varied = {"optimizer": ["sgd", "nadam"], "seed": range(6)}
    found = answered(tmp_path / "s", varied, target=0.01)
    assert found.fastest is not None
    assert found.fastest.startswith("Fastest to train/gap 0.01: `nadam`, after a median of ")


def test_seeds_that_end_short_of_the_target_are_counted(tmp_path: Path):
    special = {f"optimizer=adam,seed={seed}": {"final": 0.5} for seed in (1, 4)}
    varied = {"optimizer": ["adam", "sgd"], "seed": range(10)}
    found = answered(tmp_path / "s", varied, special=special, target=0.01)
    assert "At 2 of 10 seeds it ends above the target, train/gap of 0.01." in text(found)


def test_optimizers_with_one_learning_rate_each_are_called_untuned(tmp_path: Path):
    found = answered(tmp_path / "s", {"optimizer": ["sgd", "adam"], "seed": range(2)})
    assert (
        "No learning rate was tuned: each optimizer ran at one, `adam` 0.01 and `sgd` 0.1."
        in text(found)
    )
    tuned = {"optimizer": ["sgd", "adam"], "optimizer.lr": [0.01, 0.1], "seed": range(2)}
    assert "tuned" not in text(answered(tmp_path / "t", tuned))
