"""The trained model's predictions, for plots."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from stepsize.data import Tensors

_BATCH = 2048  # points per evaluation, so that a large set does not need much memory


def predict(module: pl.LightningModule, *inputs: Tensor) -> Tensor:
    """The model's output for all points, in float64 on the CPU.

    Args:
        module: evaluated as it is, on its device and in its precision.
        *inputs: equal in their first dimension, n.

    Returns:
        The output, ``[n, ...]``.
    """
    like = next(module.parameters())
    chunks = zip(*(tensor.split(_BATCH) for tensor in inputs), strict=True)
    outputs = [
        module(*(t.to(like) if t.is_floating_point() else t.to(like.device) for t in chunk))
        for chunk in chunks
    ]
    return torch.cat([output.detach().cpu().double() for output in outputs])


def training_set(data: Any) -> Tensors:
    """The inputs and, last, the target of the training set.

    Raises:
        ValueError: the data module does not have its data in memory.
    """
    return _tensors(data, "train")


def validation_set(data: Any) -> tuple[Tensors, str]:
    """The inputs and, last, the target of the validation set, and its name: "validation".

    Where there is no validation set, the training set and "training".
    """
    if getattr(data, "val", None) is not None:
        return _tensors(data, "val"), "validation"
    return _tensors(data, "train"), "training"


def margins(logits: Tensor) -> Tensor:
    """Scores ``[n, classes]`` whose largest is the predicted class, from logits or ``[n, 1]``."""
    return torch.cat([-logits, logits], -1) / 2 if logits.shape[-1] == 1 else logits


def correct(hits: Tensor, scores: Tensor) -> str:
    """How many points are correct (``hits`` [n]), or lack finite ``scores`` [n, classes]."""
    lost = int((~scores.isfinite().all(1)).sum())
    if lost:
        return f"{lost:,} of {len(hits):,} scores are not finite"
    return f"{int(hits.sum()):,} of {len(hits):,} correct ({hits.double().mean():.1%})"


def _tensors(data: Any, name: str) -> Tensors:
    tensors = getattr(data, name, None)
    if not isinstance(tensors, tuple) or len(tensors) < 2:
        raise ValueError(
            f"{type(data).__name__}.{name} must be a tuple of tensors, inputs first, target last"
        )
    return tensors
