"""A classifier's decision boundary in the plane, with the training points."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from stepsize.plots.callback import Plot
from stepsize.plots.evaluate import correct, margins, predict, training_set
from stepsize.plots.style import CYCLE, INK, mix, note

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MARKERS = "os^DvPX"
_ACROSS, _UP = 240, 160  # points of the grid


class DecisionBoundary(Plot):
    """The training points, class probabilities as a tint, and the decision boundary as a line.

    For two inputs and up to seven classes. Misclassified points have a dark edge.
    """

    name = "decision_boundary"

    def draw(self, figure: Figure, module: pl.LightningModule, data: Any) -> str:
        inputs = training_set(data)
        if len(inputs) != 2 or inputs[0].shape[1:] != (2,):
            raise ValueError(
                "a decision boundary is drawn for two inputs; use stepsize.plots.Scores"
            )
        x, y = inputs
        scores = margins(predict(module, x))
        if scores.shape[1] > len(CYCLE):
            raise ValueError(f"up to {len(CYCLE)} classes are drawn; got {scores.shape[1]}")
        wrong = (scores.argmax(1) != y) | ~scores.isfinite().all(1)

        axes = figure.add_subplot(xlabel="$x_1$", ylabel="$x_2$")
        low, high = x.min(0).values, x.max(0).values
        pad = 0.08 * (high - low).clamp(min=1e-6)
        (left, bottom), (right, top) = (low - pad).tolist(), (high + pad).tolist()
        _regions(axes, module, scores.shape[1], (left, right, bottom, top))
        for index in range(scores.shape[1]):
            own, errors = x[y == index], x[(y == index) & wrong]
            marker: dict[str, Any] = {"s": 26, "marker": _MARKERS[index]}
            axes.scatter(
                *own.T.numpy(), color=CYCLE[index], edgecolors="white", linewidths=0.6, **marker,
                label=f"class {index}",
            )  # fmt: skip
            axes.scatter(
                *errors.T.numpy(), color=CYCLE[index], edgecolors=INK, linewidths=1.3, **marker
            )
        if wrong.any():
            axes.scatter([], [], s=26, color="white", edgecolors=INK, linewidths=1.3, label="wrong")
        axes.legend(framealpha=0.85, edgecolor="none", handletextpad=0.2, borderpad=0.3)
        axes.set(xlim=(left, right), ylim=(bottom, top))
        return correct(~wrong, scores)


def _regions(
    axes: Axes, module: pl.LightningModule, classes: int, extent: tuple[float, float, float, float]
) -> None:
    left, right, bottom, top = extent
    across, up = torch.linspace(left, right, _ACROSS), torch.linspace(bottom, top, _UP)
    grid = torch.stack(torch.meshgrid(across, up, indexing="xy"), -1).reshape(-1, 2)
    scores = margins(predict(module, grid))
    if not scores.isfinite().all():
        note(axes, "the model's scores are not finite")
        return
    tints = torch.tensor([mix(CYCLE[index], 0.28) for index in range(classes)]).double()
    colours = (scores.softmax(1) @ tints).reshape(_UP, _ACROSS, 3)
    axes.imshow(
        colours.numpy(), origin="lower", extent=extent, aspect="auto", interpolation="bilinear",
        zorder=0,
    )  # fmt: skip
    lead = _lead(scores).reshape(classes, _UP, _ACROSS)
    plane = across.numpy(), up.numpy()
    drawn = False
    # Two classes have the same boundary, which is drawn once.
    for surface in lead[: 1 if classes == 2 else classes]:
        if surface.min() < 0 < surface.max():
            axes.contour(*plane, surface.numpy(), levels=[0], colors=INK, linewidths=1.6)
            drawn = True
    if not drawn:
        note(axes, "the boundary lies outside this view")


def _lead(scores: Tensor) -> Tensor:
    """Each class's score minus the best of the others, scaled to at most 1: [classes, n]."""
    best, second = scores.topk(2, 1).values.T[:, :, None]
    lead = (scores - torch.where(scores == best, second, best)).T
    return lead / lead.abs().max().clamp(min=1e-300)
