"""A callback of your own: logs how far the weights have moved from where they started.

    python train.py --config-dir examples/conf callbacks=own_callback 'allowed_packages=[examples]'

Any pytorch_lightning.Callback works. This one subclasses RowGuest, so that it can add values to the
rows that the run logs anyway: metrics.csv and TensorBoard show them beside the same step's loss.
"""

from __future__ import annotations

import pytorch_lightning as pl
import torch
from torch import Tensor

from stepsize.callbacks.recorder import RowGuest, log_beside


class Distance(RowGuest):
    """Logs `distance/NAME`, the 2-norm of w(s) - w(0), in every row.

    Args:
        name: ends the tag, so that two of these callbacks can be told apart.
        match: the parameters whose name contains this text are measured.
    """

    def __init__(self, name: str, match: str) -> None:
        self.tag, self.match = f"distance/{name}", match
        self.weights: list[Tensor] = []
        self.start: list[Tensor] = []

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Copy the weights before the first step; without the copy they would change too."""
        named = pl_module.named_parameters()
        self.weights = [weight for name, weight in named if self.match in name]
        self.start = [weight.detach().clone() for weight in self.weights]

    @torch.no_grad()
    def begin_row(self, trainer: pl.Trainer, step: int) -> None:
        """Called before the update of each logged step, and only of these: others cost nothing."""
        moved = [w - old for w, old in zip(self.weights, self.start, strict=True)]
        distance = torch.linalg.vector_norm(torch.cat([each.flatten() for each in moved]))
        log_beside(trainer, {self.tag: distance.item()}, step)
