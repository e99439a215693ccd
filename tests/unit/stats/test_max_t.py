"""The step-down max-T test: exact for one comparison, and right for many."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepsize.stats.max_t import clip_infinite, max_t

# Darwin's maize (Fisher 1935): heights in eighths of an inch over the self-fertilised plants'.
DARWIN = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]


def one(*differences: float) -> float:
    return float(max_t(np.array(differences, dtype=float)[:, None])[0])


def test_one_comparison_has_fishers_p() -> None:
    assert one(*DARWIN) == pytest.approx(1726 / 32768)  # Fisher 1935, section 21: 1,726 of 2^15


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(-9, 9), min_size=1, max_size=8))
def test_one_comparison_counts_the_sums_of_all_sign_flips(values: list[int]) -> None:
    sums = [
        abs(sum(sign * value for sign, value in zip(signs, values, strict=True)))
        for signs in itertools.product((1, -1), repeat=len(values))
    ]
    # In units that floating point cannot hold: sums that are equal must still count as equal.
    tenths = [0.1 * value for value in values]
    assert one(*tenths) == pytest.approx(np.mean(np.array(sums) >= abs(sum(values))))


@pytest.mark.parametrize(("n", "least"), [(1, 1.0), (2, 0.5), (3, 0.25), (5, 0.0625), (6, 0.03125)])
def test_the_least_possible_p_is_2_in_2_to_the_n(n: int, least: float) -> None:
    assert one(*[1.0 + 0.1 * seed for seed in range(n)]) == least


def test_many_seeds_are_sampled_close_to_the_exact_p_and_the_same_each_time() -> None:
    differences = np.random.default_rng(3).normal(0.7, 1.0, 20)
    sums = np.zeros(1)
    for value in differences:
        sums = np.concatenate([sums + value, sums - value])
    exact = float(np.mean(np.abs(sums) >= abs(differences.sum()) - 1e-9))
    assert 0.01 < exact < 0.2
    found = one(*differences)
    # Five standard errors of 32,768 draws.
    assert found == pytest.approx(exact, abs=5 * math.sqrt(exact * (1 - exact) / 2**15))
    assert found == one(*differences)


def test_a_sampled_p_is_never_zero() -> None:
    assert one(*[1.0] * 40) == 1 / 2**15


@pytest.mark.parametrize("comparisons", [1, 17, 100])
def test_six_seeds_can_decide_any_number_of_clear_comparisons(comparisons: int) -> None:
    noise = np.random.default_rng(1).uniform(0.9, 1.1, (6, comparisons))
    assert max_t(noise) == pytest.approx(2 / 2**6)


def test_a_comparison_without_effect_costs_one_with_effect_little() -> None:
    generator = np.random.default_rng(2)
    clear = generator.normal(3, 1, (10, 1))
    nothing = generator.normal(0, 1, (10, 9))
    p = max_t(np.hstack([clear, nothing]))
    assert p[0] <= 0.01
    assert p[1:].min() > 0.05


def test_a_comparison_has_the_seeds_that_it_has() -> None:
    first, second = np.array([1.0, 2, 3, 4, 5, 6, 7, 8]), np.array([1.0] * 6 + [np.nan] * 2)
    p = max_t(np.stack([first, second], axis=1))
    assert p[1] == pytest.approx(2 / 2**6)
    assert p[0] == pytest.approx(2 / 2**6)  # at two seeds alone, the second is as far off


def test_equal_runs_have_p_1() -> None:
    assert max_t(np.zeros((8, 2))).tolist() == [1.0, 1.0]
    assert one(0.0) == 1.0


def test_a_diverged_run_counts_as_the_largest_finite_difference() -> None:
    assert clip_infinite(np.array([1.0, -3.0, np.inf, -np.inf])).tolist() == [1, -3, 3, -3]
    assert clip_infinite(np.array([np.inf, np.inf, 0.0])).tolist() == [1, 1, 0]
    assert one(*[math.inf] * 6) == pytest.approx(2 / 2**6)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.integers(2, 6), st.integers(2, 7))
def test_more_comparisons_make_no_p_smaller(seed: int, comparisons: int, seeds: int) -> None:
    values = np.random.default_rng(seed).normal(0, 1, (seeds, comparisons))
    many, turned = max_t(values), max_t(values[:, ::-1])[::-1]
    assert many == pytest.approx(turned)
    assert all(many[i] >= one(*values[:, i]) - 1e-12 for i in range(comparisons))


@pytest.mark.parametrize(("seeds", "trials"), [(6, 1500), (10, 600)])
def test_the_best_of_ten_equal_settings_is_called_better_in_at_most_5_of_100(
    seeds: int, trials: int
) -> None:
    """The best is picked by the same data, and compared with each of the others."""
    generator = np.random.default_rng(3)
    pairs = list(itertools.combinations(range(10), 2))
    claims = 0
    for _ in range(trials):
        values = generator.normal(0, 1, (seeds, 10)) + generator.normal(0, 1, (seeds, 1))
        best = int(np.argmin(np.median(values, axis=0)))
        p = max_t(np.stack([values[:, i] - values[:, j] for i, j in pairs], axis=1))
        claims += any(p[k] <= 0.05 for k, pair in enumerate(pairs) if best in pair)
    # Three standard errors of the number of trials.
    assert claims / trials <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / trials)
    assert claims > 0  # so that the number is not that of a test which never claims
