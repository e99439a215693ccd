"""Three real data sets from data/files; its README names their sources and licences."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from stepsize.config.schema import whole_number
from stepsize.data.batches import Tensors
from stepsize.data.module import InMemoryData

_FILES = Path(__file__).parent / "files"
_BIAS_TOKEN, _PADDING_TOKEN = 64, 65


def read(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Read ``files/NAME.csv.gz``: features [n, columns] and targets [n] as stored, in float64."""
    table = np.loadtxt(_FILES / f"{name}.csv.gz", delimiter=",", skiprows=1)
    return table[:, :-1], table[:, -1]


class Diabetes(InMemoryData):
    """Progression of diabetes in 442 patients: x [442, 10], y [442, 1]; no validation set.

    Every column of x and y has mean 0 and (population) standard deviation 1, computed in float64.
    """

    def make(self) -> tuple[Tensors, None]:
        x, y = read("diabetes")
        features, target = _standardise(x), _standardise(y[:, None])
        return (_float(features), _float(target)), None


class BreastCancer(InMemoryData):
    """Tumours, 0 malignant and 1 benign: x [569, 30], y [569] int64; no validation set.

    Every column of x has mean 0 and (population) standard deviation 1, computed in float64.
    """

    def make(self) -> tuple[Tensors, None]:
        x, y = read("breast_cancer")
        return (_float(_standardise(x)), _long(y)), None


class Digits(InMemoryData):
    """Handwritten digits: 1,437 for training and 360 for validation; y int64, 0 to 9.

    Intensities have mean 0 and standard deviation 1 over all pixels of all training images.

    Args:
        image: True for x of shape [n, 1, 8, 8], False for [n, 64].
        seed: of the split, not of the run. Each class is split in the same proportion.
        batch_size, steps_per_epoch, shuffle_seed: see :class:`InMemoryData`.

    Raises:
        ValueError: a number out of range.
    """

    def __init__(
        self,
        image: bool = True,
        seed: int = 0,
        batch_size: int | None = 64,
        steps_per_epoch: int = 100,
        shuffle_seed: int = 0,
    ) -> None:
        super().__init__(batch_size, steps_per_epoch, shuffle_seed)
        self.image = image
        self.seed = whole_number("data.seed", seed, least=0)

    def make(self) -> tuple[Tensors, Tensors]:
        pixels, y = read("digits")
        train, val = _split(y, self.seed)
        x = _float((pixels - pixels[train].mean()) / pixels[train].std())
        if self.image:
            x = x.reshape(-1, 1, 8, 8)
        target = _long(y)
        return (x[train], target[train]), (x[val], target[val])


class DigitsTokens(InMemoryData):
    """The same digits and split as :class:`Digits`, each image a bag of (pixel, intensity) tokens.

    Batches are (tokens [n, 43] int64, intensity [n, 43] in [0, 1], y [n] int64). An image's tokens
    are the indices of its non-zero pixels, 0 to 63; then token 64 with intensity 1, which acts as
    the bias; then padding, token 65 with intensity 0.

    Args:
        seed: of the split, not of the run.
        batch_size, steps_per_epoch, shuffle_seed: see :class:`InMemoryData`.

    Raises:
        ValueError: a number out of range.
    """

    def __init__(
        self,
        seed: int = 0,
        batch_size: int | None = 64,
        steps_per_epoch: int = 100,
        shuffle_seed: int = 0,
    ) -> None:
        super().__init__(batch_size, steps_per_epoch, shuffle_seed)
        self.seed = whole_number("data.seed", seed, least=0)

    def make(self) -> tuple[Tensors, Tensors]:
        pixels, y = read("digits")
        tokens, intensity = _bags(pixels / 16)
        train, val = _split(y, self.seed)
        everything = (torch.from_numpy(tokens), _float(intensity), _long(y))
        return tuple(t[train] for t in everything), tuple(t[val] for t in everything)


def _bags(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Turn images [n, 64] into tokens and intensities, both [n, most non-zero pixels + 1]."""
    length = int((images > 0).sum(1).max()) + 1
    tokens = np.full((len(images), length), _PADDING_TOKEN, dtype=np.int64)
    intensity = np.zeros((len(images), length))
    for row, image in enumerate(images):
        lit = np.flatnonzero(image)
        tokens[row, : len(lit) + 1] = [*lit, _BIAS_TOKEN]
        intensity[row, : len(lit) + 1] = [*image[lit], 1.0]
    return tokens, intensity


def _split(y: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Split into training and validation indices, each ascending.

    The points are shuffled, then sorted by class; every fifth is for validation, so that a fifth of
    each class is.
    """
    shuffled = np.random.default_rng(seed).permutation(len(y))
    by_class = shuffled[np.argsort(y[shuffled], kind="stable")]
    val = np.sort(by_class[::5])
    return np.setdiff1d(by_class, val), val


def _standardise(columns: np.ndarray) -> np.ndarray:
    return (columns - columns.mean(0)) / columns.std(0)


def _float(values: np.ndarray) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32)


def _long(values: np.ndarray) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.int64)
