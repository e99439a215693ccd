"""Measures how many runs to evaluate at once, and whether compiling them pays."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from stepsize.run.errors import one_line
from stepsize.vectorized.batches import Batch
from stepsize.vectorized.objective import StackedObjective, has_compiler

log = logging.getLogger(__name__)

_CHUNK_SIZES = (32, 128, 512, 2048)  # in runs; the fastest one is used
# Compiling takes 4 to 12 seconds, and makes evaluations two to seven times as fast.
_SECONDS_WORTH_COMPILING = 15.0
_COMPILED_CHUNK_SIZE = 64


class Choice(NamedTuple):
    """The program that was chosen.

    Attributes:
        description: the program and its speed, for the log.
        seconds_compiling: the time spent compiling.
    """

    description: str
    seconds_compiling: float = 0.0


def autotune(
    objective: StackedObjective, weights: Tensor, batch: Batch, steps: int, compile: bool | None
) -> Choice:
    """Set an objective to its fastest program for some runs.

    Args:
        objective: the objective to set.
        weights: of all runs, [runs, columns].
        batch: a batch of these runs.
        steps: the number of evaluations that training will take.
        compile: whether to compile; None compiles where it saves time.
    """
    runs = len(weights)
    scratch = torch.empty_like(weights)
    per_run: dict[int | None, float] = {}
    sizes = [None, *sorted({min(size, runs) for size in (*_CHUNK_SIZES, runs)})]
    for size in sizes if runs > 1 else [None]:
        objective.trace(weights, batch, size)
        per_run[size] = _per_run(objective, weights, batch, scratch, size or 1)
    # A partly filled chunk costs as much as a full one.
    cost = {
        size: seconds * (runs if size is None else -(-runs // size) * size)
        for size, seconds in per_run.items()
    }
    best = min(cost, key=lambda size: cost[size])
    objective.chunk_size = best
    if compile is None:
        compile = cost[best] * steps > _SECONDS_WORTH_COMPILING
    if compile and runs > 1:
        return _compile(objective, weights, batch, scratch, eager=per_run[best])
    chunks = "one run at a time" if best is None else f"in chunks of {best} runs"
    return Choice(f"{chunks}, {per_run[best] * 1e6:.1f} us per run and step")


def _compile(
    objective: StackedObjective, weights: Tensor, batch: Batch, scratch: Tensor, eager: float
) -> Choice:
    on_cpu = weights.device.type == "cpu"
    if not has_compiler(weights.device):
        log.info("not compiled, and a few times slower, because no C++ compiler was found")
        return Choice("not compiled, because no C++ compiler was found")
    before = objective.chunk_size
    size = min(_COMPILED_CHUNK_SIZE, len(weights)) if on_cpu else before or len(weights)
    began = time.perf_counter()
    try:
        objective.compile(weights, batch, size)
    except Exception as error:
        log.debug("compiling failed", exc_info=True)
        log.info("not compiled, and a few times slower: %s", one_line(error))
        return Choice(f"not compiled: {type(error).__name__}", time.perf_counter() - began)
    took = time.perf_counter() - began
    seconds = _per_run(objective, weights, batch, scratch, size)
    speed = f"{seconds * 1e6:.1f} us per run and step compiled, {eager * 1e6:.1f} not compiled"
    if seconds > eager:  # large matrix products are no faster when they are compiled
        objective.trace(weights, batch, before)
        return Choice(f"not compiled, because it is slower: {speed}", took)
    return Choice(f"compiled in {took:.1f} s, in chunks of {size} runs, {speed}", took)


def _per_run(
    objective: StackedObjective, weights: Tensor, batch: Batch, scratch: Tensor, count: int
) -> float:
    """Seconds per run and evaluation, measured on the first ``count`` runs."""
    part, rows = batch.first(count), slice(0, count)

    def evaluate() -> Any:
        return objective.gradients(weights[rows], part, scratch[rows], with_metrics=False)

    evaluate()
    return min(_seconds(evaluate, weights.device) for _ in range(3)) / count


def _seconds(call: Callable[[], Any], device: torch.device) -> float:
    began = time.perf_counter()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began
