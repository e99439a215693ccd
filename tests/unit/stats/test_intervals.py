"""Intervals against known coverage and published data, quantiles against their definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stepsize.optima.solve import least_squares
from stepsize.stats.intervals import (
    Interval,
    log_mean_interval,
    mean_interval,
    median_quartiles,
    median_steps,
    rounding_floor,
)

# Student's own example (Biometrika 6, 1908): additional hours of sleep of ten patients.
SLEEP = [1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4]

finite = st.floats(-1e300, 1e300)
ordered_values = st.lists(finite | st.just(math.inf), min_size=1, max_size=12)

# Monte-Carlo error of a coverage of 95% in 10,000 trials: 0.22 points.
TRIALS = 10_000


def covered(interval: Interval, truth: float) -> bool:
    return interval.low <= truth <= interval.high


@pytest.mark.parametrize("n", [3, 5, 10])
def test_95_of_100_intervals_hold_the_true_mean_of_gaussian_values(n: int) -> None:
    # A percentile bootstrap would be at 73, 84 and 89%.
    samples = np.random.default_rng(n).normal(-3.0, 2.0, size=(TRIALS, n))
    share = np.mean([covered(mean_interval(sample), -3.0) for sample in samples])
    assert share == pytest.approx(0.95, abs=0.01)


@pytest.mark.parametrize("n", [3, 5, 10])
def test_95_of_100_intervals_hold_the_true_geometric_mean_of_lognormal_values(n: int) -> None:
    samples = 1e-6 * np.random.default_rng(n + 100).lognormal(0.0, 1.5, size=(TRIALS, n))
    share = np.mean([covered(log_mean_interval(sample), 1e-6) for sample in samples])
    assert share == pytest.approx(0.95, abs=0.01)


def test_intervals_hold_the_confidence_that_is_asked_for() -> None:
    samples = np.random.default_rng(8).normal(size=(TRIALS, 4))
    share = np.mean([covered(mean_interval(sample, confidence=0.8), 0.0) for sample in samples])
    assert share == pytest.approx(0.8, abs=0.015)


def test_the_interval_of_students_sleep_data_is_the_published_one() -> None:
    # R's documentation, t.test on the data set `sleep`, paired.
    interval = mean_interval(SLEEP)
    assert (interval.center, interval.n) == (pytest.approx(1.58), 10)
    assert (interval.low, interval.high) == pytest.approx((0.7001142, 2.4598858), abs=1e-7)


def test_one_value_has_an_infinite_interval() -> None:
    assert mean_interval([2.0]) == Interval(2.0, -math.inf, math.inf, 1)
    assert log_mean_interval([1.0]) == Interval(1.0, 0.0, math.inf, 1)


def test_equal_values_have_an_interval_of_no_width() -> None:
    assert mean_interval([0.1] * 7) == Interval(0.1, 0.1, 0.1, 7)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-1e150, 1e150), min_size=2, max_size=10), st.floats(-100, 100))
def test_the_interval_moves_with_the_values(values: list[float], shift: float) -> None:
    scale = max(map(abs, [*values, shift, 1e-300]))
    one, other = mean_interval(values), mean_interval([value + shift for value in values])
    moved = (one.center + shift, one.low + shift, one.high + shift)
    found = (other.center, other.low, other.high)
    assert found == pytest.approx(moved, rel=1e-9, abs=1e-9 * scale)
    assert other.low <= other.center <= other.high


def test_large_deviations_do_not_overflow() -> None:
    interval = mean_interval([1e200, 3e200])
    assert (interval.center, interval.high) == pytest.approx((2e200, 2e200 + 12.7062047e200))
    assert log_mean_interval([1e-300, 1e300]) == Interval(pytest.approx(1.0), 0.0, math.inf, 2)


def test_the_log_interval_scales_with_its_values() -> None:
    one, other = log_mean_interval([1.0, 2.0, 8.0]), log_mean_interval([1e-9, 2e-9, 8e-9])
    assert (other.center, other.low, other.high) == pytest.approx(
        (one.center * 1e-9, one.low * 1e-9, one.high * 1e-9)
    )
    assert one.center == pytest.approx(16 ** (1 / 3))


@pytest.mark.parametrize("function", [mean_interval, log_mean_interval, median_quartiles])
def test_no_values_are_refused(function) -> None:
    with pytest.raises(ValueError, match=r"^no values"):
        function([])


@pytest.mark.parametrize("bad", [math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("function", [mean_interval, log_mean_interval])
def test_a_diverged_run_is_never_averaged_in(function, bad: float) -> None:
    with pytest.raises(ValueError, match=rf"^the value {bad} is not finite"):
        function([1.0, bad, 2.0])


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95.0, math.nan])
@pytest.mark.parametrize("values", [[1.0], [1.0, 2.0]], ids=len)
def test_a_confidence_outside_0_and_1_is_refused(values: list[float], confidence: float) -> None:
    with pytest.raises(ValueError, match=rf"^confidence={confidence}, "):
        mean_interval(values, confidence)


@pytest.mark.parametrize("value", [0.0, -1e-17])
def test_a_gap_of_zero_or_less_has_no_logarithm_unless_a_floor_is_named(value: float) -> None:
    values = [1e-3, 1e-4, value]
    with pytest.raises(ValueError, match=rf"^the value {value} has no logarithm"):
        log_mean_interval(values)
    floor = rounding_floor(0.5)
    assert log_mean_interval(values, floor=floor) == log_mean_interval(
        [1e-3, 1e-4, floor], floor=floor
    )


def test_no_interval_of_floored_values_reaches_below_the_floor() -> None:
    interval = log_mean_interval([1e-2, 1e-9, 0.0], floor=1e-12)
    assert interval.low == 1e-12
    assert interval.center == pytest.approx(10 ** (-23 / 3))


@pytest.mark.parametrize("floor", [-1.0, math.inf, math.nan])
def test_a_negative_or_infinite_floor_is_refused(floor: float) -> None:
    with pytest.raises(ValueError, match=rf"^floor={floor}, "):
        log_mean_interval([1.0], floor=floor)


@pytest.mark.parametrize("scale", [0.1, 1.0, 1e4])
def test_the_gap_of_the_exact_minimiser_is_below_the_rounding_floor(scale: float) -> None:
    generator = torch.Generator().manual_seed(0)
    x, noise = (torch.randn(442, k, dtype=torch.float64, generator=generator) for k in (10, 1))
    y = scale * (x.sum(1, keepdim=True) + noise)
    optimum = least_squares(x, y)
    gaps = []
    for ulps in range(-20, 21):  # the minimiser, as well as float64 can name it
        weight = optimum.weight * (1 + ulps * 2.0**-53)
        gaps.append((x @ weight.T + optimum.bias - y).square().mean().item() - optimum.value)
    floor = rounding_floor(optimum.value)
    assert max(map(abs, gaps)) < floor
    assert floor < 1e-15 * max(1.0, optimum.value)


@settings(max_examples=50, deadline=None)
@given(st.lists(finite, min_size=1, max_size=20))
def test_quartiles_of_finite_values_are_numpys(values: list[float]) -> None:
    scale = max(map(abs, values)) or 1.0
    expected = np.quantile(np.array(values) / scale, [0.25, 0.5, 0.75])
    assert np.array(median_quartiles(values)) / scale == pytest.approx(
        expected, rel=1e-9, abs=1e-12
    )


@settings(max_examples=50, deadline=None)
@given(ordered_values)
def test_quartiles_with_misses_are_in_order_and_never_nan(values: list[float]) -> None:
    lower, median, upper = median_quartiles(values)
    assert min(values) <= lower <= median <= upper <= max(values)


@settings(max_examples=50, deadline=None)
@given(ordered_values)
def test_a_miss_counts_as_a_value_larger_than_all_others(values: list[float]) -> None:
    # A stand-in that is large enough leaves finite quartiles as they are, and shows the others.
    stand_in = 1e305
    expected = [
        math.inf if value > 1e303 else value
        for value in median_quartiles([min(value, stand_in) for value in values])
    ]
    assert list(median_quartiles(values)) == expected


def test_runs_that_diverged_are_worst_on_both_scales() -> None:
    worst_is_large = [0.1, 0.2, 0.3, 0.4, math.inf]
    assert median_quartiles(worst_is_large) == (0.2, 0.3, 0.4)
    assert median_quartiles([1.0, math.inf]) == (math.inf, math.inf, math.inf)
    assert median_quartiles([-math.inf, 0.8, 0.9, 1.0]) == (-math.inf, pytest.approx(0.85), 0.925)


@pytest.mark.parametrize("values", [[math.nan, 1.0], [math.inf, -math.inf]], ids=str)
def test_values_without_an_order_are_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match=r"NaN|both inf and -inf"):
        median_quartiles(values)


@pytest.mark.parametrize(
    ("steps", "median"),
    [
        ([10, 30, 20], 20),
        ([10, 30, 20, 40], 25),
        ([10, 20, math.inf], 20),
        ([10, 20, 40, math.inf], 30),
        ([10, 20, math.inf, math.inf], math.inf),
        ([10, math.inf], math.inf),
        ([math.inf], math.inf),
    ],
    ids=str,
)
def test_the_median_steps_are_infinite_where_half_of_the_runs_missed(
    steps: list[float], median: float
) -> None:
    assert median_steps(steps) == median


@pytest.mark.parametrize("bad", [math.nan, -1.0, -math.inf])
def test_a_wrong_number_of_steps_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match=rf"^steps={bad}"):
        median_steps([10, bad])
