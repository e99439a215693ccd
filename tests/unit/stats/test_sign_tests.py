"""The exact tests against published p values and the least that is possible."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepsize.stats.paired import sign_flip_p, sign_test_p

# Darwin's self- and cross-fertilised maize, differences of height in eighths of an inch.
DARWIN = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]


@pytest.mark.parametrize(("n", "least"), [(1, 1.0), (2, 0.5), (3, 0.25), (5, 0.0625), (6, 0.03125)])
def test_the_least_possible_p_is_2_in_2_to_the_n(n: int, least: float) -> None:
    assert sign_flip_p([1.0 + 0.1 * i for i in range(n)]) == least
    assert sign_test_p(n, 0) == sign_test_p(0, n) == least


def test_darwins_maize_gives_the_p_that_fisher_counted() -> None:
    # The Design of Experiments, section 21: 863 of 32,768 arrangements reach 314 on each side.
    assert sign_flip_p(DARWIN) == 2 * 863 / 2**15


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(-20, 20), min_size=1, max_size=8))
def test_the_exact_p_is_the_share_of_all_sign_flips(differences: list[int]) -> None:
    flips = itertools.product([1, -1], repeat=len(differences))
    sums = [abs(sum(s * d for s, d in zip(flip, differences, strict=True))) for flip in flips]
    share = sum(total >= abs(sum(differences)) for total in sums) / len(sums)
    # In units that floating point cannot hold: sums that are equal must still count as equal.
    assert sign_flip_p([0.1 * d for d in differences]) == share


def test_many_pairs_are_sampled_close_to_the_exact_p_and_the_same_each_time() -> None:
    differences = np.random.default_rng(3).normal(0.7, 1.0, 20)
    sums = np.zeros(1)
    for value in differences:
        sums = np.concatenate([sums + value, sums - value])
    exact = float(np.mean(np.abs(sums) >= abs(differences.sum()) - 1e-9))
    assert 0.01 < exact < 0.2
    found = sign_flip_p(differences.tolist())
    # Five standard errors of 19,999 draws.
    assert found == pytest.approx(exact, abs=5 * math.sqrt(exact * (1 - exact) / 19_999))
    assert found == sign_flip_p(differences.tolist())


def test_a_sampled_p_is_never_zero() -> None:
    assert sign_flip_p([1.0] * 40) == 1 / 20_000


def test_differences_of_zero_have_p_1() -> None:
    assert sign_flip_p([0.0] * 9) == 1.0
    assert sign_test_p(0, 0) == 1.0


@pytest.mark.parametrize(
    ("wins", "losses", "p"), [(7, 1, 18 / 256), (8, 2, 112 / 1024), (4, 4, 1.0), (3, 4, 1.0)]
)
def test_the_sign_test_is_the_binomial_tail_on_both_sides(wins: int, losses: int, p: float) -> None:
    assert sign_test_p(wins, losses) == sign_test_p(losses, wins) == p
