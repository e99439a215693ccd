"""The base class of all data sets in memory: a LightningDataModule with ``make``."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from functools import cached_property
from typing import Any

import pytorch_lightning as pl

from stepsize.config.schema import whole_number
from stepsize.data.batches import BatchStream, TensorBatches, Tensors, check_batch_size


class InMemoryData(pl.LightningDataModule, ABC):
    """A data set in memory, on one device. Subclasses write ``make``.

    The data are a function of the data set's own configuration. ``shuffle_seed``, the run's seed,
    decides only the order of the batches. A Trainer is not needed: ``data.train``, ``data.val``,
    ``for batch in data.train_dataloader()``.

    Args:
        batch_size: training points per step; None for all points in every step.
        steps_per_epoch: steps per epoch where ``batch_size`` is None.
        shuffle_seed: whole number from 0 up.

    Raises:
        ValueError: a number out of range; a ``batch_size`` above the number of points is refused
            when the data are first used.
    """

    def __init__(
        self, batch_size: int | None = None, steps_per_epoch: int = 100, shuffle_seed: int = 0
    ) -> None:
        super().__init__()
        check_batch_size(batch_size)
        self.batch_size = batch_size
        self.steps_per_epoch = whole_number("data.steps_per_epoch", steps_per_epoch, least=1)
        self.shuffle_seed = whole_number("data.shuffle_seed", shuffle_seed, least=0)
        self._resumed_at = 0

    @abstractmethod
    def make(self) -> tuple[Tensors, Tensors | None]:
        """Make or read the training set and the validation set (or None), on the CPU.

        Each is a tuple of tensors with equal first dimension, the inputs first and the target last.
        Floats are float32, classes int64. Draw random numbers from a generator made here with the
        configuration's seed, never from the global one of torch or numpy.
        """

    @cached_property
    def _sets(self) -> tuple[Tensors, Tensors | None]:
        train, val = self.make()
        check_batch_size(self.batch_size, len(train[0]))
        return train, val

    @property
    def train(self) -> Tensors:
        """The training set, on the CPU; made on first use."""
        return self._sets[0]

    @property
    def val(self) -> Tensors | None:
        """The validation set, on the CPU, or None; made on first use."""
        return self._sets[1]

    @property
    def full_batch(self) -> bool:
        """Whether every step uses all training points."""
        return self.batch_size is None

    def fingerprint(self) -> str:
        """The SHA-256 of both sets' values, shapes and types, in hexadecimal."""
        digest = hashlib.sha256()
        for name, tensors in (("train", self.train), ("val", self.val or ())):
            for tensor in tensors:
                digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
                digest.update(tensor.contiguous().numpy().tobytes())
        return digest.hexdigest()

    def batches(self, tensors: Tensors) -> BatchStream:
        """The training batches, from the first; override this for other kinds of batches."""
        return TensorBatches(tensors, self.batch_size, self.steps_per_epoch, self.shuffle_seed)

    def train_dataloader(self) -> BatchStream:
        stream = self.batches(self._placed(self.train))
        if self.trainer is not None and self.trainer.training:
            stream.position = self._position
        return stream

    def val_dataloader(self) -> BatchStream | list[Any]:
        """One batch with the whole validation set, or Lightning's empty list."""
        if self.val is None:
            return []
        return TensorBatches(self._placed(self.val), steps_per_epoch=1, shuffle=False)

    def transfer_batch_to_device(self, batch: Any, device: Any, dataloader_idx: int) -> Any:
        return batch  # the sets are on the device already; moving each batch costs microseconds

    # Lightning restores the loader's own position too late if configure_optimizers asks for the
    # run's length, because the loader is made before; and not at all after a finished epoch of a
    # run limited by max_epochs. It always restores the data module's state, and before the loader.

    @property
    def _position(self) -> int:
        taken = 0 if self.trainer is None else self.trainer.fit_loop.total_batch_idx + 1
        return max(self._resumed_at, taken)

    def setup(self, stage: str) -> None:
        self._resumed_at = 0
        if self.trainer is not None and self.val is None:
            # Without this, Lightning warns and runs the hooks of an empty validation.
            self.trainer.limit_val_batches = 0

    def state_dict(self) -> dict[str, Any]:
        return {"position": self._position}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._resumed_at = state_dict["position"]

    def _placed(self, tensors: Tensors) -> Tensors:
        if self.trainer is None:
            return tensors
        if self.trainer.world_size > 1:
            raise ValueError(
                f"{self.trainer.world_size} processes: {type(self).__name__} keeps its data in "
                "memory for one device; set trainer.devices=1, or wrap a torch DataLoader"
            )
        overfit = getattr(self.trainer, "overfit_batches", 0)
        if overfit and not self.full_batch:
            raise ValueError(
                f"trainer.overfit_batches={overfit}: these batches are "
                "reshuffled every epoch; use data.batch_size=null, or make a smaller data set"
            )
        return tuple(tensor.to(self.trainer.strategy.root_device) for tensor in tensors)
