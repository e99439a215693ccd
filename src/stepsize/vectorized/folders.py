"""Writes the folders of vectorized runs, with the files that individual training writes."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.__version__ import version as lightning_version
from tensorboard.compat.proto.summary_pb2 import Summary
from torch.utils.tensorboard.summary import image, text

from stepsize.callbacks.fingerprints import Fingerprints
from stepsize.callbacks.optimizer_mode import OptimizerMode
from stepsize.callbacks.recorder import Record
from stepsize.checkpoint import trainer_state
from stepsize.checkpoint.compatibility import settings_of
from stepsize.checkpoint.last_checkpoint import LastCheckpoint
from stepsize.checkpoint.resume import Resume
from stepsize.config.instantiate import allowing, instantiate, locate
from stepsize.loggers.event_file import (
    new_event_file,
    scalar_records,
    summary_record,
    version_record,
)
from stepsize.loggers.hparams import (
    flattened,
    hparams_of,
    result_scalars,
    session_end,
    session_start,
)
from stepsize.loggers.metrics_csv import History
from stepsize.loggers.tags import board_tag
from stepsize.optim.describe import as_markdown, as_text
from stepsize.plots.callback import Plot
from stepsize.plots.trajectory import Trajectory
from stepsize.run.atomic import replacing
from stepsize.run.folder import EarlierAttempt, Run
from stepsize.run.result import reachable_target, result_of, write_result
from stepsize.schedules.checks import is_kind
from stepsize.sweeps.jobs import trial_name
from stepsize.vectorized.outcome import Outcome
from stepsize.vectorized.templates import ComposedJob

_RUNS_IN_MEMORY = 500


@dataclass(frozen=True)
class _Ended:
    """A run whose files are written, except its event file and its result."""

    run: Run
    outcome: Outcome
    result: dict[str, Any]
    plots: list[tuple[str, Any]]


def write_folders(jobs: Sequence[ComposedJob], outcomes: Sequence[Outcome], program: str) -> None:
    """Write the folders of vectorized runs.

    Args:
        jobs: of the runs.
        outcomes: of the runs, in the same order.
        program: how the runs were computed, for the log.
    """
    everything = list(zip(jobs, outcomes, strict=True))
    for start in range(0, len(jobs), _RUNS_IN_MEMORY):
        runs = [
            _write(job, outcome, program)
            for job, outcome in everything[start : start + _RUNS_IN_MEMORY]
        ]
        _write_events(runs)
        for ended in runs:  # last, because a folder with a result is done
            write_result(ended.run.folder, ended.result)


def _write(job: ComposedJob, outcome: Outcome, program: str) -> _Ended:
    folder, config = job.folder, job.config
    target = reachable_target(config, optimum_known=outcome.optimum is not None)
    config = {**config, "target": target}
    started = time.monotonic() - outcome.seconds
    run = Run(folder, config, job.choices, job.overrides, EarlierAttempt.none(folder), started)
    (folder / ".hydra").mkdir(parents=True, exist_ok=True)
    # config.yaml last, because a run with it has begun.
    for name in sorted(job.files, key=lambda name: name == "config"):
        with replacing(folder / ".hydra" / f"{name}.yaml") as part:
            part.write_text(job.files[name], "utf-8")
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
        fingerprints=outcome.fingerprints,
    )
    _write_log(folder / "train.log", run, outcome, program, result)
    return _Ended(run, outcome, result, draw_plots(config, outcome))


def _configured(config: dict[str, Any], kind: type) -> dict[str, Any]:
    return {
        name: callback
        for name, callback in (config["callbacks"] or {}).items()
        if callback and is_kind(locate(callback["_target_"]), kind)
    }


def draw_plots(config: dict[str, Any], outcome: Outcome) -> list[tuple[str, Any]]:
    """Draw the plots with ``plots=true``; returns their tags and arrays [height, width, 3].

    With ``plots=auto`` the sweep draws some of them from the checkpoints when it ends.
    """
    drawn = []
    for name, entry in _configured(config, Plot).items() if config["plots"] is True else ():
        with allowing(config["allowed_packages"]):
            plot = instantiate(entry, where=f"callbacks.{name}")
        if isinstance(plot, Trajectory) and outcome.trajectory is not None:
            plot.load_state_dict(outcome.trajectory)
        data, optimizer = outcome.components.data, outcome.variant.optimizer
        with plot.errors_as_warnings():
            image = plot.save(outcome.module(), data, [optimizer], outcome.steps)
            drawn.append((plot.tag, image))
    return drawn


def _write_events(runs: Sequence[_Ended]) -> None:
    """The event file of each run, in the folder that its logger names."""
    now = time.time()
    outcomes = [ended.outcome for ended in runs]
    times = {o.index: (now - o.seconds, o.seconds / max(o.steps, 1)) for o in outcomes}
    curves = outcomes[0].recorder.curves.tables
    tables = {board_tag(tag): table for tag, table in curves.items()}
    scalars = scalar_records(tables, list(times), times)
    for ended in runs:
        began, steps = times[ended.outcome.index][0], ended.outcome.steps
        before, after = _other_summaries(ended)
        records = [
            version_record(began),
            *(summary_record(summary, 0, began) for summary in before),
            *scalars[ended.outcome.index],
            *(summary_record(summary, steps, now) for summary in after),
        ]
        for entry in (ended.run.config["logger"] or {}).values():
            if entry:
                folder = Path(entry["folder"])
                folder.mkdir(parents=True, exist_ok=True)
                new_event_file(folder).write_bytes(b"".join(records))


def _other_summaries(ended: _Ended) -> tuple[list[Summary], list[Summary]]:
    """The summaries before and after the scalars: groups, plots, and the row of HPARAMS."""
    run, result = ended.run, ended.result
    variant = ended.outcome.variant
    groups = as_markdown(variant.optimizer, variant.group_table, variant.schedulers)
    columns = dict(flattened(hparams_of(run.config, run.choices, run.overrides)))
    group = trial_name(run.overrides, run.folder, in_sweep=True)
    scalars = result_scalars(result).items()
    reason = f": {result['reason']}" if result["reason"] else ""
    numbers = [Summary.Value(tag=tag, simple_value=value) for tag, value in scalars]
    return [session_start(columns, group), text("parameter groups", groups)], [
        *(image(tag, array, dataformats="HWC") for tag, array in ended.plots),
        Summary(value=numbers),
        text("result", result["status"] + reason),
        session_end(result["status"]),
    ]


def _write_log(
    file: Path, run: Run, outcome: Outcome, program: str, result: dict[str, Any]
) -> None:
    """Write the log of an individual run, with a line that names the program."""
    variant = outcome.variant
    lines = [
        ("DEBUG", f"overrides: {' '.join(run.overrides) or 'none'}"),
        ("INFO", as_text(variant.optimizer, variant.group_table, variant.schedulers)),
        ("DEBUG", f"vectorized with {outcome.recorder.curves.runs - 1} other runs: {program}"),
        ("DEBUG", f"{result['status']} after {outcome.steps} steps: {result['metrics']}"),
    ]
    stamp = f"{time.strftime('%Y-%m-%d %H:%M:%S')},{int(time.time() * 1000) % 1000:03d}"
    with file.open("a", encoding="utf-8") as stream:
        stream.writelines(f"{stamp} {level} {__name__}: {line}\n" for level, line in lines)


_STAGES = ("ready", "started", "processed", "completed")
_PAIR = ("ready", "completed")
_TRIPLE = ("ready", "started", "completed")


def checkpoint_of(outcome: Outcome, config: Mapping[str, Any]) -> dict[str, Any]:
    """The checkpoint that ``trainer.save_checkpoint`` would write at the end of a run.

    Args:
        outcome: of the run.
        config: the whole configuration as plain containers.
    """
    schedule = outcome.scheduler_state
    divergence = outcome.recorder.divergence_callbacks[outcome.index]
    steps, per_epoch = outcome.steps, outcome.group.length.per_epoch
    validated = _validations(outcome, config["trainer"]["val_check_interval"])
    return {
        "epoch": -(-steps // per_epoch),
        "global_step": steps,
        "pytorch-lightning_version": lightning_version,
        "state_dict": outcome.state_dict(),
        "loops": _loops(steps, per_epoch, validated, scheduled=_schedule_steps(outcome)),
        "callbacks": {
            **{callback.state_key: callback.state_dict() for callback in divergence},
            **_optional_states(outcome),
            Record.__qualname__: _record(outcome),
            Resume.__qualname__: {
                "settings": settings_of(config),
                "built": outcome.variant.description,
                "start": 0,
            },
            Fingerprints.__qualname__: outcome.fingerprints,
        },
        "optimizer_states": [
            {"state": outcome.optimizer_state(), "param_groups": outcome.param_groups}
        ],
        "lr_schedulers": [] if schedule is None else [schedule],
        outcome.components.data.__class__.__qualname__: {"position": steps},
        trainer_state.KEY: {
            "random": outcome.components.random_state,
            "metrics": outcome.metrics,
            "gradients": {},
        },
    }


def _optional_states(outcome: Outcome) -> dict[str, Any]:
    """The states of callbacks that only some runs have."""
    states: dict[str, Any] = {}
    if outcome.training_weights is not None:
        weights = list(outcome.training_weights)
        states[OptimizerMode.__qualname__] = {"training_weights": weights}
    if outcome.trajectory is not None:
        states[Trajectory.__qualname__] = outcome.trajectory
    return states


def _record(outcome: Outcome) -> dict[str, Any]:
    curves = {}
    known: dict[bytes, torch.Tensor] = {}  # most tags are logged at the same steps
    for tag, (steps, values, given) in outcome.recorder.curves.tables.items():
        logged = given[outcome.index]
        if tag.startswith("val/") and not outcome.validated_before_end:
            logged = logged & (steps < outcome.steps)
        if logged.any():
            own = steps[logged]
            shared = known.setdefault(own.tobytes(), torch.from_numpy(own))
            value = torch.from_numpy(values[outcome.index][logged])
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
    """The number of validations: in the whole run, and in an unfinished last epoch."""
    if outcome.components.data.val is None:
        return 0, 0
    steps, per_epoch = outcome.steps, outcome.group.length.per_epoch
    extra = int(outcome.diverged is not None and steps % every != 0)
    before = steps // per_epoch * per_epoch
    return steps // every + extra, steps // every - before // every + extra


def _schedule_steps(outcome: Outcome) -> tuple[int, int]:
    """How often the schedule was stepped: in the whole run, and in an unfinished last epoch."""
    steps, per_epoch = outcome.steps, outcome.group.length.per_epoch
    due = [step for step in outcome.variant.schedule_steps if step < steps]
    return len(due), sum(step >= steps // per_epoch * per_epoch for step in due)


def _loops(
    steps: int, per_epoch: int, validated: tuple[int, int], scheduled: tuple[int, int]
) -> dict[str, Any]:
    epochs, within = divmod(steps, per_epoch)
    started = epochs + (1 if within else 0)
    nothing = _progress(_STAGES, 0, 0)
    epoch = {"ready": started, "started": started, "processed": epochs, "completed": epochs}
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
