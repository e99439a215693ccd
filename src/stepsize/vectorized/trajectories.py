"""The iterates of many runs, for the plot of each run's way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stepsize.config.instantiate import locate
from stepsize.modules import Module
from stepsize.plots.path import Path
from stepsize.plots.trajectory import Trajectory
from stepsize.schedules.checks import is_kind
from stepsize.vectorized.layout import Layout


class Ways:
    """What :class:`~stepsize.plots.trajectory.Trajectory` notes of one run.

    Args:
        module: the model, with weights and buffers of the type that is trained in.
        layout: of the parameters.
        runs: how many there are.
    """

    def __init__(self, module: Module, layout: Layout, runs: int) -> None:
        one = Trajectory("", "")
        one.plane = self._plane = Trajectory.plane_of(module)
        # A model without such a place has an empty way.
        known = one.point_of(module) is not None
        self._columns = slice(*layout.columns("net.x")) if known else None
        self._path = Path()
        self._empty = torch.full((runs, 2), torch.nan)

    @classmethod
    def where_drawn(
        cls, config: Mapping[str, Any], module: Module, layout: Layout, runs: int
    ) -> Ways | None:
        """That of runs whose configuration asks for the plot, else None."""
        return cls(module, layout, runs) if draws_ways(config) else None

    def note(self, step: int, weights: Tensor, runs: np.ndarray) -> None:
        """Keep the points before a step.

        Args:
            step: its number, from 0.
            weights: [rows, columns].
            runs: the run in each row.
        """
        if self._columns is not None and self._path.wants(step):
            x = weights[:, self._columns].detach().cpu()
            points = self._empty.to(x.dtype, copy=True)
            points[torch.from_numpy(runs)] = x if self._plane is None else x @ self._plane.to(x).T
            self._path.add(step, points)

    def of(self, run: int) -> Path:
        """The way of one run so far."""
        return self._path.map(lambda points: points[run].clone())


def draws_ways(config: Mapping[str, Any]) -> bool:
    """Whether a configuration asks for the plot of a run's way."""
    entries = (config["callbacks"] or {}).values() if config["plots"] else ()
    return any(entry and is_kind(locate(entry["_target_"]), Trajectory) for entry in entries)
