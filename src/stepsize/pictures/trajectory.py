"""The way of the parameters over the function that they minimise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from stepsize.callbacks.picture import Picture
from stepsize.nets import Quadratic, Rosenbrock
from stepsize.pictures.path import Path
from stepsize.pictures.style import BLUE, GREY, INK, VERMILION, mix

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ACROSS, _UP = 240, 160  # points of the grid
_REACH = 2.0  # how far, in extents of start and minimum, a wild path may widen the view
_LEVELS = 14


class Trajectory(Picture):
    """All iterates on the contours of f, with the start, the minimum and the end marked.

    For a :class:`stepsize.modules.Minimizer`, whose network has the parameter ``x`` and gives f of
    many points as ``surface(points)``. A :class:`~stepsize.nets.Quadratic` of more than two
    dimensions is shown in the plane of the eigenvectors with the smallest and the largest
    eigenvalue: the slow direction to the right, the steep one upwards.

    The iterates travel in the checkpoint, so that a resumed run's path is whole.
    """

    name = "trajectory"

    def __init__(self, dirpath: str, title: str) -> None:
        super().__init__(dirpath, title)
        self.path = Path()
        self._plane: Tensor | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        net = getattr(pl_module, "net", None)
        if isinstance(net, Quadratic) and net.dim > 2:
            self._plane = _slow_and_steep(net)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        step = trainer.global_step
        if self.path.wants(step):
            point = self._point(pl_module)
            if point is not None:
                self.path.add(step, point)

    def state_dict(self) -> dict[str, Any]:
        return self.path.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.path.load_state_dict(state_dict)

    def _point(self, module: pl.LightningModule) -> Tensor | None:
        x = getattr(getattr(module, "net", None), "x", None)
        if x is None:
            return None
        x = x.detach()
        if self._plane is not None:
            return self._plane @ x
        return x.clone() if x.shape == (2,) else None
