"""The confusion matrix of a classifier."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
import torch

from stepsize.plots.callback import Plot
from stepsize.plots.evaluate import correct, margins, predict, validation_set
from stepsize.plots.style import BLUE, FAINT, GREY, INK, VERMILION, mix, note

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class ConfusionMatrix(Plot):
    """Counts of the validation set by true class (rows) and predicted class (columns).

    A cell's tint is its share of the row: blue on the diagonal, vermilion elsewhere. Where there is
    no validation set, the training set is counted.
    """

    name = "confusion_matrix"

    def draw(self, figure: Figure, module: pl.LightningModule, data: Any) -> str:
        (*inputs, target), which = validation_set(data)
        scores = margins(predict(module, *inputs))
        valid = scores.isfinite().all(1)
        classes = scores.shape[1]
        pairs = target[valid] * classes + scores[valid].argmax(1)
        counts = torch.bincount(pairs, minlength=classes**2).reshape(classes, classes)
        rows = torch.bincount(target, minlength=classes)

        axes = figure.add_subplot(xlabel="predicted", ylabel=f"true ({which} set)")
        image = torch.ones(classes, classes, 3)
        for true in range(classes):
            for guess in range(classes):
                count = int(counts[true, guess])
                if not count:
                    continue
                colour = BLUE if true == guess else VERMILION
                share = count / int(rows[true])
                # A single error in a large class must still be visible.
                tint = 0.85 * share if true == guess else 0.25 + 0.6 * share
                image[true, guess] = torch.tensor(mix(colour, tint))
                axes.text(
                    guess, true, f"{count}", ha="center", va="center", fontsize=9,
                    color="white" if tint > 0.6 else INK,
                )  # fmt: skip
        axes.imshow(image.numpy(), aspect="auto")
        ticks = range(classes)
        axes.set_xticks(ticks)
        axes.set_yticks(ticks)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        for edge in range(classes + 1):
            axes.axhline(edge - 0.5, color=FAINT, linewidth=0.6)
            axes.axvline(edge - 0.5, color=FAINT, linewidth=0.6)
        for true in ticks:
            axes.annotate(
                f"{int(counts[true, true])} of {int(rows[true])}", (1, true), (8, 0),
                xycoords=("axes fraction", "data"), textcoords="offset points",
                va="center", color=GREY, fontsize=9, annotation_clip=False,
            )  # fmt: skip
        if not valid.any():
            note(axes, "no finite score")
        return correct(valid & (scores.argmax(1) == target), scores)
