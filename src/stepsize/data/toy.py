"""Small synthetic data sets: a line, a noisy parabola, clouds of points, gradient noise."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from stepsize.config.schema import standard_deviation, whole_number
from stepsize.data.batches import BatchStream, Tensors, epoch_seed
from stepsize.data.module import InMemoryData


class Line(InMemoryData):
    """Fifteen points (x, y) near a line, each of shape [15, 1]; no validation set."""

    def make(self) -> tuple[Tensors, None]:
        points = [
            (3.4, 1.7), (5.4, 2.76), (6.71, 2.09), (6.89, 3.19), (6.93, 1.694),
            (4.16, 1.573), (9.779, 3.366), (6.182, 2.596), (7.59, 2.53), (2.167, 1.221),
            (7.042, 2.87), (10.791, 3.45), (5.31, 1.6), (7.997, 2.9), (3.1, 1.3),
        ]  # fmt: skip
        x, y = torch.tensor(points, dtype=torch.float32).T.unsqueeze(-1)
        return (x, y), None


class Curve(InMemoryData):
    """y = x^2 + noise * N(0, 1) for x uniform in [-1, 1], x and y of shape [points, 1].

    The validation set has as many points, drawn after the training set from the same generator.

    Args:
        points: number of training points.
        noise: standard deviation of y.
        seed: of the data, not of the run.
        batch_size, steps_per_epoch, shuffle_seed: see :class:`InMemoryData`.

    Raises:
        ValueError: a number out of range.
    """

    def __init__(
        self,
        points: int = 1000,
        noise: float = 0.1,
        seed: int = 0,
        batch_size: int | None = None,
        steps_per_epoch: int = 100,
        shuffle_seed: int = 0,
    ) -> None:
        super().__init__(batch_size, steps_per_epoch, shuffle_seed)
        self.points = whole_number("data.points", points, least=1)
        self.noise = standard_deviation("data.noise", noise)
        self.seed = whole_number("data.seed", seed, least=0)

    def make(self) -> tuple[Tensors, Tensors]:
        random = np.random.default_rng(self.seed)
        return self._draw(random), self._draw(random)

    def _draw(self, random: np.random.Generator) -> Tensors:
        x = random.uniform(-1, 1, size=(self.points, 1))
        y = x**2 + self.noise * random.standard_normal((self.points, 1))
        return torch.tensor(x, dtype=torch.float32), torch.tensor(y, dtype=torch.float32)


class Blobs(InMemoryData):
    """Two Gaussian clouds in the plane: x of shape [n, 2] and y [n], n = 2 * points_per_class.

    Class 1 is N(1.7, 1) + 1 in each coordinate, class 0 is N(-1.7, 1) + 1; int64. The validation
    set has as many points, drawn after the training set from the same generator.

    Args:
        points_per_class: number of training points in each class.
        seed: of the data, not of the run. With some seeds a line separates the two classes, and the
            logistic loss has no minimum; with the default seed it has one.
        batch_size, steps_per_epoch, shuffle_seed: see :class:`InMemoryData`.

    Raises:
        ValueError: a number out of range.
    """

    def __init__(
        self,
        points_per_class: int = 100,
        seed: int = 0,
        batch_size: int | None = None,
        steps_per_epoch: int = 100,
        shuffle_seed: int = 0,
    ) -> None:
        super().__init__(batch_size, steps_per_epoch, shuffle_seed)
        self.points_per_class = whole_number("data.points_per_class", points_per_class, least=1)
        self.seed = whole_number("data.seed", seed, least=0)

    def make(self) -> tuple[Tensors, Tensors]:
        random = np.random.default_rng(self.seed)
        return self._draw(random), self._draw(random)

    def _draw(self, random: np.random.Generator) -> Tensors:
        y = np.repeat([1, 0], self.points_per_class)
        centre = np.where(y == 1, 1.7, -1.7)[:, None] + 1
        x = centre + random.standard_normal((len(y), 2))
        return torch.tensor(x, dtype=torch.float32), torch.tensor(y, dtype=torch.int64)


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
