"""Performance profiles of Dolan and More: many solvers on many problems in one plot."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

MINIMUM_PROBLEMS = 4  # with fewer, the table shows as much


@dataclass(frozen=True)
class Profile:
    """The share of problems that each solver solves at a cost of at most tau times the best one.

    The shares are right-continuous step functions: ``shares[solver][i]`` is valid from ``taus[i]``
    up to, not including, ``taus[i + 1]``, and the last share for all larger tau (``where="post"``
    of a step plot). The share at tau = 1 is that of problems on which the solver has the lowest
    cost, ties included; the last share is that of all problems that it solves.

    Attributes:
        solvers: in the given order.
        taus: [k], increasing from 1: the cost ratios at which a share changes.
        shares: by solver [k], in [0, 1].
    """

    solvers: tuple[str, ...]
    taus: np.ndarray
    shares: dict[str, np.ndarray]


def performance_profile(costs: Mapping[str, Mapping[str, float]]) -> Profile:
    """The performance profiles of Dolan and More.

    "Benchmarking optimization software with performance profiles", Mathematical Programming 91
    (2002). The ratio of a solver on a problem is its cost over the lowest cost of all solvers on
    it. A problem that no solver solves counts in the denominator of every share.

    The profile shows which solver is best at each tau. It does not rank the others: without the
    best one, two of them can swap places (Gould and Scott, "A note on performance profiles for
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
                    f"{solver} on {problem} costs {cost}, but a cost is above 0, inf for a failure"
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
    # A finite cost is a solution, even if its ratio overflows.
    return min(cost / best, sys.float_info.max)
