"""Performance profiles: the share of tasks solved within a multiple of the fastest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from stepsize.plots.style import GREY
from stepsize.report.figures.panel import Panel, large_panel
from stepsize.report.figures.scales import label_ends, set_x, set_y, title
from stepsize.report.line_styles import Look
from stepsize.stats.profiles import Profile

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def profile_panel(
    profile: Profile, solvers: Sequence[str], looks: Mapping[str, Look], wide: bool
) -> Panel:
    """The profile of some solvers, one line each."""

    def draw(axes: Axes) -> None:
        last = max(float(profile.taus[-1]) * 1.25, 2.0)
        set_x(axes, 1.0, last, log=True)
        set_y(axes, 0.0, 1.0, log=False, maximum=4)
        axes.set_ylim(-0.02, 1.02)
        ends: list[tuple[float, float, str, Look]] = []
        for solver in solvers:
            look, shares = looks[solver], profile.shares[solver]
            axes.step(
                np.append(profile.taus, last), np.append(shares, shares[-1]), where="post",
                color=look.colour, linestyle=look.linestyle, linewidth=1.8, clip_on=False,
            )  # fmt: skip
            ends.append((last, float(shares[-1]) - 1e-6 * len(ends), solver, look))
        title(axes, "share of tasks solved", "", 12)
        axes.set_xlabel("steps to the target, as a multiple of the fastest", color=GREY)
        label_ends(axes, ends, room=22)

    height = max(380 if wide else 320, int(13.5 * len(solvers)) + 90)
    return large_panel(draw, wide, solvers, height)
