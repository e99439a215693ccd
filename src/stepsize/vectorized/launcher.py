"""The jobs of a sweep: what can be is trained together, in several processes; the rest is left."""

from __future__ import annotations

import logging
import multiprocessing
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from multiprocessing.connection import Connection
from typing import Any, TypeVar

import torch

from stepsize.run.errors import one_line
from stepsize.run.folder import EarlierAttempt
from stepsize.vectorized.folders import write_folders
from stepsize.vectorized.groups import Group, pick_device, sort_out
from stepsize.vectorized.templates import Composed
from stepsize.vectorized.training import CannotStackError, Training

log = logging.getLogger(__name__)

_SECONDS_BETWEEN_LINES = 10.0
_FEW = 4  # runs for which a second process is not worth its start


def train_jobs(jobs: Sequence[Composed], processes: int) -> tuple[dict[int, str], bool]:
    """Train what can be trained together, and leave its folders.

    Args:
        jobs: of a sweep, each with a folder of its own.
        processes: how many to use; on a GPU it is one.

    Returns:
        By the job's position why it must be run by itself. Then whether this process has computed,
        and must not be forked any more: a fork has the memory of the threads of OpenMP and of
        torch's compiler, and not the threads, and waits for them for ever.
    """
    left: dict[int, str] = {}
    fresh = []
    for position, job in enumerate(jobs):
        earlier = EarlierAttempt.read(job.folder)
        if not earlier.begun:
            fresh.append(position)
        elif earlier.differences(job.unresolved) or not earlier.is_done:
            left[position] = "an earlier attempt has left something in its folder"
    shares = _shares(jobs, fresh, processes)
    given = [[jobs[p] for p in share] for share in shares]
    several = len(shares) > 1
    parts = share_out(_train_share, given) if several else list(map(_train_share, given))
    for share, why in zip(shares, parts, strict=True):
        left.update({share[index]: reason for index, reason in why.items()})
    return left, len(shares) == 1


def run_apart(run: Callable[[int], object], numbers: Sequence[int], processes: int) -> bool:
    """Call ``run`` for each number, shared out among forks of this process where that is safe.

    Args:
        run: trains one run, whose folder says what came of it.
        numbers: of the runs.
        processes: how many; with one, or where a fork is not safe, it is this process itself.

    Returns:
        Whether this process has computed.
    """
    count = min(processes, len(numbers)) if sys.platform == "linux" else 1
    if count <= 1:
        for number in numbers:
            run(number)
        return bool(numbers)

    def work(share: Sequence[int]) -> None:
        for number in share:
            run(number)

    share_out(work, [numbers[index::count] for index in range(count)])
    return False


def tell_left(left: dict[int, str]) -> None:
    """Say once for each reason how many runs are trained one by one."""
    for reason, times in Counter(left.values()).items():
        log.info("%d run%s one by one: %s", times, "" if times == 1 else "s", reason)


def _train_share(jobs: Sequence[Composed]) -> dict[int, str]:
    groups, left = sort_out([job.config for job in jobs])
    for group in groups:
        try:
            training = Training(group, tell=_teller(group))
            log.info("%d runs together: %s", len(group.numbers), training.how)
            outcomes = training.run()
        except CannotStackError as error:
            left.update(dict.fromkeys(group.numbers, one_line(error)))
            continue
        except Exception as error:  # by themselves, these runs show whose mistake it is
            log.debug("training together ended with this error", exc_info=True)
            left.update(dict.fromkeys(group.numbers, f"together they failed: {one_line(error)}"))
            continue
        write_folders([jobs[n] for n in group.numbers], outcomes, training.how)
    return left


def _teller(group: Group) -> Callable[[int], None]:
    """Says now and then how far a group is, whose folders are written in the end."""
    began = time.monotonic()
    runs, steps = len(group.numbers), group.length.steps
    next_line = began + _SECONDS_BETWEEN_LINES

    def tell(step: int) -> None:
        nonlocal next_line
        now = time.monotonic()
        if now > next_line:
            next_line = now + _SECONDS_BETWEEN_LINES
            left = (now - began) / step * (steps - step)
            log.info("%d runs together: step %s of %s, %.0f s left", runs, f"{step:,}",
                     f"{steps:,}", left)  # fmt: skip

    return tell


def _shares(jobs: Sequence[Composed], fresh: Sequence[int], processes: int) -> list[list[int]]:
    """One share of the jobs for each process; runs of one optimizer stay together."""
    cpu = all(_on_cpu(jobs[position]) for position in fresh)
    number = min(processes, len(fresh) // _FEW) if cpu else 1
    if number <= 1:
        return [list(fresh)] if fresh else []
    ordered = sorted(fresh, key=lambda p: (jobs[p].choices["task"], jobs[p].choices["optimizer"]))
    bounds = [len(ordered) * index // number for index in range(number + 1)]
    return [ordered[a:b] for a, b in pairwise(bounds)]


def _on_cpu(job: Composed) -> bool:
    try:
        return pick_device(job.config["trainer"].get("accelerator", "auto")).type == "cpu"
    except ValueError:
        return True  # it will fail by itself


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
