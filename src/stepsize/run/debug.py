"""The Trainer of trainer=debug: a few steps, with warnings as errors."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl
from lightning_fabric.utilities.warnings import PossibleUserWarning

log = logging.getLogger(__name__)

_LIMITS = ("limit_train_batches", "max_epochs", "limit_val_batches", "max_steps")


class DebugTrainer(pl.Trainer):
    """Lightning's Trainer, in which every warning is an error.

    Lightning's hints that something could be faster or could be meant otherwise stay warnings.

    Args:
        **arguments: of ``pl.Trainer``; one line says which of them make the run short.
    """

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        log.info(
            "trainer=debug: warnings are errors; limit_train_batches=%s, max_epochs=%s and "
            "limit_val_batches=%s hold whatever max_steps=%s says",
            *(arguments.get(key) for key in _LIMITS),
        )

    def fit(self, *args: Any, **kwargs: Any) -> None:
        with _warnings_as_errors():
            super().fit(*args, **kwargs)

    def validate(self, *args: Any, **kwargs: Any) -> Any:
        with _warnings_as_errors():
            return super().validate(*args, **kwargs)


@contextmanager
def _warnings_as_errors() -> Iterator[None]:
    with warnings.catch_warnings():
        # Those that are ignored on purpose stay ignored.
        warnings.filters[:] = [entry for entry in warnings.filters if entry[0] == "ignore"]  # type: ignore[index]
        warnings.filterwarnings("error", append=True)
        warnings.filterwarnings("default", category=PossibleUserWarning)
        yield
