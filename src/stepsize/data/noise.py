"""Gradient noise instead of data, for functions that are minimised directly."""

from __future__ import annotations

from collections.abc import Callable

import torch

from stepsize.config.schema import standard_deviation, whole_number
from stepsize.data.batches import BatchStream, Tensors, epoch_seed
from stepsize.data.module import InMemoryData


class NoiseBatches(BatchStream):
    """Batches ``(noise,)`` with noise of shape [dim], sigma * N(0, 1), independent between steps.

    Args:
        zeros: shape [dim]; the noise gets its size, dtype and device.
        sigma: standard deviation; 0 gives ``zeros`` itself in every step.
        steps_per_epoch: steps per epoch; the noise of an epoch is drawn at once, on the CPU.
        shuffle_seed: decides the noise, together with the epoch's number.
    """

    def __init__(
        self, zeros: torch.Tensor, sigma: float, steps_per_epoch: int, shuffle_seed: int
    ) -> None:
        super().__init__(steps_per_epoch, shuffle_seed)
        self.zeros = zeros
        self.sigma = sigma

    def epoch(self, epoch: int) -> Callable[[int], Tensors]:
        if self.sigma == 0:
            return lambda index: (self.zeros,)
        generator = torch.Generator().manual_seed(epoch_seed(self.shuffle_seed, epoch))
        noise = torch.randn(len(self), len(self.zeros), generator=generator).mul_(self.sigma)
        noise = noise.to(self.zeros)
        return lambda index: (noise[index],)


class GradientNoise(InMemoryData):
    """Noise to add to the gradient of a function of ``dim`` numbers, in every step.

    At one seed all optimizers get the same noise. There is no validation set, and the training set
    is a single row of zeros.

    Args:
        dim: number of the function's parameters.
        sigma: standard deviation of each component; 0 for exact gradients.
        steps_per_epoch: steps per epoch.
        shuffle_seed: decides the noise.

    Raises:
        ValueError: a number out of range.
    """

    def __init__(
        self, dim: int, sigma: float = 0.0, steps_per_epoch: int = 100, shuffle_seed: int = 0
    ) -> None:
        super().__init__(None, steps_per_epoch, shuffle_seed)
        self.dim = whole_number("data.dim", dim, least=1)
        self.sigma = standard_deviation("data.sigma", sigma)

    def make(self) -> tuple[Tensors, None]:
        return (torch.zeros(1, self.dim, dtype=torch.float32),), None

    def batches(self, tensors: Tensors) -> BatchStream:
        return NoiseBatches(tensors[0][0], self.sigma, self.steps_per_epoch, self.shuffle_seed)
