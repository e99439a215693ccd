"""A LightningModule and a LightningDataModule of your own, which subclass nothing of stepsize.

    python train.py --config-dir examples/conf model=own_lightning_module \
        data=own_lightning_module monitor=val/error callbacks.plot=null \
        'allowed_packages=[examples]'

This is how an existing project gets optimizers, parameter groups, schedules, sweeps and reports:
its module returns `configure_optimizers` of stepsize.optim, and nothing else changes. The overrides
name a metric that this module logs, and switch off the plot, which needs stepsize.modules.Module.
"""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from stepsize.optim import Recipe, configure_optimizers


class Autoencoder(pl.LightningModule):
    """Compresses vectors of 10 numbers to `code` numbers and reconstructs them."""

    recipe: Recipe  # optimizer, parameter groups and schedule; the run sets it before it trains

    def __init__(self, code: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(10, 32), nn.Tanh(), nn.Linear(32, code))
        self.decoder = nn.Sequential(nn.Linear(code, 32), nn.Tanh(), nn.Linear(32, 10))

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        return self._error(batch)  # the returned loss is recorded as train/loss

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        self.log("val/error", self._error(batch))

    def configure_optimizers(self) -> Any:
        # Named parameters, because the rules of param_groups match names.
        return configure_optimizers(self.named_parameters(), self.recipe, self.trainer)

    def _error(self, batch: list[Tensor]) -> Tensor:
        (x,) = batch
        return F.mse_loss(self.decoder(self.encoder(x)), x)


class Helix(pl.LightningDataModule):
    """Points of a curve in 10 dimensions: each has one number as its exact code."""

    def __init__(self, points: int, batch_size: int) -> None:
        super().__init__()
        angle = torch.linspace(0, 6, points)[:, None]
        self.data = TensorDataset(torch.sin(angle * torch.arange(1, 11) / 4))
        self.batch_size = batch_size

    def train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.data, self.batch_size, shuffle=True)

    def val_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.data, self.batch_size)
