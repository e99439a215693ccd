"""What launchers tell of a sweep while they work, in this process or in forks of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Working:
    """What a process is doing.

    Attributes:
        phase: ``compiling``, ``training`` or ``writing``; "" once its work is done.
        runs: how many runs it is working on.
        step: of these runs.
        steps: at which they end.
        process: its number.
    """

    phase: str
    runs: int = 0
    step: int = 0
    steps: int = 0
    process: int = field(default_factory=os.getpid)


@dataclass(frozen=True)
class Line:
    """A line to print above the progress."""

    text: str


Event = Working | Line

_listener: Callable[[Event], None] | None = None


def listen(listener: Callable[[Event], None] | None) -> None:
    """Pass all further events of this process to ``listener``; None for nobody."""
    global _listener
    _listener = listener


def tell(event: Event) -> None:
    """Pass an event on; without a listener a line is printed."""
    if _listener is not None:
        _listener(event)
    elif isinstance(event, Line):
        print(event.text, flush=True)
