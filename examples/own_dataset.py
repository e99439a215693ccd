"""A data set of your own: a sine with a few outliers, in place of the noisy parabola.

    python train.py --config-dir examples/conf data=own_dataset 'allowed_packages=[examples]'

A subclass of InMemoryData writes one method, `make`. Batches, their order, the device and resuming
in the middle of an epoch are then done. For data that do not fit into memory, see the
LightningDataModule in own_lightning_module.py.
"""

from __future__ import annotations

import torch

from stepsize.data import InMemoryData, Tensors


class SineWithOutliers(InMemoryData):
    """y = sin(3 x) for x in [-1, 1], where some y are shifted upwards.

    Args:
        points: number of training points, and of validation points.
        outliers: share of the training points that are shifted, 0 to 1.
        seed: of the data.
        **batches: batch_size, steps_per_epoch and shuffle_seed of the base class.
    """

    def __init__(self, points: int, outliers: float, seed: int, **batches: int | None) -> None:
        super().__init__(**batches)  # type: ignore[arg-type]
        self.points, self.outliers, self.seed = points, outliers, seed

    def make(self) -> tuple[Tensors, Tensors]:
        """Make the training set and the validation set: inputs first, the target last."""
        # A generator of its own: the data depend on the data's seed only. If they came from the
        # global generator, another seed of the run would also be another data set.
        random = torch.Generator().manual_seed(self.seed)
        x, y = self._draw(random)
        shifted = torch.rand(self.points, 1, generator=random) < self.outliers
        return (x, y + 2 * shifted), self._draw(random)

    def _draw(self, random: torch.Generator) -> Tensors:
        x = 2 * torch.rand(self.points, 1, generator=random) - 1
        return x, torch.sin(3 * x)
