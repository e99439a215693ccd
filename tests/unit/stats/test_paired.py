"""Paired comparisons: what they claim, how often they are wrong, and what they do not claim."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepsize.stats.intervals import mean_interval
from stepsize.stats.paired import Paired, paired

# Darwin's maize (Fisher 1935): heights in eighths of an inch over the self-fertilised plants'.
DARWIN = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]

TRIALS = 2_000


def by_seed(*values: float | None) -> dict[int, float | None]:
    return dict(enumerate(values))


def times(factor: float, values: dict[int, float]) -> dict[int, float]:
    return {seed: factor * value for seed, value in values.items()}


BASELINE = by_seed(0.11, 0.23, 0.17, 0.31, 0.29, 0.13, 0.19, 0.37)
HALF = by_seed(0.05, 0.12, 0.08, 0.16, 0.15, 0.06, 0.10, 0.18)


def test_positive_values_are_compared_by_their_ratio() -> None:
    found = paired(HALF, BASELINE)
    logs = [math.log(HALF[seed] / BASELINE[seed]) for seed in BASELINE]
    expected = mean_interval(logs).exp()
    assert (found.ratio_or_difference, found.low, found.high) == pytest.approx(
        (expected.center, expected.low, expected.high)
    )
    assert (found.scale, found.verdict, found.p) == ("ratio", "better", 2 / 2**8)
    assert (found.n, found.wins, found.losses, found.ties) == (8, 8, 0, 0)
    assert (found.lost_to_divergence, found.note) == (0, "")


def test_values_that_are_not_all_positive_are_compared_by_their_difference() -> None:
    ours = {seed: value - 0.5 for seed, value in HALF.items()}
    baseline = {seed: value - 0.5 for seed, value in BASELINE.items()}
    found = paired(ours, baseline)
    expected = mean_interval([HALF[seed] - BASELINE[seed] for seed in BASELINE])
    assert (found.scale, found.verdict) == ("difference", "better")
    assert (found.ratio_or_difference, found.low, found.high) == pytest.approx(
        (expected.center, expected.low, expected.high)
    )


@pytest.mark.parametrize("shift", [0.0, -0.5], ids=["ratio", "difference"])
@pytest.mark.parametrize(("mode", "verdict"), [("min", "better"), ("max", "worse")])
def test_the_mode_says_which_side_is_better(mode, verdict: str, shift: float) -> None:
    ours = {seed: value + shift for seed, value in HALF.items()}
    baseline = {seed: value + shift for seed, value in BASELINE.items()}
    there, back = paired(ours, baseline, mode=mode), paired(baseline, ours, mode=mode)
    assert {there.verdict, back.verdict} == {"better", "worse"}
    assert there.verdict == verdict
    assert (there.wins, there.losses) == ((8, 0) if verdict == "better" else (0, 8))
    assert (back.wins, back.losses) == (there.losses, there.wins)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_fewer_than_6_seeds_are_not_testable_at_5_percent(n: int) -> None:
    ours, baseline = by_seed(*[0.01] * n), by_seed(*[1.0 + 0.1 * seed for seed in range(n)])
    found = paired(ours, baseline)
    assert found.verdict == f"not testable at 5% with {n} seed{'s' if n > 1 else ''}"
    assert (found.p, found.note) == (2 / 2**n, "")
    diverged = paired(ours, {**baseline, 0: None})
    assert diverged.verdict == found.verdict


def test_a_stricter_level_needs_more_seeds() -> None:
    assert paired(HALF, BASELINE, confidence=0.99).verdict == "better"
    seven = {seed: HALF[seed] for seed in range(7)}
    found = paired(seven, BASELINE, confidence=0.99)
    assert found.verdict == "not testable at 1% with 7 seeds"


def test_no_common_seed_is_no_comparison() -> None:
    found = paired({0: 1.0}, {1: 1.0})
    assert (found.n, found.ratio_or_difference, found.low, found.high, found.p) == (0, *[None] * 4)
    assert found.verdict == "not testable at 5% with 0 seeds"
    assert found.note == "skipped seeds of one side only: 2"


def test_an_interval_that_holds_1_is_not_distinguishable() -> None:
    ours = by_seed(0.12, 0.20, 0.18, 0.30, 0.31, 0.12, 0.20, 0.35)
    found = paired(ours, BASELINE)
    assert found.low < 1 < found.high
    assert (found.verdict, found.note) == ("not significant", "")


def test_if_interval_and_sign_flips_disagree_the_difference_is_not_significant() -> None:
    # Fisher's own example: t says 0.0497, the sign flips 0.0527.
    found = paired(by_seed(*DARWIN), by_seed(*[0.0] * 15), mode="max")
    assert (found.low, found.high) == pytest.approx((0.0304, 41.836), abs=1e-3)
    assert found.verdict == "not significant"
    assert found.note == "the interval shows a difference, the sign-flip p=0.053 does not"


def test_sign_flips_alone_are_not_significant() -> None:
    # One seed that is far off widens the interval, not the order of the sums.
    found = paired(by_seed(*[1.0] * 5, 60.0), by_seed(*[0.0] * 6), mode="max")
    assert found.low < 0 < found.high
    assert found.verdict == "not significant"
    assert found.note == "the sign-flip p=0.031 shows a difference, the interval does not"


def test_identical_runs_are_called_identical() -> None:
    found = paired(BASELINE, BASELINE)
    assert (found.verdict, found.p, found.ties) == ("identical", 1.0, 8)
    assert (found.ratio_or_difference, found.low, found.high) == (1.0, 1.0, 1.0)


def test_seeds_without_effect_have_a_note() -> None:
    found = paired(by_seed(*[0.1] * 8), by_seed(*[0.3] * 8))
    assert found.note == (
        "all 8 seeds give equal values: if the seed has no effect, they are one run"
    )
    assert found.low == found.high == pytest.approx(1 / 3)
    assert paired(by_seed(*[0.1] * 8), by_seed(*[0.1] * 8)).note == ""


@pytest.mark.parametrize("bad", [None, math.inf, math.nan])
def test_a_diverged_run_loses_and_leaves_no_interval(bad: float | None) -> None:
    found = paired({**HALF, 3: bad}, BASELINE)
    assert (found.n, found.wins, found.losses, found.lost_to_divergence) == (8, 7, 1, 1)
    assert (found.ratio_or_difference, found.low, found.high) == (None, None, None)
    # The diverged run counts as the largest logarithm: 9 flips and their mirrors reach the sum.
    assert found.p == pytest.approx(18 / 256)
    assert found.verdict == "not significant"
    assert found.note == (
        "diverged: 1 of ours, 0 of the baseline, so there is no interval, and the test takes a "
        "diverged run as the largest difference"
    )


def test_a_diverged_run_of_the_baseline_leaves_a_clear_difference_clear() -> None:
    found = paired(HALF, {**BASELINE, 3: None})
    assert (found.p, found.verdict) == (2 / 2**8, "better")


def test_a_baseline_that_diverges_everywhere_is_beaten() -> None:
    nowhere = by_seed(*[None] * 8)
    assert paired(HALF, nowhere).verdict == "better"
    assert paired(nowhere, HALF).verdict == "worse"
    both = paired(nowhere, nowhere)
    assert (both.verdict, both.ties, both.p) == ("not significant", 8, 1.0)


def test_seeds_of_one_side_are_skipped_and_counted() -> None:
    found = paired({**HALF, 20: 1e9, 21: None}, BASELINE)
    assert (found.n, found.verdict) == (8, "better")
    assert found.note == "skipped seeds of one side only: 2"


def test_gaps_below_the_floor_count_as_the_floor() -> None:
    solved = by_seed(-1e-17, 0.0, 1e-17, 3e-16, 1e-16, 2e-17)
    also = by_seed(1e-17, 2e-17, 0.0, 1e-16, -1e-17, 3e-17)
    found = paired(solved, also, floor=1e-15)
    assert (found.scale, found.ties, found.ratio_or_difference) == ("ratio", 6, 1.0)
    assert found.verdict == "not significant"
    assert found.note == "12 values below the rounding error 1e-15 count as 1e-15"
    assert paired(solved, also).scale == "difference"
    far = by_seed(*[1e-3, 2e-3, 3e-3, 1e-3, 2e-3, 4e-3])
    assert paired(solved, far, floor=1e-15).ratio_or_difference == pytest.approx(5e-13, rel=0.2)


@pytest.mark.parametrize(
    "wrong", [{"mode": "least"}, {"confidence": 95.0}, {"floor": -1.0}], ids=str
)
def test_a_wrong_argument_is_named(wrong) -> None:
    ((name, value),) = wrong.items()
    with pytest.raises(ValueError, match=rf"^{name}={value}, but "):
        paired({**HALF, 3: None}, BASELINE, **wrong)


def claims(found: Paired) -> bool:
    return found.verdict in ("better", "worse")


def share_of_claims(seed: int, n: int, draw) -> float:
    generator = np.random.default_rng(seed)
    results = [
        paired(by_seed(*ours), by_seed(*baseline))
        for ours, baseline in (draw(generator, n) for _ in range(TRIALS))
    ]
    return sum(map(claims, results)) / TRIALS


def lognormal(generator: np.random.Generator, n: int):
    """Both sides share the seed's luck, as real runs do, and have luck of their own."""
    shared = generator.normal(0, 1, n)
    return np.exp(shared + generator.normal(0, 1, (2, n)))


def heavy_tails(generator: np.random.Generator, n: int):
    return np.exp(np.clip(generator.standard_cauchy((2, n)), -300, 300))


def with_divergence(generator: np.random.Generator, n: int):
    values = lognormal(generator, n)
    values[generator.random((2, n)) < 0.25] = math.inf
    return values


@pytest.mark.parametrize("draw", [lognormal, heavy_tails, with_divergence])
@pytest.mark.parametrize("n", [6, 10])
def test_equal_settings_differ_significantly_in_at_most_5_of_100(n: int, draw) -> None:
    share = share_of_claims(n, n, draw)
    # Three standard errors of 2,000 trials: 1.5 points.
    assert share <= 0.05 + 0.015
    assert share > 0  # so that the number is not that of a test which never claims


def test_a_clear_effect_is_found_with_10_seeds() -> None:
    def halved(generator: np.random.Generator, n: int):
        ours, baseline = np.exp(generator.normal(0, 1, n) + generator.normal(0, 0.3, (2, n)))
        return ours / 2, baseline

    # Effect log(2) against a deviation of 0.42 in the differences: the t test's power is above 99%.
    assert share_of_claims(1, 10, halved) > 0.98


def test_a_ratio_interval_holds_the_true_ratio_95_times_in_100() -> None:
    generator = np.random.default_rng(5)
    held = 0
    for _ in range(TRIALS):
        ours, baseline = lognormal(generator, 6)
        found = paired(by_seed(*(0.7 * ours)), by_seed(*baseline))
        held += found.low <= 0.7 <= found.high
    assert held / TRIALS == pytest.approx(0.95, abs=0.015)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(1e-9, 1e9), st.floats(1e-9, 1e9)), min_size=1, max_size=10))
def test_both_directions_agree(values: list[tuple[float, float]]) -> None:
    ours, baseline = by_seed(*[a for a, _ in values]), by_seed(*[b for _, b in values])
    there, back = paired(ours, baseline), paired(baseline, ours)
    assert there.p == back.p
    assert there.ratio_or_difference == pytest.approx(1 / back.ratio_or_difference)
    mirrored = {"better": "worse", "worse": "better"}
    assert there.verdict == mirrored.get(back.verdict, back.verdict)
    assert there.wins + there.losses + there.ties == there.n == len(values)
