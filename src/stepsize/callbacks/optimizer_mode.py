"""Switches schedule-free optimizers between training weights and evaluation weights."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.optim import Optimizer

from stepsize.callbacks.recorder import is_logged
from stepsize.optim.compatibility import has_modes


class OptimizerMode(pl.Callback):
    """Calls ``optimizer.train()`` before steps and ``optimizer.eval()`` before evaluations.

    Schedule-free optimizers (Defazio et al., 2024) compute gradients at training weights y; their
    evaluation weights are an average x. Training steps use y, and so does ``train/loss``, which is
    the loss of a step. Validation, ``train/gap``, the final evaluation, plots and checkpoints use
    x. Converting y to x and back rounds, so that y is stored beside x, in checkpoints too: the
    number of evaluations, checkpoints and resumes does not change a run's numbers.

    It comes after ``Record`` among the trainer's callbacks, because the row of a step is begun
    before the optimizer is back in train mode.
    """

    def __init__(self) -> None:
        self._optimizers: list[Optimizer] = []
        self._trains = self._saved_while_training = False
        self._kept: list[tuple[Tensor, Tensor]] = []  # parameters, and their values in train mode
        self._loaded: list[Tensor] = []

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._optimizers = list(with_modes(trainer.optimizers))
        self._trains = False
        if self._loaded:
            self._kept = list(zip(self._parameters(), self._loaded, strict=True))
            self._loaded = []

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if not self._trains:
            self._train()

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        if is_logged(trainer, trainer.global_step):
            self._eval()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._eval()  # every run ends here, before the on_train_end of other callbacks

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._eval()

    def state_dict(self) -> dict[str, Any]:
        """The training weights y. Lightning calls this before ``on_save_checkpoint``."""
        self._saved_while_training = self._trains
        self._eval()
        return {"training_weights": [value for _, value in self._kept]}

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        # The checkpoint refers to the run's own tensors until the file is written.
        for key in ("state_dict", "optimizer_states"):
            checkpoint[key] = copy.deepcopy(checkpoint[key])
        if self._saved_while_training:
            self._train()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._loaded = state_dict["training_weights"]

    @torch.no_grad()
    def _train(self) -> None:
        for optimizer in self._optimizers:
            optimizer.train()  # type: ignore[attr-defined]
        for parameter, value in self._kept:
            parameter.copy_(value)
        self._trains, self._kept = True, []

    @torch.no_grad()
    def _eval(self) -> None:
        if not self._trains:
            return
        self._kept = [(parameter, parameter.clone()) for parameter in self._parameters()]
        for optimizer in self._optimizers:
            optimizer.eval()  # type: ignore[attr-defined]
        self._trains = False

    def _parameters(self) -> Iterable[Tensor]:
        return (p for o in self._optimizers for group in o.param_groups for p in group["params"])


def with_modes(optimizers: Iterable[Optimizer]) -> Iterable[Optimizer]:
    """The optimizers, and the parts of composites, that have ``train`` and ``eval`` modes."""
    for optimizer in optimizers:
        if has_modes(type(optimizer)):
            yield optimizer
        else:
            yield from with_modes(getattr(optimizer, "optimizers", ()))
