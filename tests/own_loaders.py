"""Data modules with loaders of their own, for runs that are stopped and resumed."""

import numpy as np
import pytorch_lightning as pl
import torch
from torch.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    Sampler,
    TensorDataset,
    WeightedRandomSampler,
)

POINTS, SIZE = 40, 6  # 7 batches in an epoch


def points():
    x = torch.linspace(-1, 1, POINTS)[:, None]
    return x, 3 * x + 1


class Augmented(Dataset):
    """Draws from the generators of torch and numpy whenever a point is read."""

    def __len__(self):
        return POINTS

    def __getitem__(self, index):
        x, y = (tensor[index] for tensor in points())
        return x + 0.1 * torch.rand(1) + 0.1 * np.float32(np.random.rand()), y


class OwnGenerator(Sampler):
    """An order from a generator that the sampler keeps from epoch to epoch."""

    def __init__(self):
        self.random = np.random.default_rng(7)

    def __len__(self):
        return POINTS

    def __iter__(self):
        return iter(self.random.permutation(POINTS).tolist())


class Stream(IterableDataset):
    """Points in a drawn order, without a position that could be saved."""

    def __iter__(self):
        x, y = points()
        return iter([(x[index], y[index]) for index in torch.randperm(POINTS)])


class WithState:
    """Batches without end, and a position that is saved."""

    def __init__(self):
        self.position = 0

    def __len__(self):
        return 7

    def __iter__(self):
        x, y = points()
        for _ in range(7):
            start = self.position % (POINTS - SIZE)
            self.position += 1
            yield x[start : start + SIZE] + torch.rand(1), y[start : start + SIZE]

    def state_dict(self):
        return {"position": self.position}

    def load_state_dict(self, state):
        self.position = state["position"]


def plain(**options):
    return DataLoader(TensorDataset(*points()), SIZE, **options)


LOADERS = {
    "unshuffled": plain,
    "shuffled": lambda: plain(shuffle=True),
    "workers": lambda: plain(shuffle=True, num_workers=2),
    "persistent workers": lambda: plain(shuffle=True, num_workers=2, persistent_workers=True),
    "own generator": lambda: plain(shuffle=True, generator=torch.Generator()),
    "own sampler": lambda: plain(sampler=OwnGenerator()),
    "weighted": lambda: plain(sampler=WeightedRandomSampler([1.0] * POINTS, POINTS)),
    "replacement": lambda: plain(
        sampler=RandomSampler(range(POINTS), replacement=True, num_samples=POINTS)
    ),
    "augmented": lambda: DataLoader(Augmented(), SIZE, shuffle=True),
    "augmented by workers": lambda: DataLoader(Augmented(), SIZE, shuffle=True, num_workers=2),
    "two": lambda: [plain(shuffle=True), DataLoader(Augmented(), 15, shuffle=True)],
    "stream": lambda: DataLoader(Stream(), SIZE),
    "with state": WithState,
    "iterator": lambda: iter(plain(shuffle=True)),
}


class Own(pl.LightningDataModule):
    """A data module with one of ``LOADERS``, and a validation loader that draws too."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind

    def train_dataloader(self):
        return LOADERS[self.kind]()

    def val_dataloader(self):
        return DataLoader(Augmented(), SIZE)


def own(kind, optimizer="adam"):
    """Overrides of a run with this loader, and with a module that draws at each evaluation."""
    return [
        "task=line", "~data", f"+data={{_target_: own_loaders.Own, kind: {kind}}}",
        "model._target_=resuming.JitteryOfAll", "monitor=train/loss", "target=null",
        f"optimizer={optimizer}", "allowed_packages=[own_loaders,resuming]", "logger=none",
        "callbacks.plot=null", "trainer.val_check_interval=8", "trainer.log_every_n_steps=3",
    ]  # fmt: skip
