"""Performance profiles: many solvers on many problems in one plot."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

MINIMUM_PROBLEMS = 4  # below that, a profile has too few levels to say more than the table does


@dataclass(frozen=True)
class Profile:
    """For each solver, the share of problems solved at a cost of at most tau times the best one.

    The shares are step functions, continuous from the right: ``shares[solver][i]`` holds from
    ``taus[i]`` up to, not including, ``taus[i + 1]``, and the last one for ever (a plot of steps
    "post"). The value at tau = 1 is the share of problems on which the solver is the best or ties
    with it; the last one is the share that it solves at all.

    Attributes:
        solvers: as they were given.
        taus: [k], rising from 1: the ratios at which a share changes.
        shares: by solver [k], in [0, 1].
    """

    solvers: tuple[str, ...]
    taus: np.ndarray
    shares: dict[str, np.ndarray]


def performance_profile(costs: Mapping[str, Mapping[str, float]]) -> Profile:
    """The performance profiles of Dolan and More.

    "Benchmarking optimization software with performance profiles", Mathematical Programming 91
    (2002). The ratio of a solver on a problem is its cost over the least cost of any solver there.
    A problem that nobody solved counts in the denominator, for everybody.

    The profile tells which solver is best at each tau. It does not rank the others: take the best
    away, and two of them can change places (Gould and Scott, "A note on performance profiles for
    benchmarking software", ACM Transactions on Mathematical Software 43, 2016).

    Args:
        costs: by solver and problem, above 0, such as the median steps to a target; inf where the
            solver failed.

    Raises:
        ValueError: fewer than ``MINIMUM_PROBLEMS`` problems, a solver without a cost on a problem
            of the others, a cost that is NaN or not above 0.
    """
    solvers = tuple(costs)
    problems = list(dict.fromkeys(problem for row in costs.values() for problem in row))
    if len(problems) < MINIMUM_PROBLEMS:
        raise ValueError(
            f"{len(problems)} problems, but a performance profile needs at least {MINIMUM_PROBLEMS}"
        )
    missing = [f"{s} on {p}" for s in solvers for p in problems if p not in costs[s]]
    if missing:
        raise ValueError(f"no cost of {', '.join(missing)}: every solver needs one on each problem")
    for solver, row in costs.items():
        for problem, cost in row.items():
            if not cost > 0:
                raise ValueError(
                    f"{solver} on {problem} costs {cost}: a cost is above 0, and inf for a failure"
                )
    best = {problem: min(costs[solver][problem] for solver in solvers) for problem in problems}
    ratios = {
        solver: np.array([_ratio(costs[solver][problem], best[problem]) for problem in problems])
        for solver in solvers
    }
    every = np.concatenate([[1.0], *ratios.values()])
    taus = np.unique(every[np.isfinite(every)])
    shares = {
        solver: np.searchsorted(np.sort(row), taus, side="right") / len(problems)
        for solver, row in ratios.items()
    }
    return Profile(solvers, taus, shares)


def _ratio(cost: float, best: float) -> float:
    if math.isinf(cost):
        return math.inf
    return min(cost / best, sys.float_info.max)  # a finite cost is a solution, however large
