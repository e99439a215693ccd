"""The functions and numbers that a schedule's YAML can call."""

from __future__ import annotations

import math
import pickle

import pytest

from stepsize.schedules.functions import (
    ConstantRatio,
    InverseSqrt,
    InverseTime,
    per_step,
    scaled,
)


def test_inverse_sqrt_rises_in_a_straight_line_to_one() -> None:
    function = InverseSqrt(warmup=4)
    assert [function(step) for step in range(4)] == [0.25, 0.5, 0.75, 1.0]


def test_inverse_sqrt_halves_when_four_times_as_many_steps_are_done() -> None:
    function = InverseSqrt(warmup=4)
    assert function(15) == pytest.approx(0.5)
    assert function(63) == pytest.approx(0.25)


def test_inverse_sqrt_is_the_schedule_of_the_transformer_over_its_peak() -> None:
    def transformer(count: int) -> float:  # equation 3, for a width of 512 and 4000 steps
        return 512**-0.5 * min(count**-0.5, count * 4000**-1.5)

    function, peak = InverseSqrt(warmup=4000), transformer(4000)
    for count in (1, 100, 4000, 5000, 100_000):
        assert function(count - 1) == pytest.approx(transformer(count) / peak)


def test_inverse_time_is_a_half_and_a_third_after_one_and_two_half_lives() -> None:
    function = InverseTime(half_life=10)
    assert [function(0), function(10), function(20)] == pytest.approx([1, 1 / 2, 1 / 3])


def test_a_constant_ratio_makes_its_total_over_its_steps() -> None:
    function = ConstantRatio(total=0.01, steps=7)
    assert math.prod(function(step) for step in range(1, 8)) == pytest.approx(0.01)


def test_the_factor_per_step_makes_the_total() -> None:
    assert per_step(total=0.125, steps=3) == pytest.approx(0.5)


def test_a_scaled_learning_rate_is_a_share_of_the_other() -> None:
    assert scaled(value=0.2, factor=0.5) == pytest.approx(0.1)


@pytest.mark.parametrize(
    "function",
    [InverseSqrt(4), InverseTime(10), ConstantRatio(0.1, 7)],
    ids=lambda f: type(f).__name__,
)
def test_a_function_pickles_and_holds_plain_numbers_only(function: object) -> None:
    copy = pickle.loads(pickle.dumps(function))
    assert vars(copy) == vars(function)
    assert all(type(value) in (int, float) for value in vars(function).values())


@pytest.mark.parametrize("value", [0, -1, float("nan"), "5%"])
def test_a_duration_that_is_no_number_above_zero_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=f"warmup={value}: give a number above 0"):
        InverseSqrt(value)  # type: ignore[arg-type]
