"""The training points and the fitted line or curve."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from stepsize.plots.callback import Plot
from stepsize.plots.evaluate import predict, training_set
from stepsize.plots.style import BLUE, FAINT, GREY, note

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FEW = 50  # up to so many points, residuals are drawn


class Fit(Plot):
    """The training points and the model's output over their range, for one input and one output.

    The view is that of the data. The part of a fit that is far away from them is not visible, and
    the plot says so if nothing of it is.
    """

    name = "fit"

    def draw(self, figure: Figure, module: pl.LightningModule, data: Any) -> str:
        inputs = training_set(data)
        if len(inputs) != 2 or any(tensor[0].numel() != 1 for tensor in inputs):
            raise ValueError(
                "a fit is drawn for one input and one output; use stepsize.plots.Predictions"
            )
        x, y = (tensor.reshape(-1, 1).double() for tensor in inputs)
        left, right = _widened(x, 0.04)
        grid = torch.linspace(left, right, 600, dtype=torch.float64)
        curve = predict(module, grid.reshape(-1, *inputs[0].shape[1:])).reshape(-1)
        fitted = predict(module, inputs[0]).reshape(-1, 1)
        error = (fitted - y).square().mean().item()

        axes = figure.add_subplot(xlabel="x", ylabel="y")
        near = curve[(curve - y.mean()).abs() < 2 * (y.max() - y.min())]
        bottom, top = _widened(torch.cat([y.reshape(-1), near]), 0.06)
        seen = curve.isfinite() & (curve > bottom) & (curve < top)
        # Far outside the view a point only gives the line its direction; larger values overflow.
        curve = curve.clamp(bottom - 100 * (top - bottom), top + 100 * (top - bottom))

        if len(x) <= _FEW and seen.any():
            ends = fitted.clamp(bottom, top)
            axes.vlines(*torch.cat([x, y, ends], 1).T.numpy(), color=FAINT, linewidth=1, zorder=1)
        size = min(36.0, max(7.0, 3000 / len(x)))
        axes.scatter(
            x.numpy(), y.numpy(), s=size, color=GREY, alpha=0.9 if len(x) <= _FEW else 0.45,
            linewidths=0, zorder=2, label=f"{len(x):,} training points",
        )  # fmt: skip
        if seen.any():
            axes.plot(grid.numpy(), curve.numpy(), color=BLUE, linewidth=2.5, label="fit", zorder=3)
        else:
            note(
                axes, "the fit lies outside this view" if math.isfinite(error) else "no finite fit"
            )
        axes.set(xlim=(left, right), ylim=(bottom, top))
        axes.legend(frameon=False, labelcolor=[GREY, BLUE], handlelength=1.2, fontsize=11)
        return (
            f"mean squared error {error:.3g}" if math.isfinite(error) else "the fit is not finite"
        )


def _widened(values: Tensor, share: float) -> tuple[float, float]:
    """The range of the values, widened by a share of it on both sides."""
    low, high = values.min().item(), values.max().item()
    pad = share * (high - low) or 0.5
    return low - pad, high + pad
