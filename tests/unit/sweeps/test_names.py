"""How runs are called."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepsize.sweeps.jobs import run_name


def test_a_name_reads_as_the_words_that_made_the_run():
    words = ["seed=3", "optimizer.lr=0.01", "optimizer=adam"]
    assert run_name(words) == "optimizer=adam,optimizer.lr=0.01,seed=3"


WORDS = [
    "task=line", "optimizer=adam", "optimizer.lr=0.01", "optimizer.betas=[0.9,0.99]",
    "+trainer.limit_val_batches=3", "~callbacks.progress", "seed=7",
    "+param_groups.stem={match: 'conv1|bn1', lr_scale: 0.1}",
]  # fmt: skip


@given(st.permutations(WORDS))
def test_the_order_of_the_words_does_not_matter(words):
    assert run_name(words) == run_name(WORDS)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("optimizer.lr=1e-2", "optimizer.lr=0.01"),
        ("optimizer.nesterov=True", "optimizer.nesterov=true"),
        ("+optimizer.fused=true", "++optimizer.fused=true"),
        ("optimizer.betas=[0.9, 0.99]", "optimizer.betas=[0.9,0.99]"),
    ],
)
def test_one_value_has_one_name(one, other):
    assert run_name([one]) == run_name([other])


def test_what_only_says_where_a_sweep_goes_is_not_in_the_name():
    words = ["seed=1", "name=x", "sweep=quick", "overwrite=true", "fail_fast=true"]
    assert run_name(words) == "seed=1"


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
