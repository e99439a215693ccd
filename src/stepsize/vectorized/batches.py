"""The batches of many runs, in each run's own order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from stepsize.data import InMemoryData
from stepsize.data.batches import BatchStream
from stepsize.vectorized.objective import Batch


class Streams:
    """One stream of batches for each order that occurs among the runs.

    Args:
        data: the data module of each run; equal but for the order of the batches.
        dtype: of numbers that are no whole numbers.
        device: where the data are kept, once for all runs.
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
            numbers = [known.setdefault(d.order_seed, len(known)) for d in data]
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
        """What the runs with these numbers see."""
        if len(tensors) == 1:
            return Batch(tensors, self._numbers)  # which are not looked at
        return Batch(tensors, self._numbers[torch.as_tensor(runs, device=self._numbers.device)])

    def shared(self, tensors: tuple[Tensor, ...]) -> Batch:
        """A batch that all runs see."""
        return Batch([tensors], self._numbers)


def placed(
    tensors: tuple[Tensor, ...], dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, ...]:
    """The tensors on a device, numbers that are no whole numbers in another type."""
    return tuple(t.to(device, dtype if t.is_floating_point() else t.dtype) for t in tensors)


def _endless(stream: BatchStream) -> Iterator[tuple[Tensor, ...]]:
    while True:
        yield from stream
