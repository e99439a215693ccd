"""The folder names of runs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepsize.sweeps.jobs import run_name


def test_a_name_reads_as_the_overrides_of_the_run():
    overrides = ["seed=3", "optimizer.lr=0.01", "optimizer=adam"]
    assert run_name(overrides) == "optimizer=adam,optimizer.lr=0.01,seed=3"


OVERRIDES = [
    "task=line", "optimizer=adam", "optimizer.lr=0.01", "optimizer.betas=[0.9,0.99]",
    "+trainer.limit_val_batches=3", "~callbacks.progress", "seed=7",
    "+param_groups.stem={match: 'conv1|bn1', lr_scale: 0.1}",
]  # fmt: skip


@given(st.permutations(OVERRIDES))
def test_the_order_of_the_overrides_does_not_matter(overrides):
    assert run_name(overrides) == run_name(OVERRIDES)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("optimizer.lr=1e-2", "optimizer.lr=0.01"),
        ("optimizer.nesterov=True", "optimizer.nesterov=true"),
        ("+optimizer.fused=true", "++optimizer.fused=true"),
        ("optimizer.betas=[0.9, 0.99]", "optimizer.betas=[0.9,0.99]"),
        ("optimizer.lr=1e3", "optimizer.lr=1000"),
        ("optimizer.lr=1000.0", "optimizer.lr=1000"),
    ],
)
def test_one_value_has_one_name(one, other):
    assert run_name([one]) == run_name([other])


def test_keys_that_say_only_where_and_how_a_sweep_runs_are_not_in_the_name():
    overrides = [
        "seed=1",
        "name=x",
        "sweep=quick",
        "overwrite=true",
        "fail_fast=true",
        "plots=true",
    ]
    assert run_name(overrides) == "seed=1"


def test_text_that_looks_like_a_number_is_not_respelled():
    assert run_name(["+model.version='1.10'"]) != run_name(["+model.version=1.10"])


def test_what_all_runs_of_a_sweep_usually_share_comes_after_the_seed():
    overrides = ["task=line", "trainer.max_steps=300", "optimizer=adam", "seed=3", "logger=none"]
    expected = "optimizer=adam,seed=3,task=line,trainer.max_steps=300,logger=none"
    assert run_name(overrides) == expected


VALUES = st.text(
    st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs")), min_size=1, max_size=400
).filter(lambda text: "'" not in text and "\\" not in text)


@given(VALUES)
def test_a_name_is_one_folder_of_less_than_255_bytes(value):
    name = run_name([f"model.title='{value}'"])
    assert 0 < len(name.encode()) < 255
    assert "/" not in name
    assert name not in (".", "..")


@given(VALUES, VALUES)
def test_different_values_have_different_names(one, other):
    names = {run_name([f"model.title='{value}'"]) for value in (one, other)}
    assert len(names) == len({one, other})
