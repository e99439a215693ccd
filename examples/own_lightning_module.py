"""A LightningModule and a LightningDataModule of your own, kept as they are but for one method.

    python train.py --config-dir examples/conf task=own_lightning_module

``conf/task/own_lightning_module.yaml`` names both. The task is a file of global values, so that it
can also allow the package, choose the monitor and set the budget.
"""

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from stepsize.optim import configure_optimizers


class Autoencoder(pl.LightningModule):
    """Compresses 3 numbers to 2 and back; everything in it is plain Lightning."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(3, width), nn.Tanh(), nn.Linear(width, 2))
        self.decoder = nn.Sequential(nn.Linear(2, width), nn.Tanh(), nn.Linear(width, 3))

    def training_step(self, batch: tuple[Tensor], batch_idx: int) -> Tensor:
        (x,) = batch
        return nn.functional.mse_loss(self.decoder(self.encoder(x)), x)  # logged as train/loss

    def validation_step(self, batch: tuple[Tensor], batch_idx: int) -> None:
        self.log("val/loss", self.training_step(batch, batch_idx))

    def configure_optimizers(self) -> dict[str, Any]:
        # The one method that stepsize asks for. `recipe` is the configuration's optimizer,
        # parameter groups and schedule; it is set before training.
        return configure_optimizers(self.named_parameters(), self.recipe, self.trainer)


class Sphere(pl.LightningDataModule):
    """Points on the unit sphere: three numbers with two degrees of freedom."""

    def __init__(self, points: int, batch_size: int, seed: int) -> None:
        super().__init__()
        random = torch.Generator().manual_seed(seed)
        x = torch.randn(2 * points, 3, generator=random)
        x = x / x.norm(dim=1, keepdim=True)
        self.train, self.val = TensorDataset(x[:points]), TensorDataset(x[points:])
        self.batch_size = batch_size

    def train_dataloader(self) -> DataLoader:
        return DataLoader(self.train, self.batch_size, shuffle=True)

    def val_dataloader(self) -> DataLoader:
        return DataLoader(self.val, len(self.val))
