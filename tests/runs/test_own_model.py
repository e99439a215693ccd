"""A LightningModule and a DataModule that know nothing of stepsize, but for one function."""

import json

CODE = """
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, TensorDataset

from stepsize.optim import configure_optimizers


class Model(pl.LightningModule):
    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.body = torch.nn.Linear(3, width)
        self.head = torch.nn.Linear(width, 1)

    def loss(self, batch):
        x, y = batch
        return torch.nn.functional.mse_loss(self.head(torch.tanh(self.body(x))), y)

    def training_step(self, batch, batch_idx):
        return self.loss(batch)

    def validation_step(self, batch, batch_idx):
        self.log("val/error", self.loss(batch))

    def configure_optimizers(self):
        return configure_optimizers(self.named_parameters(), self.recipe, self.trainer)


class Data(pl.LightningDataModule):
    def __init__(self, points: int = 64) -> None:
        super().__init__()
        x = torch.linspace(-1, 1, 3 * points).reshape(points, 3)
        self.set = TensorDataset(x, x.sum(1, keepdim=True))

    def train_dataloader(self):
        return DataLoader(self.set, batch_size=16, shuffle=True)

    def val_dataloader(self):
        return DataLoader(self.set, batch_size=64)
"""


def test_anyones_module_and_data_run_with_groups_and_a_schedule(command, tmp_path):
    (tmp_path / "theirs.py").write_text(CODE)
    for group, name in (("model", "Model"), ("data", "Data")):
        (tmp_path / group).mkdir()
        (tmp_path / group / "theirs.yaml").write_text(f"_target_: theirs.{name}\n")
    done = command(
        "--config-dir", ".", "model=theirs", "data=theirs", "allowed_packages=[theirs]",
        "monitor=val/error",
        "optimizer=adamw", "optimizer.lr=0.02", "scheduler=warmup_cosine", "trainer.max_steps=60",
        "trainer.val_check_interval=20", "callbacks.plot=null",
        "+param_groups.head={match: '^head', lr_scale: 0.5}", "hydra.run.dir=here",
        PYTHONPATH=str(tmp_path),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "here" / "result.json").read_text())
    assert result["status"] == "completed"
    errors = result["metrics"]["val/error"]
    assert errors["final"] < errors["first"]
    assert result["metrics"]["train/loss"]["first"] > 0
    header, *_ = (tmp_path / "here" / "metrics.csv").read_text().splitlines()
    assert {"lr/head", "lr/default"} <= set(header.split(","))
    again = command(
        "--config-dir", ".", "model=theirs", "data=theirs", "allowed_packages=[theirs]",
        "monitor=val/error",
        "optimizer=sgd", "trainer.max_steps=20", "callbacks.plot=null", "hydra.run.dir=again",
        "resume=weights", "ckpt_path=here/checkpoints/last.ckpt", PYTHONPATH=str(tmp_path),
    )  # fmt: skip
    assert again.returncode == 0, again.stderr
