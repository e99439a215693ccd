"""Logs the norm of the gradient and the relative size of the update, for each group."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from stepsize.callbacks.recorder import Record, RowGuest, log_beside
from stepsize.config.schema import whole_number


class Norms(RowGuest):
    """Logs ``grad_norm/<group>`` and ``update_ratio/<group>`` in some of ``Record``'s rows.

    ``grad_norm`` in the row of step s is the 2-norm of the group's gradient at w(s), the weights
    after s updates, before clipping. ``update_ratio`` is ``||w(s+1) - w(s)|| / ||w(s)||`` of the
    update that follows, including momentum, clipping and weight decay; about 1e-3 is usual
    (Karpathy, CS231n notes, "Ratio of weights:updates").

    LBFGS and SAM evaluate the model several times in one step: the gradient is the first one, which
    is at w(s), and the update is the whole step's. Schedule-free optimizers are measured at the
    training weights. A cell is empty if the group has no gradient, or if its weights are all 0.

    Args:
        every: logged rows between two measurements, that is ``every * trainer.log_every_n_steps``
            steps. Other steps cost nothing.

    Raises:
        ValueError: ``every`` is not a whole number from 1 up, or the trainer has no ``Record``.
    """

    def __init__(self, every: int = 10) -> None:
        self.every = whole_number("callbacks.norms.every", every, least=1)
        self._period = 1
        self._hook: RemovableHandle | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        callbacks = trainer.callbacks  # type: ignore[attr-defined]
        if not any(isinstance(callback, Record) for callback in callbacks):
            raise ValueError(
                "callbacks.norms: add stepsize.callbacks.recorder.Record, whose rows it extends"
            )
        self._period = self.every * trainer.log_every_n_steps  # type: ignore[attr-defined]
        # A run that resumes within an accumulation of gradients has begun its row before.
        self.begin_row(trainer, trainer.global_step)

    def begin_row(self, trainer: pl.Trainer, step: int) -> None:
        if step % self._period == 0:
            # Lightning calls a hook if it is not None, and a LeanCallback's hooks are None.
            vars(self)["on_before_optimizer_step"] = self._begin_update

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._stop_measuring()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        self._stop_measuring()

    @torch.no_grad()
    def _begin_update(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Optimizer
    ) -> None:
        del vars(self)["on_before_optimizer_step"]  # later evaluations in this step do not count
        vars(self)["on_train_batch_end"] = self._end_batch
        step = trainer.global_step
        groups = _groups(optimizer)
        gradients = {
            f"grad_norm/{name}": [_values(w.grad) for w in weights if w.grad is not None]
            for name, weights in groups.items()
        }
        before = {
            f"update_ratio/{name}": [w.clone() for w in weights] for name, weights in groups.items()
        }
        norms = _norms({**gradients, **before})
        row = {tag: norms[tag] for tag, tensors in gradients.items() if tensors}
        # Not a hook of Lightning: a schedule-free optimizer may have switched weights before it.
        self._hook = optimizer.register_step_post_hook(
            lambda *_: log_beside(trainer, {**row, **_ratios(groups, before, norms)}, step)
        )

    def _end_batch(self, *_: Any) -> None:
        self._stop_measuring()

    def _stop_measuring(self) -> None:
        for hook in ("on_before_optimizer_step", "on_train_batch_end"):
            vars(self).pop(hook, None)
        if self._hook is not None:
            self._hook.remove()
            self._hook = None


def _groups(optimizer: Optimizer) -> dict[str, list[Tensor]]:
    return {
        str(group.get("name", index)): group["params"]
        for index, group in enumerate(optimizer.param_groups)
    }


@torch.no_grad()
def _ratios(
    groups: Mapping[str, list[Tensor]],
    before: Mapping[str, list[Tensor]],
    sizes: Mapping[str, float],
) -> dict[str, float]:
    moved = {
        tag: torch._foreach_sub(weights, old)
        for (tag, old), weights in zip(before.items(), groups.values(), strict=True)
    }
    return {tag: norm / sizes[tag] for tag, norm in _norms(moved).items() if sizes[tag]}


def _values(gradient: Tensor) -> Tensor:
    """The stored entries; duplicate entries of a sparse gradient are added up."""
    return gradient.coalesce().values() if gradient.is_sparse else gradient


def _norms(vectors: Mapping[str, Sequence[Tensor]]) -> dict[str, float]:
    """The 2-norm of each vector, which is given in pieces; one synchronization with the device."""
    pieces = [
        torch.view_as_real(piece) if piece.is_complex() else piece
        for vector in vectors.values()
        for piece in vector
    ]
    double = any(piece.dtype == torch.float64 for piece in pieces)
    norms = torch._foreach_norm(pieces, 2.0, torch.float64 if double else torch.float32)
    numbers = iter(torch.stack(norms).tolist())
    return {tag: math.hypot(*(next(numbers) for _ in vector)) for tag, vector in vectors.items()}
