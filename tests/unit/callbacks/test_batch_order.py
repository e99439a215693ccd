"""Loaders draw from generators of their own, and the model's generators stay where they are."""

import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from own_loaders import LOADERS

from stepsize.callbacks.batch_order import BatchOrder, OrderedLoaders

WITHOUT_WORKERS = [name for name in LOADERS if "worker" not in name and name != "iterator"]


def ordered(kind, epoch=0):
    progress = SimpleNamespace(current=SimpleNamespace(processed=epoch))
    trainer = SimpleNamespace(fit_loop=SimpleNamespace(epoch_progress=progress))
    return OrderedLoaders(LOADERS[kind](), "max_size_cycle", trainer, BatchOrder(0))


def drawn():
    return torch.rand(()).item(), np.random.rand(), np.random.randn(), random.random()


def seeded():
    torch.manual_seed(1)
    np.random.seed(1)
    random.seed(1)


@pytest.mark.parametrize("kind", WITHOUT_WORKERS)
def test_an_epoch_leaves_all_generators_as_they_were(kind):
    seeded()
    expected = drawn()
    seeded()
    batches = [batch for batch, *_ in ordered(kind)]  # to its end, and beyond
    assert len(batches) >= 7
    assert drawn() == expected


@pytest.mark.parametrize("kind", [name for name in WITHOUT_WORKERS if name != "unshuffled"])
def test_another_epoch_has_other_batches_and_the_same_epoch_the_same(kind):
    def epoch(number):
        seeded()
        return str([batch for batch, *_ in ordered(kind, number)])

    assert epoch(3) == epoch(3)
    assert epoch(3) != epoch(4)
