"""Work shared out among forks of this process, which end when it does."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Any, TypeVar

import torch

Share = TypeVar("Share")
Answer = TypeVar("Answer")

_SECONDS_BETWEEN_LOOKS = 0.5


def share_out(work: Callable[[Share], Answer], shares: Sequence[Share]) -> list[Answer]:
    """Call ``work`` for each share at the same time, in a process with one thread for each.

    However this process ends, by Ctrl-C, SIGTERM or kill -9, the others do not go on: a second
    command would find them writing into the folders that it writes to.

    Args:
        work: what is done; its answer is sent back.
        shares: one for each process.

    Raises:
        RuntimeError: a process has died.
    """
    # A fork has everything imported; threads that it would lack have not begun before training.
    context: Any = multiprocessing.get_context("fork" if hasattr(os, "fork") else "spawn")
    workers = []
    try:
        for share in shares:
            ours, theirs = context.Pipe(duplex=False)
            worker = context.Process(target=_work, args=(work, share, theirs, os.getpid()))
            worker.start()
            theirs.close()
            workers.append((worker, ours))
        return [_answer(worker, pipe) for worker, pipe in workers]
    finally:
        for worker, _ in workers:
            worker.terminate()  # a run that is cut off saves, and says so
            worker.join()


def _answer(worker: Any, pipe: Connection) -> Any:
    try:
        answer = pipe.recv()
    except EOFError:
        worker.join()
        raise RuntimeError(f"a process of this sweep died, exit code {worker.exitcode}") from None
    worker.join()
    return answer


def _work(work: Callable[[Any], Any], share: Any, pipe: Connection, parent: int) -> None:
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    torch.set_num_threads(1)
    try:
        pipe.send(work(share))
    except KeyboardInterrupt:
        sys.exit(130)  # told by the process that everyone waits for


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    os._exit(1)
