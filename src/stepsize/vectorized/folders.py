"""Runs' folders, as the ordinary way would have left them, written in one go."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from tensorboard.compat.proto.summary_pb2 import Summary
from torch.utils.tensorboard.summary import image, text

from stepsize.callbacks import LastCheckpoint
from stepsize.callbacks.picture import Picture
from stepsize.earlier import Earlier
from stepsize.history import History
from stepsize.hparams import flattened, hparams_of, result_scalars, session_end, session_start
from stepsize.instantiate import allowing, instantiate, locate
from stepsize.optim.scheduler_checks import is_kind
from stepsize.optim.table import is_plain, markdown, one_line, plain_text, title
from stepsize.outcome import ended, reached, target_of
from stepsize.pictures.trajectory import Trajectory
from stepsize.run import Run
from stepsize.vectorized.checkpoints import checkpoint_of
from stepsize.vectorized.composed import Composed
from stepsize.vectorized.events import event, event_file, opening, records_of, row_events
from stepsize.vectorized.outcome import Outcome

_AT_ONCE = 500  # runs whose event files are in memory


@dataclass(frozen=True)
class _Ended:
    """A run whose files are written, but for its events and its result."""

    run: Run
    outcome: Outcome
    values: dict[str, Any]  # for Run.write_result
    pictures: list[tuple[str, Any]]


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
            one.run.write_result(**one.values)


def _write(job: Composed, outcome: Outcome, how: str) -> _Ended:
    folder, config = job.folder, job.config
    target = target_of(config, knows_optimum=outcome.optimum is not None)
    config = {**config, "target": target}
    nothing = Earlier(folder, {}, begun=False)
    started = time.monotonic() - outcome.seconds
    run = Run(folder, config, job.choices, job.words, nothing, started)
    (folder / ".hydra").mkdir(parents=True, exist_ok=True)
    for name, content in job.files.items():
        (folder / ".hydra" / f"{name}.yaml").write_text(content, "utf-8")
    history = History(folder / "metrics.csv")
    history.rows = outcome.rows
    history.write()
    for callback in _configured(config, LastCheckpoint).values():
        file = Path(callback["dirpath"]) / "last.ckpt"
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.save(checkpoint_of(outcome, config), file.with_suffix(".part"))
        os.replace(file.with_suffix(".part"), file)
    values = reached(config, history, outcome.steps, outcome.optimum)
    values |= ended(config, values["metrics"], outcome.diverged)
    _write_log(folder / "train.log", run, outcome, how, values)
    return _Ended(run, outcome, values, draw_pictures(config, outcome))


def _configured(config: dict[str, Any], kind: type) -> dict[str, Any]:
    return {
        name: callback
        for name, callback in (config["callbacks"] or {}).items()
        if callback and is_kind(locate(callback["_target_"]), kind)
    }


def draw_pictures(config: dict[str, Any], outcome: Outcome) -> list[tuple[str, Any]]:
    """Draw what is asked for; its tags and the pictures as arrays [height, width, 3]."""
    asked = _configured(config, Picture) if config["pictures"] else {}
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
        with allowing(config["allow"]):
            picture = instantiate(entry, where=f"callbacks.{name}")
        module = outcome.module()
        if isinstance(picture, Trajectory) and outcome.way is not None:
            picture.on_train_start(trainer, module)
            picture.path = outcome.way
        picture.on_train_end(trainer, module)
        if picture.file.is_file():
            drawn.append((f"picture/{picture.name}", imread(picture.file)[..., :3]))
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
    """What stands before and after the curves: groups, pictures, and the row of HPARAMS."""
    run, values = one.run, one.values
    groups = f"{_heading(one.outcome)}\n\n{markdown(one.outcome.setting.table)}"
    columns = dict(flattened(hparams_of(run.config, run.choices)))
    target = run.config["target"] and {"steps": values["steps_to_target"]}
    scalars = result_scalars({**values, "monitor": run.config["monitor"], "target": target})
    reason = f": {values['reason']}" if values["reason"] else ""
    numbers = [Summary.Value(tag=tag, simple_value=value) for tag, value in scalars.items()]
    return [session_start(columns), text("parameter groups", groups)], [
        *(image(tag, array, dataformats="HWC") for tag, array in one.pictures),
        Summary(value=numbers),
        text("result", values["status"] + reason),
        session_end(values["status"]),
    ]


def _heading(outcome: Outcome) -> str:
    scheduler = outcome.setting.scheduler
    return title(outcome.setting.optimizer, [] if scheduler is None else [scheduler])


def _write_log(file: Path, run: Run, outcome: Outcome, how: str, values: dict[str, Any]) -> None:
    """The lines of an ordinary run's log, and how this one was trained."""
    setting, table = outcome.setting, outcome.setting.table
    schedulers = [] if setting.scheduler is None else [setting.scheduler]
    plain = is_plain(table)
    groups = one_line(setting.optimizer, table, schedulers) if plain else plain_text(table)
    lines = [
        ("DEBUG", f"settings: {' '.join(run.overrides) or 'all as in conf/'}"),
        ("INFO", groups if plain else f"{_heading(outcome)}\n{groups}"),
        ("DEBUG", f"trained together with {outcome.curves.runs - 1} other runs: {how}"),
        ("DEBUG", f"{values['status']} after {outcome.steps} steps: {values['metrics']}"),
    ]
    stamp = f"{time.strftime('%Y-%m-%d %H:%M:%S')},{int(time.time() * 1000) % 1000:03d}"
    with file.open("a", encoding="utf-8") as stream:
        stream.writelines(f"{stamp} {level} {__name__}: {line}\n" for level, line in lines)
