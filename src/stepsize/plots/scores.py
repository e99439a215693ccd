"""Histograms of a two-class classifier's scores, for any number of inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
import torch

from stepsize.plots.callback import Plot
from stepsize.plots.evaluate import correct, margins, predict, training_set
from stepsize.plots.style import BLUE, GREY, INK, VERMILION, mix, note

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BINS = 40


class Scores(Plot):
    """Histograms of the score, the log-odds of class 1: class 1 upwards, class 0 downwards.

    A score above 0 predicts class 1. Bins of misclassified points are drawn solid.

    Args:
        dirpath: the folder.
        title: begins the title.
        classes: the names of class 0 and class 1.

    Raises:
        ValueError: not two names.
    """

    name = "scores"

    def __init__(
        self, dirpath: str, title: str, classes: Sequence[str] = ("class 0", "class 1")
    ) -> None:
        super().__init__(dirpath, title)
        if len(classes) != 2:
            raise ValueError(f"callbacks.plot.classes={list(classes)}: give two names")
        self.classes = list(classes)

    def draw(self, figure: Figure, module: pl.LightningModule, data: Any) -> str:
        import numpy as np
        from matplotlib.ticker import MaxNLocator

        *inputs, target = training_set(data)
        logits = margins(predict(module, *inputs))
        if logits.shape[1] != 2:
            raise ValueError(f"scores are drawn for two classes; got {logits.shape[1]}")
        score, y = (logits[:, 1] - logits[:, 0]).numpy(), target.numpy()
        finite = np.isfinite(score)
        hits = finite & ((score > 0) == y)

        reach = 1e-6 if finite.any() else 1.0
        low, high = score[finite].min(initial=-reach), score[finite].max(initial=reach)
        width = (high - low) / _BINS
        # 0, where the predicted class changes, is the edge of a bin.
        edges = width * np.arange(np.floor(low / width), np.ceil(high / width) + 1)
        highest = [1, 1]
        axes = figure.add_subplot(
            xlabel=f"←  {self.classes[0]}          score (log-odds)          {self.classes[1]}  →",
            ylabel="points per bin",
        )
        for label, sign, colour in ((1, 1, BLUE), (0, -1, VERMILION)):
            own = finite & (y == label)
            counts, _ = np.histogram(score[own], edges)
            highest[label] = max(1, counts.max())
            wrong_side = (edges[:-1] < 0) == bool(label)
            axes.bar(
                edges[:-1], sign * counts, np.diff(edges), align="edge", linewidth=0.6,
                edgecolor="white",
                color=[colour if wrong else mix(colour, 0.5) for wrong in wrong_side],
            )  # fmt: skip
            counted = f"{(own & hits).sum():,} of {(y == label).sum():,} correct"
            axes.text(
                0.02, 0.97 if label else 0.03, f"{self.classes[label]}: {counted}",
                transform=axes.transAxes, va="top" if label else "bottom", color=colour,
                fontsize=11, weight="bold",
            )  # fmt: skip
        axes.axhline(0, color=GREY, linewidth=0.8)
        axes.axvline(0, color=INK, linewidth=1.2, linestyle=(0, (4, 3)))
        room = 0.12 * sum(highest)  # for the two lines of text
        axes.set(xlim=edges[[0, -1]], ylim=(-highest[0] - room, highest[1] + room))
        axes.yaxis.set_major_locator(MaxNLocator(nbins=7, integer=True))
        axes.yaxis.set_major_formatter(lambda value, _: f"{abs(value):,.0f}")
        if not finite.any():
            note(axes, "no finite score")
        return correct(torch.from_numpy(hits), logits)
