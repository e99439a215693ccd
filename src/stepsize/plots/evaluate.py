"""The trained model's answers, for drawing."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from stepsize.data import Tensors

_AT_ONCE = 2048  # points per evaluation, so that a large set does not need a large memory


def predict(module: pl.LightningModule, *inputs: Tensor) -> Tensor:
    """The model's output for all points, in float64 on the CPU.

    Args:
        module: evaluated as it is, on its device and in its precision.
        *inputs: equal in their first dimension, n.

    Returns:
        The output, ``[n, ...]``.
    """
    like = next(module.parameters())
    chunks = zip(*(tensor.split(_AT_ONCE) for tensor in inputs), strict=True)
    outputs = [module(*(_placed(tensor, like) for tensor in chunk)) for chunk in chunks]
    return torch.cat([output.detach().cpu().double() for output in outputs])


def training_set(data: Any) -> Tensors:
    """The inputs and, last, the target.

    Raises:
        ValueError: the data module does not hold its data in memory.
    """
    return _held(data, "train")


def validation_set(data: Any) -> tuple[Tensors, str]:
    """The inputs and, last, the target of the validation set, and the word for it.

    Where there is none, the training set.
    """
    if getattr(data, "val", None) is not None:
        return _held(data, "val"), "validation"
    return _held(data, "train"), "training"


def margins(logits: Tensor) -> Tensor:
    """Scores ``[n, classes]`` whose largest entry says the class, from ``[n, 1]`` or themselves."""
    return torch.cat([-logits, logits], -1) / 2 if logits.shape[-1] == 1 else logits


def outcome(right: Tensor, scores: Tensor) -> str:
    """How many points a classifier gets right ``[n]``, or has no scores ``[n, classes]`` for."""
    lost = int((~scores.isfinite().all(1)).sum())
    if lost:
        return f"{lost:,} of {len(right):,} scores are not finite"
    return f"{int(right.sum()):,} of {len(right):,} right ({right.double().mean():.1%})"


def _held(data: Any, name: str) -> Tensors:
    tensors = getattr(data, name, None)
    if not isinstance(tensors, tuple) or len(tensors) < 2:
        raise ValueError(
            f"{type(data).__name__}.{name} must be a tuple of tensors, inputs first, target last"
        )
    return tensors


def _placed(tensor: Tensor, like: Tensor) -> Tensor:
    return tensor.to(like.device, like.dtype if tensor.is_floating_point() else tensor.dtype)
