"""Runs' folders, as the ordinary way would have left them, written in one go."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from pytorch_lightning.__version__ import version as lightning_version
from tensorboard.compat.proto.summary_pb2 import Summary
from torch.utils.tensorboard.summary import image, text

from stepsize.callbacks.optimizer_mode import OptimizerMode
from stepsize.callbacks.recorder import Record
from stepsize.checkpoint import trainer_state
from stepsize.checkpoint.compatibility import settings_of
from stepsize.checkpoint.last_checkpoint import LastCheckpoint
from stepsize.checkpoint.resume import Resume
from stepsize.config.instantiate import allowing, instantiate, locate
from stepsize.loggers.event_file import event, event_file, opening, records_of, row_events
from stepsize.loggers.hparams import (
    flattened,
    hparams_of,
    result_scalars,
    session_end,
    session_start,
)
from stepsize.loggers.metrics_csv import History
from stepsize.optim.describe import as_markdown, as_text
from stepsize.plots.callback import Plot
from stepsize.plots.trajectory import Trajectory
from stepsize.run.atomic import replacing
from stepsize.run.folder import EarlierAttempt, Run
from stepsize.run.result import reachable_target, result_of, write_result
from stepsize.schedules.checks import is_kind
from stepsize.vectorized.outcome import Outcome
from stepsize.vectorized.templates import Composed

_AT_ONCE = 500  # runs whose event files are in memory


@dataclass(frozen=True)
class _Ended:
    """A run whose files are written, but for its events and its result."""

    run: Run
    outcome: Outcome
    result: dict[str, Any]
    plots: list[tuple[str, Any]]


def write_folders(jobs: Sequence[Composed], outcomes: Sequence[Outcome], how: str) -> None:
    """Write the folders of runs that were trained together.

    Args:
        jobs: what they are.
        outcomes: what has come of each.
        how: they were trained, in words.
    """
    everything = list(zip(jobs, outcomes, strict=True))
    for start in range(0, len(jobs), _AT_ONCE):
        runs = [_write(job, outcome, how) for job, outcome in everything[start : start + _AT_ONCE]]
        _write_events(runs)
        for one in runs:  # last, since a folder with a result is done
            write_result(one.run.folder, one.result)


def _write(job: Composed, outcome: Outcome, how: str) -> _Ended:
    folder, config = job.folder, job.config
    target = reachable_target(config, optimum_known=outcome.optimum is not None)
    config = {**config, "target": target}
    started = time.monotonic() - outcome.seconds
    run = Run(folder, config, job.choices, job.words, EarlierAttempt.none(folder), started)
    (folder / ".hydra").mkdir(parents=True, exist_ok=True)
    for name, content in job.files.items():
        (folder / ".hydra" / f"{name}.yaml").write_text(content, "utf-8")
    history = History(folder / "metrics.csv")
    history.rows = outcome.rows
    history.write()
    for callback in _configured(config, LastCheckpoint).values():
        file = Path(callback["dirpath"]) / "last.ckpt"
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as part:
            torch.save(checkpoint_of(outcome, config), part)
    result = result_of(
        run,
        history,
        steps=outcome.steps,
        optimum=outcome.optimum,
        diverged=outcome.diverged,
    )
    _write_log(folder / "train.log", run, outcome, how, result)
    return _Ended(run, outcome, result, draw_plots(config, outcome))


def _configured(config: dict[str, Any], kind: type) -> dict[str, Any]:
    return {
        name: callback
        for name, callback in (config["callbacks"] or {}).items()
        if callback and is_kind(locate(callback["_target_"]), kind)
    }


def draw_plots(config: dict[str, Any], outcome: Outcome) -> list[tuple[str, Any]]:
    """Draw what is asked for; its tags and the plots as arrays [height, width, 3]."""
    asked = _configured(config, Plot) if config["plots"] else {}
    if not asked:
        return []
    from matplotlib.image import imread

    trainer: Any = SimpleNamespace(
        is_global_zero=True,
        optimizers=[outcome.setting.optimizer],
        global_step=outcome.steps,
        datamodule=outcome.data,
        loggers=[],
    )
    drawn = []
    for name, entry in asked.items():
        with allowing(config["allowed_packages"]):
            plot = instantiate(entry, where=f"callbacks.{name}")
        module = outcome.module()
        if isinstance(plot, Trajectory) and outcome.way is not None:
            plot.on_train_start(trainer, module)
            plot.path = outcome.way
        plot.on_train_end(trainer, module)
        if plot.file.is_file():
            drawn.append((f"plot/{plot.name}", imread(plot.file)[..., :3]))
    return drawn


def _write_events(runs: Sequence[_Ended]) -> None:
    """The event file of each run, in the folder that its logger names."""
    now = time.time()
    outcomes = [one.outcome for one in runs]
    times = {o.index: (now - o.seconds, o.seconds / max(o.steps, 1)) for o in outcomes}
    rows = row_events(outcomes[0].curves, list(times), times)
    around = [[before, after] for before, after in map(_surroundings, runs)]
    texts = [
        part
        for one, (before, after) in zip(runs, around, strict=True)
        for part in (
            opening(times[one.outcome.index][0]),
            *(event(summary, 0, times[one.outcome.index][0]) for summary in before),
            *(event(summary, one.outcome.steps, now) for summary in after),
        )
    ]
    records = iter(records_of(texts))
    for one, (before, after) in zip(runs, around, strict=True):
        first = [next(records) for _ in range(1 + len(before))]
        last = [next(records) for _ in after]
        content = b"".join((*first, *rows[one.outcome.index], *last))
        for entry in (one.run.config["logger"] or {}).values():
            if entry:
                folder = Path(entry["folder"])
                folder.mkdir(parents=True, exist_ok=True)
                event_file(folder).write_bytes(content)


def _surroundings(one: _Ended) -> tuple[list[Summary], list[Summary]]:
    """What stands before and after the curves: groups, plots, and the row of HPARAMS."""
    run, result = one.run, one.result
    setting = one.outcome.setting
    groups = as_markdown(setting.optimizer, setting.table, setting.schedulers)
    columns = dict(flattened(hparams_of(run.config, run.choices)))
    scalars = result_scalars(result).items()
    reason = f": {result['reason']}" if result["reason"] else ""
    numbers = [Summary.Value(tag=tag, simple_value=value) for tag, value in scalars]
    return [session_start(columns), text("parameter groups", groups)], [
        *(image(tag, array, dataformats="HWC") for tag, array in one.plots),
        Summary(value=numbers),
        text("result", result["status"] + reason),
        session_end(result["status"]),
    ]


def _write_log(file: Path, run: Run, outcome: Outcome, how: str, result: dict[str, Any]) -> None:
    """The lines of an ordinary run's log, and how this one was trained."""
    setting = outcome.setting
    lines = [
        ("DEBUG", f"overrides: {' '.join(run.overrides) or 'none'}"),
        ("INFO", as_text(setting.optimizer, setting.table, setting.schedulers)),
        ("DEBUG", f"trained together with {outcome.curves.runs - 1} other runs: {how}"),
        ("DEBUG", f"{result['status']} after {outcome.steps} steps: {result['metrics']}"),
    ]
    stamp = f"{time.strftime('%Y-%m-%d %H:%M:%S')},{int(time.time() * 1000) % 1000:03d}"
    with file.open("a", encoding="utf-8") as stream:
        stream.writelines(f"{stamp} {level} {__name__}: {line}\n" for level, line in lines)


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
        trainer_state.KEY: {
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
