"""How many runs to evaluate at once, and whether to compile: measured, not guessed."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from stepsize.run.errors import one_line
from stepsize.vectorized.batches import Batch
from stepsize.vectorized.graphs import compiler_at_hand
from stepsize.vectorized.objective import StackedObjective

log = logging.getLogger(__name__)

# Runs per piece that are tried, and of which the fastest is taken.
_PIECES = (32, 128, 512, 2048)
# Compiling takes 4 to 12 seconds, and makes things two to seven times faster.
_SECONDS_WORTH_COMPILING = 15.0
_COMPILED_PIECE = 64


class Pace(NamedTuple):
    """What was chosen.

    Attributes:
        how: in words.
        seconds_compiling: that went into it.
    """

    how: str
    seconds_compiling: float = 0.0


def settle(
    objective: StackedObjective, weights: Tensor, batch: Batch, steps: int, compile: bool | None
) -> Pace:
    """Set an objective to the way that is the fastest for some runs.

    Args:
        objective: to be set.
        weights: of all runs, [runs, columns].
        batch: a batch of these.
        steps: how many evaluations are to come.
        compile: whether to; None where it is worth its time.
    """
    runs = len(weights)
    scratch = torch.empty_like(weights)
    per_run: dict[int | None, float] = {}
    pieces = [None, *sorted({min(piece, runs) for piece in (*_PIECES, runs)})]
    for piece in pieces if runs > 1 else [None]:
        objective.trace(weights, batch, piece)
        per_run[piece] = _per_run(objective, weights, batch, scratch, piece or 1)
    # A piece that is not filled costs as much as a full one.
    cost = {
        piece: seconds * (runs if piece is None else -(-runs // piece) * piece)
        for piece, seconds in per_run.items()
    }
    best = min(cost, key=lambda piece: cost[piece])
    objective.piece = best
    if compile is None:
        compile = cost[best] * steps > _SECONDS_WORTH_COMPILING
    if compile and runs > 1:
        return _compile(objective, weights, batch, scratch, eager=per_run[best])
    each = f"{per_run[best] * 1e6:.1f} us per run and step"
    return Pace(f"{runs} one by one, {each}" if best is None else f"in pieces of {best}, {each}")


def _compile(
    objective: StackedObjective, weights: Tensor, batch: Batch, scratch: Tensor, eager: float
) -> Pace:
    on_cpu = weights.device.type == "cpu"
    if not compiler_at_hand(weights.device):
        log.info("no C++ compiler was found: not compiled, and a few times slower for that")
        return Pace("not compiled, for want of a C++ compiler")
    before = objective.piece
    piece = min(_COMPILED_PIECE, len(weights)) if on_cpu else before or len(weights)
    began = time.perf_counter()
    try:
        objective.compile(weights, batch, piece)
    except Exception as error:
        log.debug("compiling ended with this error", exc_info=True)
        log.info("not compiled, and a few times slower for that: %s", one_line(error))
        return Pace(f"not compiled: {type(error).__name__}", time.perf_counter() - began)
    took = time.perf_counter() - began
    seconds = _per_run(objective, weights, batch, scratch, piece)
    ratio = f"{seconds * 1e6:.1f} us per run and step"
    if seconds > eager:  # as large matrix products are, whoever calls them
        objective.trace(weights, batch, before)
        return Pace(f"not compiled, which takes {ratio} and not {eager * 1e6:.1f}", took)
    how = f"compiled in {took:.1f} s, in pieces of {piece}, {ratio} ({eager * 1e6:.1f} before)"
    return Pace(how, took)


def _per_run(
    objective: StackedObjective, weights: Tensor, batch: Batch, scratch: Tensor, count: int
) -> float:
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
