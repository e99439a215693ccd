"""What a resumed run must have in common with its checkpoint."""

import pytest
import torch

from stepsize.checkpoint.compatibility import (
    built_differences,
    settings_differences,
    settings_of,
    shape_differences,
)

CONFIG = {
    "seed": 0, "data": {"points": 5}, "model": {"net": {"widths": [1, 2]}}, "scheduler": None,
    "trainer": {"precision": "32-true", "log_every_n_steps": 10, "max_steps": 9},
}  # fmt: skip
BUILT = {
    "optimizer": "Adam",
    "groups": {"default": {"parameters": ["w", "b"], "options": {"lr": 0.1, "eps": 1e-8}}},
    "schedule": [],
}


def changed(**parts):
    return settings_of({**CONFIG, **parts})


@pytest.mark.parametrize(
    ("parts", "theirs", "ours"),
    [
        ({"seed": 1}, "seed 0", "seed 1"),
        ({"data": {"points": 6}}, "data.points 5", "data.points 6"),
        (
            {"trainer": {"precision": "64-true", "log_every_n_steps": 10}},
            "trainer.precision 32-true",
            "trainer.precision 64-true",
        ),
    ],
)
def test_a_changed_setting_is_found_with_both_values(parts, theirs, ours):
    (difference,) = settings_differences(settings_of(CONFIG), changed(**parts))
    assert (difference.theirs, difference.ours) == (theirs, ours)


def test_the_length_of_a_run_may_differ():
    trainer = {**CONFIG["trainer"], "max_steps": 99, "log_every_n_steps": 5}
    assert settings_differences(settings_of(CONFIG), changed(trainer=trainer)) == []


def test_the_logging_interval_must_agree_if_a_schedule_monitors_a_value():
    plateau = {**CONFIG, "scheduler": {"monitor": "train/loss"}}
    other = {**plateau, "trainer": {**CONFIG["trainer"], "log_every_n_steps": 5}}
    (difference,) = settings_differences(settings_of(plateau), settings_of(other))
    assert difference.ours == "trainer.log_every_n_steps 5"


def test_shapes_and_names_of_weights_are_compared():
    theirs = {"a": torch.ones(2), "b": torch.ones(1)}
    found = shape_differences(theirs, {"a": torch.ones(3), "c": torch.ones(1)})
    assert [(d.theirs, d.ours) for d in found] == [
        ("a [2]", "a [3]"), ("b [1]", "no b"), ("no c", "c [1]"),
    ]  # fmt: skip


def built(**options):
    group = {"parameters": ["w", "b"], "options": {"lr": 0.1, "eps": 1e-8, **options}}
    return {**BUILT, "groups": {"default": group}}


@pytest.mark.parametrize(("option", "is_lr"), [("lr", True), ("eps", False)])
def test_a_changed_option_is_found_and_a_learning_rate_is_marked(option, is_lr):
    (difference,) = built_differences(BUILT, built(**{option: 7}))
    assert difference.ours == f"{option} 7 in group default"
    assert difference.is_lr is is_lr


def test_another_optimizer_is_the_only_difference_shown():
    (difference,) = built_differences(BUILT, {**built(lr=7), "optimizer": "SGD"})
    assert (difference.theirs, difference.ours) == ("Adam", "SGD")


def test_a_parameter_in_another_group_is_named():
    groups = {
        "default": {"parameters": ["w"], "options": {"lr": 0.1}},
        "head": {"parameters": ["b"], "options": {"lr": 0.1}},
    }
    moved = {
        "default": {"parameters": ["w", "b"], "options": {"lr": 0.1}},
        "head": {"parameters": [], "options": {"lr": 0.1}},
    }
    (difference,) = built_differences({**BUILT, "groups": groups}, {**BUILT, "groups": moved})
    assert (difference.theirs, difference.ours) == ("b in group head", "it in group default")
