"""The trajectory of the parameters on the contours of the function that they minimise."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from stepsize.nets import Quadratic, Rosenbrock
from stepsize.plots.callback import Plot
from stepsize.plots.style import BLUE, INK, VERMILION, mix

_MOST = 20_000


class Path:
    """Points by step, thinned out evenly: beyond ``most`` points, every other step is dropped.

    Args:
        most: the largest number of points.

    Attributes:
        stride: points are stored at the multiples of this number of steps.
    """

    def __init__(self, most: int = _MOST) -> None:
        self.most = most
        self.stride = 1
        self._points: dict[int, list[Tensor]] = {}
        self._count = 0

    def begin(self, step: int) -> bool:
        """Whether the points of this step are needed.

        Points that it has already are dropped: a step that was interrupted is repeated.
        """
        self._count -= len(self._points.pop(step, ()))
        return step % self.stride == 0

    def add(self, step: int, point: Tensor) -> None:
        """Store a point ``[..., 2]``, which must not change afterwards, on any device."""
        if step % self.stride:  # thinned out since this step began
            return
        self._points.setdefault(step, []).append(point)
        self._count += 1
        if self._count > self.most and len(self._points) > 1:
            self.stride *= 2
            self._points = {s: p for s, p in self._points.items() if s % self.stride == 0}
            self._count = sum(map(len, self._points.values()))

    def steps(self) -> Tensor:
        """The step of each point, int64 ``[n]``."""
        steps = [step for step, points in self._points.items() for _ in points]
        return torch.tensor(steps, dtype=torch.int64)

    def points(self) -> Tensor:
        """The points ``[n, ..., 2]`` on the CPU, in the order in which they were added."""
        if not self._points:
            return torch.zeros(0, 2)
        return torch.stack([point.cpu() for points in self._points.values() for point in points])

    def state_dict(self) -> dict[str, Any]:
        return {
            "stride": torch.tensor(self.stride),
            "steps": self.steps(),
            "points": self.points(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.stride = int(state_dict["stride"])
        self._points = {}
        steps = state_dict["steps"].tolist()
        for step, point in zip(steps, state_dict["points"].unbind(), strict=True):
            self._points.setdefault(step, []).append(point)
        self._count = len(steps)


if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ACROSS, _UP = 240, 160  # points of the grid
_REACH = 2.0  # a path widens the view by at most this many extents of start and minimum
_LEVELS = 14


class Trajectory(Plot):
    """The points at which f was evaluated, on its contours; start, minimum and end are marked.

    Most optimizers evaluate f once in a step, at the iterate. LBFGS and SAM evaluate it more often,
    and the points between two iterates show the way that they took.

    For a :class:`stepsize.modules.Minimizer`, whose network has the parameter ``x`` and computes f
    of many points as ``surface(points)``. A :class:`~stepsize.nets.Quadratic` of more than two
    dimensions is shown in the plane of the eigenvectors with the smallest and the largest
    eigenvalue: the flattest direction to the right, the steepest one upwards.

    The points are saved in the checkpoint, so that the path of a resumed run is complete.
    """

    name = "trajectory"

    def __init__(self, dirpath: str, title: str) -> None:
        super().__init__(dirpath, title)
        self.path = Path()
        self.plane: Tensor | None = None
        self._collects = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.plane = self.plane_of(pl_module)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._collects = self.path.begin(trainer.global_step)

    def on_before_backward(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, loss: Tensor
    ) -> None:
        if self._collects:
            point = self.point_of(pl_module)
            if point is not None:
                self.path.add(trainer.global_step, point)

    def state_dict(self) -> dict[str, Any]:
        return self.path.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.path.load_state_dict(state_dict)

    @staticmethod
    def plane_of(module: nn.Module) -> Tensor | None:
        """Orthonormal rows ``[2, dim]`` to project points on; None where they are in the plane."""
        net = getattr(module, "net", None)
        return _slow_and_steep(net) if isinstance(net, Quadratic) and net.dim > 2 else None

    def point_of(self, module: nn.Module) -> Tensor | None:
        """The present point in the plane, ``[2]``; None for a model that has none."""
        x = getattr(getattr(module, "net", None), "x", None)
        if x is None:
            return None
        x = x.detach()
        if self.plane is not None:
            return self.plane @ x
        return x.clone() if x.shape == (2,) else None

    def draw(self, figure: Figure, module: pl.LightningModule, data: Any) -> str:
        self.plane = self.plane_of(module)
        end = self.point_of(module)
        net: Any = getattr(module, "net", None)
        if end is None or not hasattr(net, "surface"):
            raise ValueError("a trajectory is drawn for a surface of two numbers or a Quadratic")
        points = torch.cat([self.path.points().double(), end[None].cpu().double()])
        finite = points.isfinite().all(1)
        # Points after the first one that is not finite have no meaning.
        known = int(finite.long().cumprod(0).sum())
        drawn = _without_repeats(points[:known])
        minimum = _minimum(net)

        axes = figure.add_subplot()
        if self.plane is None:
            axes.set(xlabel="$x_1$", ylabel="$x_2$")
        else:
            slow, steep = min(net.eigenvalues), max(net.eigenvalues)
            axes.set(
                xlabel=f"flattest direction (eigenvalue {slow:g})",
                ylabel=f"steepest direction (eigenvalue {steep:g})",
            )
        low, high = _view(drawn, minimum)
        self._contours(axes, net, low, high)
        _draw_path(axes, drawn, minimum, low, high, ended=bool(finite.all()))
        axes.set(xlim=(float(low[0]), float(high[0])), ylim=(float(low[1]), float(high[1])))
        if not len(drawn):
            return "not finite from the start"
        if not finite.all():
            return f"not finite after step {int(self.path.steps()[known - 1]):,}"
        value = net.surface(net.x).item()
        return f"f = {value:.3g}" if math.isfinite(value) else "f is not finite"

    def _contours(self, axes: Axes, net: Any, low: Tensor, high: Tensor) -> None:
        """Tint f from white where it is small to blue where it is large, on a logarithmic scale."""
        across, up = torch.linspace(low[0], high[0], _ACROSS), torch.linspace(low[1], high[1], _UP)
        grid = torch.stack(torch.meshgrid(across, up, indexing="xy"), -1).to(net.x)
        points = grid if self.plane is None else grid @ self.plane
        values = net.surface(points).cpu().double()
        if not (values.isfinite().all() and values.min() < values.max()):
            return
        height = (values - values.min()).clamp(min=1e-300).log10()
        top = height.max().item()
        levels = torch.linspace(top - 4, top, _LEVELS).tolist()
        tints = [mix(BLUE, 0.4 * (index / _LEVELS) ** 1.5) for index in range(_LEVELS)]
        drawn = across.numpy(), up.numpy(), height.numpy()
        axes.contourf(*drawn, levels=levels, colors=tints, extend="min", zorder=0)
        axes.contour(
            *drawn, levels=levels, colors=[mix(BLUE, 0.45)], linewidths=0.4, linestyles="solid",
            zorder=1,
        )  # fmt: skip


def _without_repeats(points: Tensor) -> Tensor:
    """Points ``[n, 2]`` without those that equal the one before: an optimizer that has stopped."""
    moved = (points.diff(dim=0) != 0).any(1)
    return torch.cat([points[:1], points[1:][moved]])


def _slow_and_steep(net: Quadratic) -> Tensor:
    """Eigenvectors of the smallest and the largest eigenvalue, orthonormal rows ``[2, dim]``."""
    eigenvalues = torch.tensor(net.eigenvalues)
    slow, steep = int(eigenvalues.argmin()), int(eigenvalues.argmax())
    if slow == steep:  # all are equal: any two will do
        steep = slow + 1
    rows = net.root[[slow, steep]]
    return rows / rows.norm(dim=1, keepdim=True)


def _minimum(net: nn.Module) -> Tensor | None:
    if isinstance(net, Rosenbrock):
        return torch.tensor([net.a, net.a**2], dtype=torch.float64)
    return torch.zeros(2, dtype=torch.float64) if isinstance(net, Quadratic) else None


def _view(points: Tensor, minimum: Tensor | None) -> tuple[Tensor, Tensor]:
    """Corners of a view of start, minimum and those points of the path that are not far away."""
    anchors = points[[0, -1]] if minimum is None else torch.stack([*points[:1], minimum])
    low, high = anchors.min(0).values, anchors.max(0).values
    longest = (high - low).max()
    if longest == 0:  # the start is the minimum
        longest = torch.ones_like(longest)
    extent = (high - low).maximum(0.25 * longest)
    near = (points > low - _REACH * extent) & (points < high + _REACH * extent)
    shown = torch.cat([anchors, points[near.all(1)]])
    low, high = shown.min(0).values, shown.max(0).values
    half = 0.62 * (high - low).max().maximum(0.5 * longest)  # the same in both directions
    centre = (low + high) / 2
    return centre - half, centre + half


def _draw_path(
    axes: Axes, points: Tensor, minimum: Tensor | None, low: Tensor, high: Tensor, ended: bool
) -> None:
    extent = high - low
    # Far outside the view a point only gives the line its direction; larger values overflow.
    path = points.maximum(low - 100 * extent).minimum(high + 100 * extent)
    outside = ((points < low) | (points > high)).any(1)
    left = int((~outside).nonzero().max()) + 2 if len(path) else 0  # later points are outside
    size = 4.0 if len(path) <= 100 else 1.8
    axes.plot(
        *path[:left].T.numpy(),
        color=VERMILION,
        linewidth=0.9,
        marker="o",
        markersize=size,
        zorder=3,
    )
    if outside.any():
        axes.text(
            0.98, 0.04, "the path leaves this view", transform=axes.transAxes, ha="right",
            color=VERMILION, zorder=5,
        )  # fmt: skip
    if minimum is not None:
        _mark(axes, minimum, "minimum", "*", INK, INK)
    if len(path):
        _mark(axes, path[0], "start", "o", INK, "white")
    near = minimum is not None and ((path[-1:] - minimum) / extent).abs().max() < 0.04
    if ended and not near and not outside[-1]:
        _mark(axes, path[-1], "end", "o", INK, VERMILION)


def _mark(axes: Axes, point: Tensor, text: str, marker: str, edge: str, face: str) -> None:
    from matplotlib.patheffects import withStroke

    size = 13 if marker == "*" else 7
    x, y = point.tolist()
    axes.plot(x, y, marker, markersize=size, mec=edge, mfc=face, mew=1.2, zorder=4)
    axes.annotate(
        text, (x, y), (0, 9), textcoords="offset points", ha="center",
        color=INK, zorder=5, path_effects=[withStroke(linewidth=3, foreground="white")],
    )  # fmt: skip
