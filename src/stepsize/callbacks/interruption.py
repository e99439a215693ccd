"""Ctrl-C and SIGTERM: a run stops between two steps, and its checkpoint is saved."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import pytorch_lightning as pl

# By signal: its name in result.json.
NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}


class Interrupted(SystemExit):
    """A signal has ended the run; the exit status is 128 + its number, as shells count.

    Attributes:
        reason: ``Ctrl-C`` or ``SIGTERM``.
    """

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.reason = NAMES[signal.Signals(number)]


class Interruption(pl.Callback):
    """Makes Ctrl-C end a run as SIGTERM does.

    Lightning ends a run at SIGTERM between two steps, so that its checkpoint continues it bit for
    bit; at Ctrl-C it ends at once, with exit status 1. A second Ctrl-C ends the run at once, and
    outside of training so do both signals.

    Attributes:
        number: of the first signal; None while there is none.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self._trains = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Handle both signals within the block; one that the shell ignores stays ignored."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in NAMES}
        handled = [number for number, handler in before.items() if handler is not signal.SIG_IGN]
        for number in handled:
            signal.signal(number, self._receive)
        try:
            yield
        finally:
            for number in handled:
                signal.signal(number, before[number])

    def ended_by(self) -> Interrupted:
        """The exception that tells which signal has ended the run."""
        return Interrupted(self.number or signal.SIGTERM)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._trains = True

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._trains = False

    def _receive(self, number: int, frame: FrameType | None) -> None:
        first = self.number is None
        self.number = self.number or number
        if number == signal.SIGTERM and self._trains:
            return  # Lightning's own handler, which has called this one, ends the run
        if not (first and self._trains):
            raise Interrupted(number)
        os.kill(os.getpid(), signal.SIGTERM)
