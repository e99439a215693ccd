"""The figure of performance profiles: share of tasks solved against relative steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from stepsize.plots.style import GREY
from stepsize.report.figures.panel import Panel
from stepsize.report.figures.scales import label_ends, set_x, set_y, title
from stepsize.report.line_styles import Look
from stepsize.stats.profiles import Profile

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class ProfileFigure:
    """A performance profile with one line for each solver.

    Args:
        profile: of all solvers.
        solvers: those to draw.
        looks: line styles by solver.
    """

    def __init__(self, profile: Profile, solvers: Sequence[str], looks: Mapping[str, Look]) -> None:
        self._profile = profile
        self._solvers = solvers
        self._looks = looks

    def figure(self, wide: bool) -> Panel:
        """All solvers in one figure."""
        right = 34 + int(6.6 * max(map(len, self._solvers)))
        names = 13.5 * len(self._solvers)
        size = (880, max(380, int(names) + 90)) if wide else (390, max(320, int(names) + 90))
        return Panel(self._draw, *size, (46, right, 30, 40))

    def _draw(self, axes: Axes) -> None:
        last = max(float(self._profile.taus[-1]) * 1.25, 2.0)
        set_x(axes, 1.0, last, log=True)
        set_y(axes, 0.0, 1.0, log=False, most=4)
        axes.set_ylim(-0.02, 1.02)
        ends: list[tuple[float, float, str, Look]] = []
        for solver in self._solvers:
            look = self._looks[solver]
            shares = self._profile.shares[solver]
            axes.step(
                np.append(self._profile.taus, last), np.append(shares, shares[-1]), where="post",
                color=look.colour, linestyle=look.linestyle, linewidth=1.8, clip_on=False,
            )  # fmt: skip
            ends.append((last, float(shares[-1]) - 1e-6 * len(ends), solver, look))
        title(axes, "share of tasks solved", "", 12)
        axes.set_xlabel("steps to the target, as a multiple of the fastest", color=GREY)
        label_ends(axes, ends, room=22)
