"""State that Lightning's checkpoints lack and that an exact resume needs.

Lightning's counters differ between ``on_train_batch_end``, a validation, an epoch's end and the
run's end, and on resuming Lightning skips or repeats what follows a step: the validation, the step
of a plateau schedule, the end of an epoch. Here every checkpoint means the moment between two
steps: one step and all that follows it are complete, the next has not begun.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.seed import isolate_rng

KEY = "between_steps"


@contextmanager
def without_fetched_batch(trainer: pl.Trainer) -> Iterator[None]:
    """Within the block, Lightning's counters do not include the batch that was just fetched."""
    progress = trainer.fit_loop.epoch_loop.batch_progress
    counts, last = (progress.total, progress.current), progress.is_last_batch
    progress.is_last_batch = False
    for count in counts:
        count.ready -= 1
    try:
        yield
    finally:
        progress.is_last_batch = last
        for count in counts:
            count.ready += 1


def complete_checkpoint(trainer: pl.Trainer, checkpoint: dict[str, Any]) -> None:
    """Correct the counters of a checkpoint written between two steps, and add what it lacks.

    Added, as plain containers and tensors: the state of the random number generators, the last
    logged values, which plateau schedules read, and the gradients of an incomplete accumulation.
    Values that a module logs with ``on_epoch=True`` in an unfinished epoch are not kept.
    """
    loops = checkpoint["loops"]["fit_loop"]
    batches = loops["epoch_loop.batch_progress"]
    within = batches["current"]["ready"]
    epoch_over = within >= trainer.num_training_batches or batches["is_last_batch"]
    between_epochs = within == 0 or epoch_over
    for count in (batches["total"], batches["current"]):
        count.update(dict.fromkeys(("started", "processed", "completed"), count["ready"]))
    batches["is_last_batch"] = False
    for count in loops["epoch_progress"].values():
        # Where a run ends, Lightning counts the epoch as processed, complete or not.
        ended = count["ready"] == count["processed"]
        epochs = count["processed"] - (1 if ended and not between_epochs else 0)
        begun = epochs if between_epochs else epochs + 1
        count.update(ready=begun, started=begun, processed=epochs, completed=epochs)
    accumulating = not between_epochs and within % trainer.accumulate_grad_batches != 0
    if between_epochs:
        optimizer = loops["epoch_loop.automatic_optimization.optim_progress"]["optimizer"]
        for progress in (batches, loops["epoch_loop.scheduler_progress"], *optimizer.values()):
            progress["current"] = dict.fromkeys(progress["current"], 0)
        validation = loops["epoch_loop.val_loop.batch_progress"]
        validation["total"] = dict.fromkeys(validation["total"], 0)
    checkpoint[KEY] = {
        "random": random_state(),
        "metrics": {tag: v.detach().cpu().clone() for tag, v in trainer.callback_metrics.items()},
        "gradients": {
            name: parameter.grad.detach().clone()
            for name, parameter in trainer.lightning_module.named_parameters()
            if accumulating and parameter.grad is not None
        },
    }


def restore(trainer: pl.Trainer, module: pl.LightningModule, state: dict[str, Any]) -> None:
    """Restore what ``complete_checkpoint`` added; call it in ``on_train_start``."""
    loop = trainer.fit_loop.epoch_loop
    # Otherwise Lightning steps plateau schedules a second time after a validation.
    loop.reset_restart_stage()
    # Otherwise Lightning skips their step at the end of this epoch, because metrics are missing.
    trainer.fit_loop._restarting = False
    if loop.restarting and not loop._should_accumulate():
        loop._batches_that_stepped -= 1  # Lightning is about to count the last step again
    # Lightning makes an iterator of the validation loaders here, which draws random numbers.
    val_loop = loop.val_loop
    val_loop.increment_progress_to_evaluation_end = _putting_back_random_state(  # type: ignore[method-assign]
        val_loop.increment_progress_to_evaluation_end
    )
    trainer.callback_metrics.update(state["metrics"])
    parameters = dict(module.named_parameters())
    for name, gradient in state["gradients"].items():
        parameters[name].grad = gradient.to(parameters[name].device)
    _set_random_state(state["random"])


def _putting_back_random_state(call: Callable[[], None]) -> Callable[[], None]:
    def isolated() -> None:
        with isolate_rng(include_cuda=False):
            call()

    return isolated


def random_state() -> dict[str, Any]:
    """The state of every generator that a run may draw from, as ``weights_only`` loads it."""
    name, keys, *rest = cast("tuple[Any, ...]", np.random.get_state(legacy=True))
    version, numbers, following = random.getstate()
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": [str(name), torch.from_numpy(keys.astype(np.int64)), *rest],
        # One tensor: 625 separate numbers would double the size of a small checkpoint.
        "python": [version, torch.tensor(numbers), following],
    }


def _set_random_state(state: dict[str, Any]) -> None:
    torch.set_rng_state(state["torch"])
    if state["cuda"] and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
    version, numbers, following = state["python"]
    random.setstate((version, tuple(numbers.tolist()), following))
