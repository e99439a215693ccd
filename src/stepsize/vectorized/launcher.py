"""Trains a sweep's jobs, vectorized where eligible, distributed over forked processes."""

from __future__ import annotations

import logging
import multiprocessing
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

import torch

from stepsize.run.errors import one_line
from stepsize.run.folder import EarlierAttempt
from stepsize.sweeps.events import Line, Working, listen, tell
from stepsize.vectorized.eligibility import Reason
from stepsize.vectorized.folders import write_folders
from stepsize.vectorized.groups import Group, group_jobs, pick_device
from stepsize.vectorized.templates import ComposedJob
from stepsize.vectorized.training import NotVectorizableError, Training

log = logging.getLogger(__name__)

_SECONDS_BETWEEN_CHECKS = 0.5
_SIGNALLED = (130, 143)  # exit statuses after Ctrl-C and SIGTERM
_FEWEST = 4  # runs per process; for fewer, starting a process takes longer than training them

Share = TypeVar("Share")
Result = TypeVar("Result")


def train_jobs(jobs: Sequence[ComposedJob], processes: int) -> tuple[dict[int, str], bool]:
    """Train all eligible jobs vectorized, and write their folders.

    Args:
        jobs: of a sweep, each with a folder of its own.
        processes: how many to use on a CPU; a GPU uses one.

    Returns:
        By position, the reason why a job must be trained individually; and whether this process
        has trained. Then it must not be forked any more: a fork copies the memory of OpenMP's and
        the compiler's threads but not the threads, and would wait for them forever.
    """
    reasons: dict[int, str] = {}
    fresh = []
    for position, job in enumerate(jobs):
        earlier = EarlierAttempt.read(job.folder)
        if not earlier.begun:
            fresh.append(position)
        elif earlier.differences(job.unresolved) or not earlier.is_done:
            reasons[position] = Reason.EARLIER_FILES.value
    shares = _shares(jobs, fresh, processes)
    shared_jobs = [[jobs[position] for position in share] for share in shares]
    several = len(shares) > 1
    found = fork_map(_train_share, shared_jobs) if several else map(_train_share, shared_jobs)
    for share, own in zip(shares, found, strict=True):
        reasons.update({share[index]: reason for index, reason in own.items()})
    return reasons, len(shares) == 1


def run_individually(run: Callable[[int], object], numbers: Sequence[int], processes: int) -> bool:
    """Call ``run`` for each number, distributed over forks of this process where that is safe.

    Args:
        run: trains one run, which writes its own folder.
        numbers: of the runs.
        processes: how many to use; 1 for this process itself.

    Returns:
        Whether this process has trained.
    """
    count = min(processes, len(numbers)) if sys.platform == "linux" else 1
    if count <= 1:
        for number in numbers:
            run(number)
        return bool(numbers)

    def work(share: Sequence[int]) -> None:
        for number in share:
            run(number)

    fork_map(work, [numbers[index::count] for index in range(count)])
    return False


def tell_individual_runs(reasons: dict[int, str]) -> None:
    """Tell how many runs are trained individually, in one line for each reason."""
    for reason, count in Counter(reasons.values()).items():
        runs = "1 run" if count == 1 else f"{count} runs"
        tell(Line(f"{runs} trained individually: {reason}"))


def _train_share(jobs: Sequence[ComposedJob]) -> dict[int, str]:
    groups, reasons = group_jobs([job.config for job in jobs])
    for group in groups:
        runs = len(group.numbers)
        tell(Working("compiling", runs))
        try:
            training = Training(group, on_step=_progress_teller(group))
            outcomes = training.run()
        except NotVectorizableError as error:
            reasons.update(dict.fromkeys(group.numbers, one_line(error)))
            continue
        except Exception as error:  # trained individually, the run at fault shows its error
            log.debug("vectorized training failed", exc_info=True)
            reason = Reason.TRAINING_FAILED.format(one_line(error))
            reasons.update(dict.fromkeys(group.numbers, reason))
            continue
        tell(Working("writing", runs))
        write_folders([jobs[n] for n in group.numbers], outcomes, training.description)
    tell(Working(""))
    return reasons


def _progress_teller(group: Group) -> Callable[[int], None]:
    """Tells a group's step twice a second, because folders are written at its end."""
    runs, steps = len(group.numbers), group.length.steps
    next_time = 0.0

    def on_step(step: int) -> None:
        nonlocal next_time
        now = time.monotonic()
        if now > next_time:
            next_time = now + _SECONDS_BETWEEN_CHECKS
            tell(Working("training", runs, step, steps))

    return on_step


def _shares(jobs: Sequence[ComposedJob], fresh: Sequence[int], processes: int) -> list[list[int]]:
    """The positions of each process's jobs; jobs of one optimizer are kept adjacent."""
    cpu = all(_on_cpu(jobs[position]) for position in fresh)
    number = min(processes, len(fresh) // _FEWEST) if cpu else 1
    if number <= 1:
        return [list(fresh)] if fresh else []
    ordered = sorted(fresh, key=lambda p: (jobs[p].choices["task"], jobs[p].choices["optimizer"]))
    bounds = [len(ordered) * index // number for index in range(number + 1)]
    return [ordered[a:b] for a, b in pairwise(bounds)]


def _on_cpu(job: ComposedJob) -> bool:
    try:
        return pick_device(job.config["trainer"].get("accelerator", "auto")).type == "cpu"
    except ValueError:
        return True  # the run will fail with this error


def fork_map(work: Callable[[Share], Result], shares: Sequence[Share]) -> list[Result]:
    """Call ``work`` for each share in a forked process with one thread, all at the same time.

    What the forks print and tell is passed on by this process, so that no lines are mixed.

    However this process ends, by Ctrl-C, SIGTERM or SIGKILL, the forks end too. Otherwise they
    would write into the same folders as a second command.

    Args:
        work: is called in the fork; its result is sent back.
        shares: one for each process.

    Raises:
        RuntimeError: a process has died.
    """
    # A fork has all modules imported. Threads, which it would lack, start with training only.
    context: Any = multiprocessing.get_context("fork" if hasattr(os, "fork") else "spawn")
    workers = []
    try:
        for share in shares:
            receiver, sender = context.Pipe(duplex=False)
            printed, output = os.pipe()
            arguments = (work, share, sender, output, os.getpid())
            worker = context.Process(target=_work, args=arguments)
            worker.start()
            sender.close()
            os.close(output)
            threading.Thread(target=_pass_on, args=(printed,), daemon=True).start()
            workers.append((worker, receiver))
        return _results(workers)
    finally:
        for worker, _ in workers:
            worker.terminate()  # an interrupted run saves a checkpoint and its status
            worker.join()


@dataclass(frozen=True)
class _Result:
    """What a fork has returned."""

    value: Any


def _results(workers: Sequence[tuple[Any, Connection]]) -> list[Any]:
    """The results of all forks; passes on what they tell until then."""
    results: dict[int, Any] = {}
    waiting = {receiver: index for index, (_, receiver) in enumerate(workers)}
    while waiting:
        for ready in wait(list(waiting)):
            assert isinstance(ready, Connection)
            index = waiting[ready]
            worker = workers[index][0]
            try:
                message = ready.recv()
            except EOFError:
                worker.join()
                status = worker.exitcode
                if status in _SIGNALLED:
                    raise SystemExit(status) from None
                raise RuntimeError(f"a process of this sweep died, exit code {status}") from None
            if isinstance(message, _Result):
                results[index] = message.value
                del waiting[ready]
                worker.join()
            else:
                tell(message)
    return [results[index] for index in range(len(workers))]


def _pass_on(printed: int) -> None:
    """Print the lines of a fork from this process."""
    with os.fdopen(printed, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            tell(Line(line.rstrip("\n")))


def _work(
    work: Callable[[Any], Any], share: Any, sender: Connection, output: int, parent: int
) -> None:
    threading.Thread(target=_exit_with, args=(parent,), daemon=True).start()
    torch.set_num_threads(1)
    sys.stdout.flush()
    for descriptor in (1, 2):
        os.dup2(output, descriptor)
    listen(sender.send)
    try:
        sender.send(_Result(work(share)))
    except KeyboardInterrupt:
        sys.exit(130)  # the parent reports the interruption


def _exit_with(parent: int) -> None:
    """Exit once the parent process has ended."""
    while os.getppid() == parent:
        time.sleep(_SECONDS_BETWEEN_CHECKS)
    os._exit(1)
