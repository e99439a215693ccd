"""``checkpoints/last.ckpt`` of a run that no Trainer has trained, from which a Trainer goes on.

Lightning's checkpoint is its counters, and what callbacks, data, optimizer and schedule remember.
The counters follow from the number of steps; :mod:`stepsize.between_steps` says what they mean. The
tests compare it, key by key, with the one of an ordinary run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from pytorch_lightning.__version__ import version as lightning_version

from stepsize import between_steps
from stepsize.agreement import settings_of
from stepsize.callbacks import Record
from stepsize.callbacks.optimizer_mode import OptimizerMode
from stepsize.pictures.trajectory import Trajectory
from stepsize.resume import Resume
from stepsize.vectorized.outcome import Outcome

_STAGES = ("ready", "started", "processed", "completed")
_PAIR = ("ready", "completed")
_TRIPLE = ("ready", "started", "completed")


def checkpoint_of(outcome: Outcome, config: Mapping[str, Any]) -> dict[str, Any]:
    """What ``trainer.save_checkpoint`` writes at a run's end, as plain containers and tensors.

    Args:
        outcome: of the run.
        config: the whole configuration as plain containers.
    """
    schedule = outcome.scheduler_state()
    steps, per_epoch = outcome.steps, outcome.length.per_epoch
    validated = _validations(outcome, config["trainer"]["val_check_interval"])
    return {
        "epoch": -(-steps // per_epoch),
        "global_step": steps,
        "pytorch-lightning_version": lightning_version,
        "state_dict": outcome.state_dict(),
        "loops": _loops(steps, per_epoch, validated, scheduled=_moves(outcome)),
        "callbacks": {
            **{watch.state_key: watch.state_dict() for watch in outcome.watches},
            **_beside(outcome),
            Record.__qualname__: _record(outcome),
            Resume.__qualname__: {
                "settings": settings_of(config),
                "built": outcome.setting.built,
                "start": 0,
            },
        },
        "optimizer_states": [outcome.optimizer_state()],
        "lr_schedulers": [] if schedule is None else [schedule],
        outcome.data.__class__.__qualname__: {"position": steps},
        between_steps.KEY: {
            "random": outcome.random_state,
            "metrics": outcome.metrics,
            "gradients": {},
        },
    }


def _beside(outcome: Outcome) -> dict[str, Any]:
    """What callbacks remember that not every run has."""
    states: dict[str, Any] = {}
    if outcome.training_weights is not None:
        weights = list(outcome.training_weights)
        states[OptimizerMode.__qualname__] = {"training_weights": weights}
    if outcome.way is not None:
        states[Trajectory.__qualname__] = outcome.way.state_dict()
    return states


def _record(outcome: Outcome) -> dict[str, Any]:
    curves = {}
    known: dict[bytes, torch.Tensor] = {}  # most tags are logged at the same steps
    for tag, (steps, values, given) in outcome.curves.tables.items():
        there = given[outcome.index]
        if tag.startswith("val/") and not outcome.validated_before_end:
            there = there & (steps < outcome.steps)
        if there.any():
            own = steps[there]
            shared = known.setdefault(own.tobytes(), torch.from_numpy(own))
            value = torch.from_numpy(values[outcome.index][there])
            curves[tag] = {"step": shared, "value": value}
    return {
        "history": {
            "curves": curves,
            "ends": sorted((outcome.steps, tag) for tag in outcome.end_tags),
        },
        "steps": outcome.steps,
        "logged": outcome.last_logged,
    }


def _validations(outcome: Outcome, every: int) -> tuple[int, int]:
    """How many validations there were at all, and how many in the last, unfinished epoch."""
    if outcome.data.val is None:
        return 0, 0
    steps, per_epoch = outcome.steps, outcome.length.per_epoch
    extra = int(outcome.diverged is not None and steps % every != 0)
    before = steps // per_epoch * per_epoch
    return steps // every + extra, steps // every - before // every + extra


def _moves(outcome: Outcome) -> tuple[int, int]:
    """How often the schedule has been moved, at all and in the last, unfinished epoch."""
    steps, per_epoch = outcome.steps, outcome.length.per_epoch
    due = [step for step in outcome.setting.moves if step < steps]
    return len(due), sum(step >= steps // per_epoch * per_epoch for step in due)


def _loops(
    steps: int, per_epoch: int, validated: tuple[int, int], scheduled: tuple[int, int]
) -> dict[str, Any]:
    epochs, within = divmod(steps, per_epoch)
    begun = epochs + (1 if within else 0)
    nothing = _progress(_STAGES, 0, 0)
    epoch = {"ready": begun, "started": begun, "processed": epochs, "completed": epochs}
    validation = {
        "total": dict.fromkeys(_STAGES, validated[1]),
        "current": dict.fromkeys(_STAGES, min(validated[0], 1)),
        "is_last_batch": validated[0] > 0,
    }
    return {
        "fit_loop": {
            "state_dict": {"combined_loader": [{"position": steps}]},
            "epoch_loop.state_dict": {"_batches_that_stepped": steps},
            "epoch_loop.batch_progress": {
                **_progress(_STAGES, steps, within),
                "is_last_batch": False,
            },
            "epoch_loop.scheduler_progress": _progress(_PAIR, *scheduled),
            "epoch_loop.automatic_optimization.state_dict": {},
            "epoch_loop.automatic_optimization.optim_progress": {
                "optimizer": {
                    "step": _progress(_PAIR, steps, within),
                    "zero_grad": _progress(_TRIPLE, steps, within),
                }
            },
            "epoch_loop.manual_optimization.state_dict": {},
            "epoch_loop.manual_optimization.optim_step_progress": _progress(_PAIR, 0, 0),
            "epoch_loop.val_loop.state_dict": {},
            "epoch_loop.val_loop.batch_progress": validation,
            "epoch_progress": {"total": dict(epoch), "current": dict(epoch)},
        },
        "validate_loop": {"state_dict": {}, "batch_progress": {**nothing, "is_last_batch": False}},
        "test_loop": {"state_dict": {}, "batch_progress": {**nothing, "is_last_batch": False}},
        "predict_loop": {"state_dict": {}, "batch_progress": nothing},
    }


def _progress(stages: tuple[str, ...], total: int, current: int) -> dict[str, Any]:
    return {"total": dict.fromkeys(stages, total), "current": dict.fromkeys(stages, current)}
