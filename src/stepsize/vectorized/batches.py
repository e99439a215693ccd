"""The batches of many runs, each in the order of the run's own shuffle seed."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from stepsize.data import InMemoryData
from stepsize.data.batches import BatchStream


class Batch:
    """The batch of each run in one step.

    Args:
        tensors: the batch of each stream.
        stream: the index of each run's stream, [runs]; ignored where there is only one stream.
    """

    def __init__(self, tensors: list[tuple[Tensor, ...]], stream: Tensor) -> None:
        self.single = len(tensors) == 1
        self.tensors = (
            tensors[0] if self.single else tuple(map(torch.stack, zip(*tensors, strict=True)))
        )
        self.stream = stream

    def of(self, rows: slice) -> tuple[tuple[Tensor, ...], int | None]:
        """The tensors of some runs, and the axis of the runs; None where all runs share them."""
        if self.single:
            return self.tensors, None
        chosen = self.stream[rows]
        return tuple(tensor.index_select(0, chosen) for tensor in self.tensors), 0

    def first(self, count: int) -> Batch:
        """The batch of the first ``count`` runs."""
        part = copy.copy(self)
        part.stream = self.stream[:count]
        return part


class Streams:
    """One endless stream of batches for each distinct shuffle seed among the runs.

    Args:
        data: the data module of each run; equal except for the order of the batches.
        dtype: of floating-point tensors.
        device: where the data are stored, once for all runs.
    """

    def __init__(
        self, data: Sequence[InMemoryData], dtype: torch.dtype, device: torch.device
    ) -> None:
        first = data[0]
        self.train = placed(first.train, dtype, device)
        self.val = None if first.val is None else placed(first.val, dtype, device)
        if first.full_batch and type(first).batches is InMemoryData.batches:
            streams, numbers = [first.batches(self.train)], [0] * len(data)
        else:
            known: dict[int, int] = {}
            numbers = [known.setdefault(d.shuffle_seed, len(known)) for d in data]
            modules = [data[numbers.index(number)] for number in range(len(known))]
            streams = [module.batches(self.train) for module in modules]
        self._streams = [_endless(stream) for stream in streams]
        self._numbers = torch.tensor(numbers, device=device)

    def __next__(self) -> list[tuple[Tensor, ...]]:
        """The next batch of every stream."""
        return [next(stream) for stream in self._streams]

    def __iter__(self) -> Streams:
        return self

    def batch(self, tensors: list[tuple[Tensor, ...]], runs: Any) -> Batch:
        """The batch of the runs with these numbers."""
        if len(tensors) == 1:
            return Batch(tensors, self._numbers)
        return Batch(tensors, self._numbers[torch.as_tensor(runs, device=self._numbers.device)])

    def shared(self, tensors: tuple[Tensor, ...]) -> Batch:
        """A batch that all runs share."""
        return Batch([tensors], self._numbers)


def placed(
    tensors: tuple[Tensor, ...], dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, ...]:
    """The tensors on a device; floating-point tensors are converted to ``dtype``."""
    return tuple(t.to(device, dtype if t.is_floating_point() else t.dtype) for t in tensors)


def _endless(stream: BatchStream) -> Iterator[tuple[Tensor, ...]]:
    while True:
        yield from stream
