"""What Lightning's checkpoint lacks for going on exactly, at the moment between two steps.

Lightning counts differently in ``on_train_batch_end``, around a validation, at an epoch's end and
at the run's end, and on resuming it leaves out or repeats what follows a step: the validation, the
step of a plateau schedule, the end of an epoch. Here a checkpoint always means "one step is over
with all that follows it, the next has not begun", wherever in Lightning's loop it was written.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import pytorch_lightning as pl
import torch

KEY = "between_steps"


@contextmanager
def not_begun(trainer: pl.Trainer) -> Iterator[None]:
    """Within the block the batch that has just been fetched does not count."""
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


def complete(trainer: pl.Trainer, checkpoint: dict[str, Any]) -> None:
    """Settle the counters in a checkpoint written between two steps, and add what it lacks.

    Added, as plain containers and tensors: the state of the random number generators, the last
    logged values, which plateau schedules read, and the gradients of an accumulation that is not
    complete. What a module has logged with ``on_epoch=True`` in an unfinished epoch is not kept.
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


def go_on(trainer: pl.Trainer, module: pl.LightningModule, state: dict[str, Any]) -> None:
    """Put back what ``complete`` has added; to be called in ``on_train_start``."""
    loop = trainer.fit_loop.epoch_loop
    # Else Lightning would step plateau schedules a second time after a validation.
    loop.reset_restart_stage()
    # And it would leave out their step at the end of this epoch, for want of the metrics.
    trainer.fit_loop._restarting = False
    if loop.restarting and not loop._should_accumulate():
        loop._batches_that_stepped -= 1  # Lightning is about to count the last step again
    trainer.callback_metrics.update(state["metrics"])
    parameters = dict(module.named_parameters())
    for name, gradient in state["gradients"].items():
        parameters[name].grad = gradient.to(parameters[name].device)
    _set_random_state(state["random"])


def random_state() -> dict[str, Any]:
    """Of all generators that a run may draw from, in a form that ``weights_only`` loads."""
    name, keys, *rest = cast("tuple[Any, ...]", np.random.get_state(legacy=True))
    version, words, following = random.getstate()
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": [str(name), torch.from_numpy(keys.astype(np.int64)), *rest],
        # 625 numbers: one by one they would be a good part of what a small checkpoint takes.
        "python": [version, torch.tensor(words), following],
    }


def _set_random_state(state: dict[str, Any]) -> None:
    torch.set_rng_state(state["torch"])
    if state["cuda"] and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
    version, words, following = state["python"]
    random.setstate((version, tuple(words.tolist()), following))
