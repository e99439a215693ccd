from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from stepsize.report.labels import grid_of, name_settings, varied_overrides
from stepsize.report.read import RunRow


def row(*overrides: str, **known: Any) -> RunRow:
    values = {"optimizer": "adam", "scheduler": "none", "param_groups": "none", "lr": 1e-3} | known
    return RunRow(
        "s",
        "r",
        Path("r"),
        "compare",
        "completed",
        None,
        "line",
        seed=0,
        overrides=overrides,
        **values,
    )


def labels(*rows: RunRow) -> list[str]:
    return [setting.label for setting in name_settings(rows)]


def test_a_setting_is_named_by_what_varies_and_by_nothing_else():
    first = row("optimizer=adam", "optimizer.lr=0.01", "trainer.max_steps=500", lr=0.01)
    second = row(
        "optimizer=sgd", "optimizer.lr=0.1", "trainer.max_steps=500", optimizer="sgd", lr=0.1
    )
    assert labels(first, second) == ["adam lr=0.01", "sgd lr=0.1"]


def test_names_of_runs_tasks_and_seeds_are_no_hyperparameters():
    assert labels(row("seed=0", "name=a", "task=line"), row("seed=1", "name=b", "task=blobs")) == [
        "adam",
        "adam",
    ]


def test_one_number_written_in_two_ways_is_one_setting():
    first, second = name_settings(
        [row("optimizer.lr=1e-3", "optimizer.eps=1e-8"), row("optimizer.lr=0.001", lr=1e-3)]
    )
    assert "optimizer.lr" not in dict(first.values)
    assert first.label == "adam eps=1e-8"
    assert second.label == "adam eps=default"


def test_a_learning_rate_that_was_not_overridden_is_the_configured_one():
    assert labels(row(lr=0.02), row("optimizer.lr=0.5", lr=0.5)) == ["adam lr=0.02", "adam lr=0.5"]


def test_learning_rates_that_only_the_optimizers_files_set_are_not_named():
    assert labels(row(lr=1e-3), row(optimizer="adadelta", lr=1.0)) == ["adam", "adadelta"]


def test_no_schedule_is_the_name_if_nothing_else_varies():
    plain, cosine = row("scheduler=none"), row("scheduler=cosine", scheduler="cosine")
    assert labels(plain, cosine) == ["no schedule", "cosine"]
    assert labels(plain, cosine, row(optimizer="sgd")) == ["adam", "adam cosine", "sgd"]


def test_a_class_of_ones_own_is_named_without_its_package():
    override = "optimizer._target_=torch.optim.NAdam"
    assert labels(row(), row(override, optimizer="torch.optim.NAdam")) == ["adam", "NAdam"]


def test_keys_with_equal_ends_have_longer_names():
    first = row("optimizer.weight_decay=0.1", "model.weight_decay=0")
    second = row("optimizer.weight_decay=0.2", "model.weight_decay=1")
    assert labels(first, second) == [
        "adam model.weight_decay=0 optimizer.weight_decay=0.1",
        "adam model.weight_decay=1 optimizer.weight_decay=0.2",
    ]


def test_a_chosen_file_belongs_to_the_method_and_a_number_to_the_setting():
    plain, averaged = name_settings(
        [row("optimizer.eps=1"), row("callbacks=swa", "optimizer.eps=2")]
    )
    assert averaged.method == "callbacks=swa"
    assert averaged.label == "callbacks=swa eps=2"
    assert plain.method == "callbacks=default"


def test_the_grid_lists_every_value_once():
    rows = [row("optimizer.lr=0.1", "seed=0"), row("optimizer.lr=1e-1"), row("optimizer.lr=1")]
    assert grid_of(rows)["optimizer.lr"] == ["0.1", "1"]
    assert grid_of(rows)["optimizer"] == ["adam"]


def test_a_table_of_runs_has_the_overrides_that_differ():
    rows = [row("a.b=1", "c=2"), row("a.b=3", "c=2"), row("c=2")]
    assert varied_overrides(rows) == [{"a.b": "1"}, {"a.b": "3"}, {}]


def test_classes_that_vary_are_part_of_the_method():
    first, second = row("model.net._target_=mine.A"), row("model.net._target_=mine.B")
    assert labels(first, second) == ["net=A", "net=B"]
    assert labels(row("model._target_=mine.A"), row()) == ["model=A", "model=default"]


def test_classes_of_one_name_in_two_packages_keep_their_packages():
    first, second = row("model._target_=one.Net"), row("model._target_=two.Net")
    assert labels(first, second) == ["model=one.Net", "model=two.Net"]


def test_numbers_that_agree_in_six_digits_are_shown_in_full():
    first, second = row("optimizer.eps=0.12345671"), row("optimizer.eps=0.12345672")
    assert labels(first, second) == ["adam eps=0.12345671", "adam eps=0.12345672"]


def test_another_seed_than_the_runs_is_not_called_seed():
    assert labels(row("data.seed=0"), row("data.seed=3")) == [
        "adam data.seed=0",
        "adam data.seed=3",
    ]


def test_paths_are_shown_without_the_folder_that_they_share():
    first, second = (row("resume=weights", f"ckpt_path=/a/b/{name}/last.ckpt") for name in "xy")
    assert labels(first, second) == ["ckpt_path=x/last.ckpt", "ckpt_path=y/last.ckpt"]


def test_the_checkpoint_that_weights_come_from_is_a_hyperparameter():
    first = row("resume=weights", "ckpt_path=a.ckpt")
    assert labels(first, row("resume=weights", "ckpt_path=b.ckpt")) == [
        "ckpt_path=a.ckpt",
        "ckpt_path=b.ckpt",
    ]
    assert labels(row("ckpt_path=a.ckpt"), row("ckpt_path=b.ckpt")) == ["adam", "adam"]


# Values that a short form could make equal: in digits, in spelling, by package, by kind.
VALUES = st.sampled_from(
    ["0.1", "1e-1", "0.1000001", "0.10000001", "true", "a.B", "c.B", "B", "[1,2]", "default", "x y"]
)
KEYS = st.sampled_from(
    ["optimizer.eps", "model.eps", "data.seed", "model._target_", "model.net._target_", "callbacks",
     "optimizer._target_", "model.net"]
)  # fmt: skip


@given(st.lists(st.dictionaries(KEYS, VALUES, max_size=3), min_size=1, max_size=6))
def test_two_runs_share_a_label_only_if_they_share_all_values(configured: list[dict[str, str]]):
    rows = [row(*(f"{key}={value}" for key, value in each.items())) for each in configured]
    settings = name_settings(rows)
    for first, second in itertools.combinations(settings, 2):
        assert (first.label == second.label) == (first.values == second.values)
