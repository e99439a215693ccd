"""A data set of your own in memory: one method that returns the tensors.

    python train.py --config-dir examples/conf data=own_dataset allowed_packages=[examples]

``InMemoryData`` makes the batches: seeded, resumed at the right batch, and without the cost of a
DataLoader. A vectorized sweep trains on it too. For data that do not fit into memory, write a
LightningDataModule: see own_lightning_module.py.
"""

import numpy as np
import torch

from stepsize.data import InMemoryData


class Sine(InMemoryData):
    """y = sin(3 x) + noise * N(0, 1) for x uniform in [-1, 1]; x and y of shape [points, 1].

    Args:
        points: number of training points; there are as many for validation.
        noise: standard deviation of y.
        seed: of the data, not of the run: every run of a sweep sees the same points.
        **batches: ``batch_size``, ``steps_per_epoch`` and ``shuffle_seed`` of ``InMemoryData``.
    """

    def __init__(self, points: int, noise: float, seed: int, **batches: int | None) -> None:
        super().__init__(**batches)
        self.points, self.noise, self.seed = points, noise, seed

    def make(self) -> tuple[tuple[torch.Tensor, ...], tuple[torch.Tensor, ...]]:
        """The training set and the validation set; None instead of the second if there is none."""
        # A generator of its own, so that the data do not depend on what was drawn before.
        random = np.random.default_rng(self.seed)
        return self.draw(random), self.draw(random)

    def draw(self, random: np.random.Generator) -> tuple[torch.Tensor, ...]:
        x = random.uniform(-1, 1, size=(self.points, 1))
        y = np.sin(3 * x) + self.noise * random.standard_normal(x.shape)
        return torch.tensor(x, dtype=torch.float32), torch.tensor(y, dtype=torch.float32)
