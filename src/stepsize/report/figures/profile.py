"""Performance profiles: the share of tasks solved within a multiple of the fastest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from stepsize.report.figures.panel import Panel, large_panel, part
from stepsize.report.figures.scales import LineEnd, label_ends, name_axes, set_x, set_y
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
        ends: list[LineEnd] = []
        for solver in solvers:
            look, shares = looks[solver], profile.shares[solver]
            axes.step(
                np.append(profile.taus, last), np.append(shares, shares[-1]), where="post",
                color=look.colour, linestyle=look.linestyle, linewidth=1.8, clip_on=False,
                gid=part("curve", solver),
            )  # fmt: skip
            y = float(shares[-1]) - 1e-6 * len(ends)
            ends.append(LineEnd(last, y, solver, look, solver))
        name_axes(
            axes, "steps to the target, as a multiple of the fastest", "share of tasks solved"
        )
        label_ends(axes, ends, room=22)

    height = max(380 if wide else 320, int(13.5 * len(solvers)) + 90)
    return large_panel(draw, wide, solvers, height)
