"""A LightningModule and a DataModule that know nothing of stepsize, but for one function."""

import json
import random

import numpy as np
import pytest
import torch
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from stepsize.data import Line
from stepsize.loggers.monitors import logged_tags
from stepsize.modules import Regressor, Step

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


def write_theirs(folder, code):
    """Their code, and the two files that name its classes."""
    (folder / "theirs.py").write_text(code)
    for group, name in (("model", "Model"), ("data", "Data")):
        (folder / group).mkdir()
        (folder / group / "theirs.yaml").write_text(f"_target_: theirs.{name}\n")


def test_anyones_module_and_data_run_with_groups_and_a_schedule(command, tmp_path):
    write_theirs(tmp_path, CODE)
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


@pytest.mark.parametrize("loggers", ["tensorboard", "none"])
def test_a_module_writes_to_its_logger_as_lightnings_documentation_shows(
    command, tmp_path, loggers
):
    code = CODE.replace(
        "        return self.loss(batch)\n",
        "        self.logger.experiment.add_scalar('theirs/step', 1.0, self.global_step)\n"
        "        return self.loss(batch)\n",
    )
    write_theirs(tmp_path, code)
    done = command(
        "--config-dir", ".", "model=theirs", "data=theirs",
        "allowed_packages=[theirs]", "monitor=val/error", "trainer.max_steps=4",
        "trainer.val_check_interval=4", "callbacks.plot=null", f"logger={loggers}",
        "hydra.run.dir=here", PYTHONPATH=str(tmp_path),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    if loggers == "tensorboard":
        events = EventAccumulator(str(tmp_path / "here")).Reload()
        assert len(events.Scalars("theirs/step")) == 4


def test_every_logger_gets_the_hyperparameters(command, tmp_path):
    done = command(
        "task=line", "optimizer.lr=0.03", "trainer.max_steps=2", "callbacks.plot=null",
        "+logger.csv={_target_: pytorch_lightning.loggers.CSVLogger, save_dir: logs}",
        "hydra.run.dir=here",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (file,) = tmp_path.glob("logs/**/hparams.yaml")
    hparams = yaml.safe_load(file.read_text())
    assert (hparams["optimizer"], hparams["lr"], hparams["seed"]) == ("adam", 0.03, 0)


class StartsFromItsData(Regressor):
    """Sets a scale from the first batch that it sees, counts its calls, and draws numbers."""

    def __init__(self) -> None:
        super().__init__(net=torch.nn.Linear(1, 1))
        self.scale: float | None = None
        self.calls = 0

    def step(self, batch):
        x, y = batch
        self.calls += 1
        self.scale = self.scale or float(x.abs().mean())
        torch.rand(3), np.random.rand(), random.random()
        prediction = self.net(x / self.scale)
        return Step((prediction - y).square().mean(), prediction, y)


def test_looking_at_a_module_before_training_changes_nothing():
    module, data = StartsFromItsData(), Line()
    before = (torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate())
    assert "train/loss" in logged_tags(module, data)
    assert (module.scale, module.calls, module.training) == (None, 0, True)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()
    assert random.getstate() == before[2]
