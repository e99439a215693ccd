"""The order of training batches: a function of seed and epoch, for every loader, and resumable.

A DataLoader draws its order, and the seed of its workers, from torch's global generator. Dropout,
the extra evaluations of LBFGS, a validation or a resume move that generator, so that two optimizers
would see other batches at one seed. Here a loader draws from generators of its own: before batch k
of an epoch, those of torch, numpy and Python are seeded from the run's seed, the epoch and k, and
put back after it. Generators that a loader, its samplers or its data set hold as attributes are
seeded at the beginning of each epoch.

A resumed run takes the batches of its unfinished epoch again, without training, and continues with
the next. This needs no state of the loader.
"""

from __future__ import annotations

import logging
import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.seed import _collect_rng_states, _set_rng_states
from lightning_fabric.utilities.types import _Stateful
from pytorch_lightning.trainer.connectors.data_connector import _DataLoaderSource
from pytorch_lightning.utilities import CombinedLoader
from pytorch_lightning.utilities.combined_loader import _SUPPORTED_MODES
from torch.utils.data import DataLoader, IterableDataset, TensorDataset, default_collate

from stepsize.callbacks.lightning_overhead import LeanCallback
from stepsize.data import BatchStream

log = logging.getLogger(__name__)


class BatchOrder(LeanCallback):
    """Gives every training loader an order of its own, and continues it after a resume.

    The loaders of :class:`stepsize.data.InMemoryData` have such an order already. A loader that
    may not give the same batches again is announced in one line before training.

    Args:
        seed: the run's.

    Attributes:
        epoch: the epoch that a checkpoint continues; 0 in a new run.
        taken: the batches of that epoch that were trained on before.
        states: of loaders that have a ``state_dict``.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.epoch = self.taken = 0
        self.states: list[dict[str, Any]] = []
        self._announced: set[str] = set()

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if stage == "fit":
            source = trainer.fit_loop._data_source
            trainer.fit_loop._data_source = _OrderedSource(
                source.instance, source.name, trainer, self
            )

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        # True of Lightning alone: here such a loader is resumed.
        warnings.filterwarnings("ignore", message="You're resuming from a checkpoint that ended")
        # Lightning restores its own counters later, and too late if configure_optimizers asks for
        # the run's length: the loader is made for that.
        loops = checkpoint["loops"]["fit_loop"]
        batches = loops["epoch_loop.batch_progress"]
        started = loops["epoch_progress"]["current"]["started"]
        self.taken = 0 if batches["is_last_batch"] else batches["current"]["ready"]
        self.epoch = started - 1 if self.taken else started
        self.states = loops["state_dict"].get("combined_loader", [])

    def announce(self, loaders: list[Any]) -> None:
        """Log one line for each loader that may not give the same batches again."""
        for loader in loaders:
            reason = _doubt(loader)
            if reason is not None and reason not in self._announced:
                self._announced.add(reason)
                log.warning("%s", reason)


class OrderedLoaders(CombinedLoader):
    """Lightning's combination of training loaders, with random numbers of their own.

    Args:
        loaders: what ``train_dataloader`` returned: a loader, or a collection of loaders.
        mode: how several are combined, as in ``CombinedLoader``.
        trainer: knows the epoch.
        order: the seed, and the position at which a resumed run begins.
    """

    def __init__(self, loaders: Any, mode: Any, trainer: pl.Trainer, order: BatchOrder) -> None:
        super().__init__(loaders, mode)
        self._trainer = trainer
        self._order = order
        self._batch: int | None = None  # of the epoch; None before its first

    def __iter__(self) -> OrderedLoaders:
        # The loaders' own iterators are made with the first batch: Lightning asks for an iterator
        # before it has set the samplers' epoch, and at times twice for an epoch.
        self._iterator = _SUPPORTED_MODES[self._mode]["iterator"](self.flattened, self._limits)
        self._batch = None
        return self

    def __next__(self) -> Any:
        if self._batch is None:
            self._begin_epoch()
        return self._next()

    def _begin_epoch(self) -> None:
        order = self._order
        progress: Any = self._trainer.fit_loop.epoch_progress.current
        self._epoch = max(order.epoch, progress.processed)
        self._batch = 0
        resumed = order.taken if self._epoch == order.epoch else 0
        stateful = all(isinstance(loader, _Stateful) for loader in self.flattened)
        if stateful and order.states and self._epoch == order.epoch:
            self._load_state_dicts(order.states)
            order.states = []
            self._batch = resumed
        with self._own_random_numbers():
            for loader in self.flattened if self._epoch > 0 else ():
                # Workers that persist draw no seed after their first epoch: start them, as the
                # run that was never stopped has.
                if getattr(loader, "persistent_workers", False) and loader._iterator is None:
                    iter(loader)
        with self._own_random_numbers():
            seed = _seed(order.seed, self._epoch, self._batch)
            for loader in self.flattened:
                _seed_generators(loader, seed)
            assert self._iterator is not None
            iter(self._iterator)
        while self._batch < resumed:
            self._next()

    def _next(self) -> Any:
        with self._own_random_numbers():
            batch = super().__next__()
        assert self._batch is not None
        self._batch += 1
        return batch

    @contextmanager
    def _own_random_numbers(self) -> Iterator[None]:
        assert self._batch is not None
        seed = _seed(self._order.seed, self._epoch, self._batch)
        torch_alone = self._batch > 0 and all(map(_draws_from_torch_alone, self.flattened))
        states = None if torch_alone else _collect_rng_states(include_cuda=False)
        torch_state = torch.get_rng_state()
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed CUDA too
        if states is not None:
            np.random.seed(seed)
            random.seed(seed)
        try:
            yield
        finally:  # also after the StopIteration that ends an epoch
            torch.set_rng_state(torch_state)
            if states is not None:
                _set_rng_states(states)


class _OrderedSource(_DataLoaderSource):
    """Where Lightning gets the training loaders; here they are wrapped."""

    def __init__(self, instance: Any, name: str, trainer: pl.Trainer, order: BatchOrder) -> None:
        super().__init__(instance, name)
        self._trainer = trainer
        self._order = order

    def dataloader(self) -> Any:
        found = super().dataloader()
        combined = found if isinstance(found, CombinedLoader) else None
        loaders = CombinedLoader(found).flattened if combined is None else combined.flattened
        if all(isinstance(loader, BatchStream) for loader in loaders):
            return found
        self._order.announce(loaders)
        mode = "max_size_cycle" if combined is None else combined._mode  # as in Lightning
        given = found if combined is None else combined.iterables
        return OrderedLoaders(given, mode, self._trainer, self._order)


def _seed(seed: int, epoch: int, batch: int) -> int:
    sequence = np.random.SeedSequence(seed, spawn_key=(epoch, batch))
    return int(sequence.generate_state(1)[0])


def _draws_from_torch_alone(loader: Any) -> bool:
    """Whether numpy's and Python's generators cannot move: to save them costs 0.2 ms a batch."""
    if not isinstance(loader, DataLoader):
        return False
    samplers = (loader.sampler, loader.batch_sampler)
    tensors = type(loader.dataset) is TensorDataset and loader.collate_fn is default_collate
    return (tensors or loader.num_workers > 0) and all(
        type(sampler).__module__.startswith("torch.utils.data") for sampler in samplers
    )


def _seed_generators(loader: Any, seed: int) -> None:
    """Seed the generators that a loader, its samplers and its data set hold as attributes."""
    batch_sampler = getattr(loader, "batch_sampler", None)
    dataset = getattr(loader, "dataset", None)
    holders = [
        loader, getattr(loader, "sampler", None), batch_sampler,
        getattr(batch_sampler, "sampler", None), dataset, getattr(dataset, "dataset", None),
    ]  # fmt: skip
    for holder in holders:
        for value in getattr(holder, "__dict__", {}).values():
            if isinstance(value, torch.Generator):
                value.manual_seed(seed)
            elif isinstance(value, np.random.Generator):
                bits: Any = value.bit_generator
                bits.state = type(bits)(seed).state
            elif isinstance(value, (np.random.RandomState, random.Random)):
                value.seed(seed)


def _doubt(loader: Any) -> str | None:
    """Why a loader may not give the same batches again; None where nothing speaks against it."""
    if isinstance(loader, _Stateful):
        return None
    dataset = getattr(loader, "dataset", None)
    if isinstance(dataset, IterableDataset):
        name = type(dataset).__name__
        return (
            f"the training data are an IterableDataset, {name}, whose position cannot be restored: "
            "a resumed run reads it again from its beginning, which is exact only if it gives the "
            "same samples again; a loader with state_dict and load_state_dict is restored"
        )
    if isinstance(loader, Iterator):
        return (
            f"the training loader is an iterator, {type(loader).__name__}, whose position cannot "
            "be restored, and which gives one epoch; return a DataLoader"
        )
    return None
