"""Performance profiles against the paper's definition, by hand and by counting."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepsize.stats.profiles import MINIMUM_PROBLEMS, Profile, performance_profile

COSTS = {
    "sgd": {"line": 100.0, "curve": 30.0, "blobs": 40.0, "digits": math.inf},
    "adam": {"line": 50.0, "curve": 60.0, "blobs": 40.0, "digits": 200.0},
    "lbfgs": {"line": 10.0, "curve": math.inf, "blobs": 50.0, "digits": math.inf},
}


def share(profile: Profile, solver: str, tau: float) -> float:
    """The step function at ``tau``, continuous from the right."""
    return float(profile.shares[solver][np.searchsorted(profile.taus, tau, side="right") - 1])


def test_the_profile_is_the_one_worked_out_by_hand() -> None:
    # Ratios to the best:  line  curve  blobs  digits
    #   sgd                 10     1      1     fails
    #   adam                 5     2      1       1
    #   lbfgs                1   fails   1.25   fails
    profile = performance_profile(COSTS)
    assert profile.solvers == ("sgd", "adam", "lbfgs")
    assert profile.taus.tolist() == [1.0, 1.25, 2.0, 5.0, 10.0]
    assert profile.shares["sgd"].tolist() == [0.5, 0.5, 0.5, 0.5, 0.75]
    assert profile.shares["adam"].tolist() == [0.5, 0.5, 0.75, 1.0, 1.0]
    assert profile.shares["lbfgs"].tolist() == [0.25, 0.5, 0.5, 0.5, 0.5]


def test_a_problem_that_no_solver_solved_counts_for_all_solvers() -> None:
    costs = {solver: {**row, "rosenbrock": math.inf} for solver, row in COSTS.items()}
    profile = performance_profile(costs)
    assert {solver: shares[-1] for solver, shares in profile.shares.items()} == {
        "sgd": 3 / 5,
        "adam": 4 / 5,
        "lbfgs": 2 / 5,
    }


def test_if_no_solver_solves_anything_all_shares_are_zero() -> None:
    profile = performance_profile({s: dict.fromkeys("abcd", math.inf) for s in ("sgd", "adam")})
    assert profile.taus.tolist() == [1.0]
    assert all(shares.tolist() == [0.0] for shares in profile.shares.values())


costs = st.lists(
    st.lists(st.floats(1e-3, 1e6) | st.just(math.inf), min_size=3, max_size=3),
    min_size=MINIMUM_PROBLEMS,
    max_size=8,
)


@settings(max_examples=50, deadline=None)
@given(rows=costs, tau=st.floats(1.0, 1e10))
def test_every_share_is_the_count_of_the_definition(rows: list[list[float]], tau: float) -> None:
    table = {f"s{i}": {f"p{j}": row[i] for j, row in enumerate(rows)} for i in range(3)}
    profile = performance_profile(table)
    assert profile.taus[0] == 1
    for i in range(3):
        for at in [tau, *profile.taus, *np.nextafter(profile.taus[1:], 0)]:
            solved = sum(math.isfinite(row[i]) and row[i] / min(row) <= at for row in rows)
            assert share(profile, f"s{i}", at) == solved / len(rows)


def test_a_solution_at_any_finite_cost_is_a_solution() -> None:
    table = {"a": dict.fromkeys("wxyz", 1e-300), "b": dict.fromkeys("wxyz", 1e300)}
    assert performance_profile(table).shares["b"].tolist() == [0.0, 1.0]


def test_fewer_than_four_problems_have_no_profile() -> None:
    three = {
        solver: {p: row[p] for p in ("line", "curve", "blobs")} for solver, row in COSTS.items()
    }
    with pytest.raises(ValueError, match=r"^3 problems, but .* at least 4$"):
        performance_profile(three)


def test_missing_cells_are_named() -> None:
    holes = {solver: dict(row) for solver, row in COSTS.items()}
    del holes["sgd"]["curve"], holes["lbfgs"]["digits"]
    with pytest.raises(ValueError, match=r"^no cost of sgd on curve, lbfgs on digits: "):
        performance_profile(holes)


@pytest.mark.parametrize("bad", [0.0, -1.0, -math.inf, math.nan])
def test_a_cost_that_is_not_positive_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match=rf"^adam on line costs {bad}: "):
        performance_profile({**COSTS, "adam": {**COSTS["adam"], "line": bad}})
