"""Performance profiles of many solvers on many problems (Dolan and Moré, 2002)."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

MINIMUM_PROBLEMS = 4  # with fewer, the profile has too few levels to be useful


@dataclass(frozen=True)
class Profile:
    """For each solver, the share of problems solved at a cost of at most tau times the best one.

    The shares are step functions, continuous from the right: ``shares[solver][i]`` holds from
    ``taus[i]`` to ``taus[i + 1]``, without the latter, and the last one to infinity. The share at
    tau = 1 is that of the problems on which the solver is the best; the last share is that of the
    problems that it solves.

    Attributes:
        solvers: in the given order.
        taus: [k], rising from 1: the ratios at which a share changes.
        shares: by solver [k], in [0, 1].
    """

    solvers: tuple[str, ...]
    taus: np.ndarray
    shares: dict[str, np.ndarray]


def performance_profile(costs: Mapping[str, Mapping[str, float]]) -> Profile:
    """Compute the performance profiles of Dolan and Moré.

    "Benchmarking optimization software with performance profiles", Mathematical Programming 91
    (2002). The ratio of a solver on a problem is its cost over the least cost of any solver there.
    A problem without a solution counts in the denominator of all solvers.

    The profile shows the best solver at each tau. It does not rank the others: without the best
    solver, two others can change places (Gould and Scott, "A note on performance profiles for
    benchmarking software", ACM Transactions on Mathematical Software 43, 2016).

    Args:
        costs: by solver and problem, above 0, such as the median steps to a target; inf if the
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
