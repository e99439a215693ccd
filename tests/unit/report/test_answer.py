from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from synthetic_sweeps import compared, write_sweep

from stepsize.report.answer import Answer, answer


def answered(folder: Path, varied: dict[str, Any], **options: Any) -> Answer:
    (task,) = compared(write_sweep(folder, varied, **options))
    return answer(task)


def text(found: Answer) -> str:
    return " ".join([found.headline, *found.sentences, *found.caveats])


def test_ten_seeds_tell_what_is_better_and_by_how_much(tmp_path: Path):
    found = answered(tmp_path / "s", {"optimizer": ["sgd", "adam"], "seed": range(10)})
    assert found.headline.startswith("`adam` ends lowest: median train/gap 0.00")
    assert "Over 10 seeds the geometric mean is" in text(found)
    assert "It is better than `sgd`: " in text(found)
    assert "times lower (95% interval " in text(found)


def test_what_cannot_be_told_apart_is_said_to_be_so(tmp_path: Path):
    special = {
        f"optimizer={optimizer},seed={seed}": {"final": 0.1 * (1 + (seed + shift) % 10 / 10)}
        for optimizer, shift in (("adam", 0), ("adamw", 3))
        for seed in range(10)
    }
    varied = {"optimizer": ["adam", "adamw"], "seed": range(10)}
    found = answered(tmp_path / "s", varied, special=special)
    assert "It cannot be told apart from `" in text(found)
    assert "better than" not in text(found)


@pytest.mark.parametrize(("seeds", "p"), [(3, "0.25"), (5, "0.062")], ids=["three", "five"])
def test_with_fewer_than_six_seeds_nothing_is_claimed(tmp_path: Path, seeds: int, p: str):
    found = answered(tmp_path / "s", {"optimizer": ["sgd", "adam"], "seed": range(seeds)})
    assert f"With {seeds} seeds in common nothing can be claimed at 5%" in text(found)
    assert f"p would be {p}" in text(found)
    assert "is better than" not in text(found)


def test_many_comparisons_at_few_seeds_claim_nothing_and_say_why(tmp_path: Path):
    varied = {"optimizer": ["sgd", "adam", "nadam", "rmsprop"], "seed": range(6)}
    found = answered(tmp_path / "s", varied)
    assert "With 6 seeds and 3 comparisons at once nothing could be claimed at 5%" in text(found)


def test_one_seed_gives_no_interval(tmp_path: Path):
    found = answered(tmp_path / "s", {"optimizer": ["sgd", "adam"]})
    assert "It is one seed: no interval can be given" in text(found)
    assert "median" not in found.headline


def test_settings_chosen_by_the_seeds_that_judge_them_are_said_to_flatter(tmp_path: Path):
    varied = {"optimizer": ["sgd", "adam"], "optimizer.lr": [0.01, 0.1], "seed": range(6)}
    found = answered(tmp_path / "s", varied)
    assert "chosen by the very seeds" in text(found)


def test_settings_chosen_on_other_seeds_are_said_to_be_fair(tmp_path: Path):
    varied = {"optimizer": ["sgd", "adam"], "optimizer.lr": [0.1], "seed": range(9)}
    stages = {
        f"optimizer={optimizer},optimizer.lr=0.1,seed={seed}": "tune" if seed < 3 else "test"
        for optimizer in ("sgd", "adam")
        for seed in range(9)
    }
    found = answered(tmp_path / "s", varied, stages=stages)
    assert "on other seeds than these, which is fair" in text(found)
    assert "the very seeds" not in text(found)


def test_a_best_rate_on_the_edge_of_its_grid_is_pointed_out(tmp_path: Path):
    varied = {"optimizer": ["adam"], "optimizer.lr": [1e-3, 3e-3, 1e-2], "seed": range(6)}
    found = answered(tmp_path / "s", varied)
    assert "lies on the edge of what was tried" in text(found)
    assert "`adam` (0.01, the highest of 3)." in text(found)


def test_a_best_rate_inside_its_grid_is_not_pointed_out(tmp_path: Path):
    varied = {"optimizer": ["adam"], "optimizer.lr": [1e-3, 1e-2, 1e-1], "seed": range(6)}
    assert "edge" not in text(answered(tmp_path / "s", varied))


def test_a_rate_beyond_which_all_diverge_is_inside_its_grid(tmp_path: Path):
    varied = {"optimizer": ["adam"], "optimizer.lr": [1e-3, 1e-2, 1e-1], "seed": range(6)}
    special = {
        f"optimizer=adam,optimizer.lr=0.1,seed={seed}": {"status": "diverged", "end": 50}
        for seed in range(6)
    }
    found = answered(tmp_path / "s", varied, special=special)
    assert "edge" not in text(found)
    assert "6 runs diverged: they count as infinitely bad" in text(found)


def test_unequal_chances_are_pointed_out(tmp_path: Path):
    special = {f"optimizer=sgd,seed={seed}": {"status": "missing"} for seed in (3, 4, 5)}
    varied = {"optimizer": ["sgd", "adam"], "seed": range(6)}
    folder = write_sweep(tmp_path / "s", varied, special=special)
    (folder / "sweep.json").unlink()  # with a plan, the missing runs would be missing
    (task,) = compared(folder)
    assert "Unequal numbers of seeds: 3 for `sgd`; 6 for `adam`." in text(answer(task))


def test_runs_of_which_nothing_is_known_are_pointed_out(tmp_path: Path):
    special = {
        "optimizer=sgd,seed=0": {"status": "failed", "end": 10},
        "optimizer=sgd,seed=1": {"status": "missing"},
    }
    varied = {"optimizer": ["sgd", "adam"], "seed": range(6)}
    found = answered(tmp_path / "s", varied, special=special)
    assert "1 failed and 1 missing: nothing is known of these runs" in text(found)


def test_without_any_end_there_is_no_answer(tmp_path: Path):
    special = {f"seed={seed}": {"status": "failed", "end": 0} for seed in range(2)}
    found = answered(tmp_path / "s", {"seed": range(2)}, special=special)
    assert found.headline == "No run has come to an end, so there is no answer."


def test_where_all_diverged_nothing_is_called_best(tmp_path: Path):
    special = {f"seed={seed}": {"status": "diverged", "end": 50} for seed in range(2)}
    found = answered(tmp_path / "s", {"seed": range(2)}, special=special)
    assert found.headline.startswith("Nothing worked")


def test_where_the_seed_changes_nothing_the_order_is_exact(tmp_path: Path):
    special = {
        f"optimizer={optimizer},seed={seed}": {"final": final}
        for optimizer, final in (("adam", 0.1), ("sgd", 0.2))
        for seed in range(10)
    }
    varied = {"optimizer": ["adam", "sgd"], "seed": range(10)}
    found = answered(tmp_path / "s", varied, special=special)
    assert "nothing here depends on the seed" in text(found)
    assert "interval" not in text(found)
