"""A callback of your own: any Lightning callback; this one adds a curve to every run.

    python train.py --config-dir examples/conf callbacks=own_callback allowed_packages=[examples]

The curve is a column of metrics.csv, a chart in TensorBoard, and a metric in result.json.
"""

from typing import Any

import pytorch_lightning as pl
import torch


class DistanceFromStart(pl.Callback):
    """Logs the Euclidean distance of all weights from their initial values.

    Args:
        tag: the name of the curve.
    """

    def __init__(self, tag: str) -> None:
        self.tag = tag
        self.start: list[torch.Tensor] = []

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not self.start:  # a resumed run has them from its checkpoint
            self.start = [p.detach().clone() for p in pl_module.parameters()]

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        step = trainer.global_step
        if step % trainer.log_every_n_steps:
            return  # computed only for the steps that are logged
        pairs = zip(pl_module.parameters(), self.start, strict=True)
        squares = [(p.detach() - start).square().sum() for p, start in pairs]
        # All loggers: metrics.csv is one of them. The row of step s describes the weights after s
        # updates, and this hook runs before update s + 1.
        for logger in trainer.loggers:
            logger.log_metrics({self.tag: float(sum(squares)) ** 0.5}, step)

    # What a checkpoint saves of the callback, and gives back to it.
    def state_dict(self) -> dict[str, Any]:
        return {"start": self.start}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.start = state_dict["start"]
