"""Fingerprints of a run: of its initial weights, its first and its last training batch.

Equal fingerprints show that two runs had the same start and the same batches.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch

from stepsize.callbacks.lightning_overhead import LeanCallback


class Fingerprints(LeanCallback):
    """Hashes the initial weights, the first and the last training batch.

    A step costs one reference: the last batch is hashed at the end of the run and in checkpoints. A
    resumed run has the fingerprints of the run that was never stopped.

    Attributes:
        initial_weights: of the module's ``state_dict`` before the first step; None before it.
        first_batch: of the run's first batch; None before it.
    """

    def __init__(self) -> None:
        self.initial_weights: str | None = None
        self.first_batch: str | None = None
        self._earlier: str | None = None  # the last batch before a resume
        self._last: Any = None

    @property
    def result(self) -> dict[str, str | None] | None:
        """The value of ``fingerprints`` in result.json; None before training."""
        return None if self.initial_weights is None else self.state_dict()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.initial_weights is None:
            self.initial_weights = fingerprint(pl_module.state_dict())

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if self.first_batch is None:
            self.first_batch = fingerprint(batch)

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        self._last = batch

    def state_dict(self) -> dict[str, Any]:
        if self._last is not None:
            self._earlier, self._last = fingerprint(self._last), None
        return {
            "initial_weights": self.initial_weights,
            "first_batch": self.first_batch,
            "last_batch": self._earlier,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.initial_weights = state_dict["initial_weights"]
        self.first_batch = state_dict["first_batch"]
        self._earlier = state_dict["last_batch"]


def fingerprint(value: Any) -> str | None:
    """The first 16 hexadecimal digits of the SHA-256 of tensors in containers.

    Args:
        value: tensors, arrays, numbers and text, in mappings, sequences and objects.

    Returns:
        The fingerprint; None where a value has no known bytes.
    """
    digest = hashlib.sha256()
    try:
        for part in _parts(value):
            digest.update(part)
    except (TypeError, RuntimeError, NotImplementedError, RecursionError):
        return None
    return digest.hexdigest()[:16]


def _parts(value: Any) -> Iterator[bytes]:
    if isinstance(value, torch.Tensor):
        yield f"{value.dtype} {tuple(value.shape)} ".encode()
        dense = value.detach().to_dense() if value.layout != torch.strided else value.detach()
        yield dense.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    elif isinstance(value, np.ndarray):
        yield f"{value.dtype} {value.shape} ".encode()
        yield np.ascontiguousarray(value).tobytes()
    elif isinstance(value, (bool, int, float, complex, str, bytes, type(None), np.generic)):
        yield f"{value!r} ".encode()
    elif isinstance(value, Mapping):
        for key, entry in value.items():
            yield f"{key!r}: ".encode()
            yield from _parts(entry)
    elif isinstance(value, (list, tuple)):
        yield f"{len(value)} ".encode()
        for entry in value:
            yield from _parts(entry)
    elif vars(value):  # TypeError for objects without attributes of their own
        yield from _parts(vars(value))
    else:
        raise TypeError(type(value).__name__)
