"""Predicted against measured values, for a regression with more than one input."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl

from stepsize.plots.callback import Plot
from stepsize.plots.evaluate import predict, training_set
from stepsize.plots.style import BLUE, GREY, note

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Predictions(Plot):
    """One point per training point; on the diagonal, the prediction is correct.

    The view is the range of the measured values, widened for predictions up to its width away.
    """

    name = "predictions"

    def draw(self, figure: Figure, module: pl.LightningModule, data: Any) -> str:
        *inputs, target = training_set(data)
        measured = target.double().reshape(-1)
        predicted = predict(module, *inputs).reshape(-1)
        if predicted.shape != measured.shape:
            raise ValueError(f"one prediction per point is drawn; got {list(target.shape)}")
        low, high = measured.min().item(), measured.max().item()
        reach = (high - low) or 1.0
        near = predicted[(predicted > low - reach) & (predicted < high + reach)].tolist()
        bottom, top = min([low, *near]) - 0.05 * reach, max([high, *near]) + 0.05 * reach
        left, right = low - 0.05 * reach, high + 0.05 * reach
        error = (predicted - measured).square().mean().item()
        explained = 1 - error / measured.var(correction=0).item()

        axes = figure.add_subplot(xlabel="measured", ylabel="predicted")
        ends = (max(left, bottom), min(right, top))
        axes.plot(ends, ends, color=GREY, linewidth=1.2, zorder=1)
        axes.annotate(
            "predicted\n= measured", (ends[1], ends[1]), (8, 0), textcoords="offset points",
            va="top", color=GREY, annotation_clip=False,
        )  # fmt: skip
        shown = predicted.isfinite() & (predicted > bottom) & (predicted < top)
        axes.scatter(
            measured[shown].numpy(), predicted[shown].numpy(), s=16, color=BLUE, alpha=0.55,
            linewidths=0, zorder=2,
        )  # fmt: skip
        axes.set(xlim=(left, right), ylim=(bottom, top), aspect="equal")
        lost = int((~predicted.isfinite()).sum())
        outside = len(shown) - int(shown.sum()) - lost
        if outside:
            note(axes, f"{outside:,} of {len(shown):,} predictions\nlie outside this view")
        if lost == len(shown):
            note(axes, "no finite prediction")
        if lost:
            return f"{lost:,} of {len(shown):,} predictions are not finite"
        axes.text(
            0.04, 0.94, f"R² = {explained:.3g}", transform=axes.transAxes, color=BLUE, fontsize=12
        )
        return f"mean squared error {error:.3g}"
