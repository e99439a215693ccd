"""The loop that trains a group of runs as one program.

Lightning's Trainer is not around it: its step costs 0.3 ms before anything is computed, a quarter
of what a step of 770 small runs takes, and its counters know one optimizer and one end, where here
every setting has an optimizer and every run may end by itself. What a Trainer decides for a run,
the length, the rhythm of rows and validations, precision, clipping and the order of what happens
in a step, is the same here, and the tests compare every number.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stepsize.callbacks import Divergence, Norms
from stepsize.pictures.path import Path
from stepsize.vectorized.batches import Batch, Streams
from stepsize.vectorized.eligible import PRECISIONS
from stepsize.vectorized.gaps import StackedGap
from stepsize.vectorized.groups import Group, pick_device, watching
from stepsize.vectorized.norms import clip, group_norms
from stepsize.vectorized.objective import StackedObjective
from stepsize.vectorized.outcome import Outcome
from stepsize.vectorized.pace import settle
from stepsize.vectorized.recording import Recorder
from stepsize.vectorized.trial import reason_against_stacking
from stepsize.vectorized.update import State
from stepsize.vectorized.updates import make_updates
from stepsize.vectorized.ways import Ways

# The share of ended runs from which on the others are moved together.
_ENDED_SHARE = 0.1


class CannotStackError(ValueError):
    """The runs of a group cannot be trained together; the message says why."""


@dataclass(frozen=True)
class _End:
    """What is left of a run that has ended."""

    step: int
    reason: str | None
    weights: Tensor
    state: Callable[[], State]
    groups: list[dict[str, Any]]  # of the optimizer's state_dict
    schedule: dict[str, Any] | None
    metrics: dict[str, Tensor]
    tags: list[str]
    validated: bool
    way: Path | None


class Training:
    """Trains a group.

    Args:
        group: what is trained.
        compile: whether to compile the objective; None where it is worth its time.
        tell: is called after every step with the number of steps done.

    Attributes:
        how: the way that was measured to be the fastest, in words.
        seconds_compiling: of the time that :meth:`run` does not contain.

    Raises:
        CannotStackError: its runs must be trained one by one.
    """

    def __init__(
        self,
        group: Group,
        compile: bool | None = None,
        tell: Callable[[int], None] | None = None,
    ) -> None:
        began = time.perf_counter()
        self.group = group
        self._tell = tell
        config, module = group.configs[0], group.parts[0].module
        trainer = self._trainer = config["trainer"]
        device = pick_device(trainer.get("accelerator", "auto"))
        dtype = PRECISIONS[trainer.get("precision", "32-true")]
        self._every: int = trainer.get("log_every_n_steps", 50)
        norms = [Norms(**arguments).every for arguments in watching(config, Norms)]
        self._measure_every = norms[0] * self._every if norms else 0

        self._streams = Streams([parts.data for parts in group.parts], dtype, device)
        self._upcoming = next(self._streams)
        runs = len(group.numbers)
        first = self._streams.batch(self._upcoming, np.arange(runs))
        reason = reason_against_stacking(module, first, dtype, device)
        if reason is not None:
            raise CannotStackError(reason)

        layout = group.layout
        self._updates, order = make_updates(group.settings, layout, group.owners)
        self._runs = np.array(order)  # the run in each row of the stack
        self._alive = np.ones(runs, dtype=bool)  # of the rows
        self._follow = any(setting.follows is not None for setting in group.settings)
        initial = {parts: layout.row(parts.module) for parts in group.parts}
        rows = torch.stack([initial[group.parts[run]] for run in order])
        self._weights = rows.to(device, dtype)
        self._gradients = torch.zeros_like(self._weights)
        self._attach([np.arange(update.runs) for update in self._updates])
        self._ways = Ways.where_drawn(config, copy.deepcopy(module).to(dtype), layout, runs)
        gap = StackedGap.where_known(module, group.parts[0].data)
        self._recorder = Recorder(runs, gap, watching(config, Divergence))
        self._recorder.place(self._runs, self._alive)
        self._ended: dict[int, _End] = {}

        self._objective = StackedObjective(module, layout, dtype, device)
        self.how, self.seconds_compiling = settle(
            self._objective, self._weights, self._batch(), group.length.steps, compile
        )
        self._seconds = time.perf_counter() - began

    @property
    def rows(self) -> np.ndarray:
        """The run in each row of the stack: those that go on, and a few that have just ended."""
        return self._runs

    def run(self) -> list[Outcome]:
        """Train, and say what has come of each job, in the group's order."""
        began = time.perf_counter()
        steps = self.group.length.steps
        for step in range(steps):
            self._step(step)
            if self._tell is not None:
                self._tell(step + 1)
            if not len(self._runs):
                break
        rows = np.flatnonzero(self._alive)
        if len(rows):
            self._end(rows, steps, {}, validated=self._validates(steps))
        self._seconds += time.perf_counter() - began
        return [self._outcome(run) for run in range(len(self.group.numbers))]

    def _step(self, step: int) -> None:
        """Do what Lightning's loop and the callbacks do in a step, in their order."""
        recorder, updates = self._recorder, self._updates
        batch = self._batch()
        self._upcoming = next(self._streams)
        if self._ways is not None:
            self._ways.note(step, self._weights, self._runs)
        logged = step % self._every == 0
        rates = [update.rates() for update in updates] if logged else []
        gaps = recorder.gap.of(self._weights) if logged and recorder.gap is not None else None
        values = self._objective.gradients(
            self._weights, batch, self._gradients, with_metrics=logged
        )
        measured = self._measure_every and step % self._measure_every == 0
        if measured:
            norms = [group_norms(update, self._gradients[update.rows]) for update in updates]
            before = self._weights.clone()
        if self._trainer.get("gradient_clip_val"):
            clip(
                updates,
                self._gradients,
                float(self._trainer["gradient_clip_val"]),
                self._trainer.get("gradient_clip_algorithm") or "norm",
            )
        for update in updates:
            update.step()
        for setting in self.group.settings:
            setting.advance(step)
        ending: dict[int, str] = {}
        if logged:
            recorder.values(step, "train", values)
            recorder.rates(step, updates, rates)
            recorder.gaps(step, gaps)
        if measured:
            recorder.norms(step, updates, norms, before, self._weights)
        if logged:
            ending = recorder.diverged(step)
        validates = self._validates(step + 1)
        if validates:
            self._validate(step + 1, np.flatnonzero(self._alive))
        rows = np.array(list(ending), dtype=int)
        if ending and not validates and self._streams.val is not None:
            self._validate(step + 1, rows)  # Lightning does, when it is told to stop
        if self._follow:
            self._move_plateaus(step)
        if ending:
            self._end(rows, step + 1, ending, validated=self._streams.val is not None)

    def _move_plateaus(self, step: int) -> None:
        for run in self._runs[self._alive].tolist():
            setting = self.group.settings[self.group.owners[run]]
            if setting.follows is not None:
                setting.follow(step, self._recorder.latest(run, setting.follows))

    def _batch(self) -> Batch:
        return self._streams.batch(self._upcoming, self._runs)

    def _validates(self, step: int) -> bool:
        every: int = self._trainer["val_check_interval"]
        return self._streams.val is not None and step % every == 0

    def _validate(self, step: int, rows: np.ndarray) -> None:
        assert self._streams.val is not None
        batch = self._streams.shared(self._streams.val)
        values = self._objective.validate(self._of(rows), batch)
        self._recorder.values(step, "val", values, rows)

    def _end(
        self, rows: np.ndarray, step: int, reasons: dict[int, str], *, validated: bool
    ) -> None:
        """Log the final values of some rows, keep what has come of them, and let them go."""
        weights = self._of(rows)
        ends = []
        if self.group.parts[0].data.full_batch:
            batch = self._streams.batch(self._upcoming, self._runs[rows])
            values = self._objective.evaluate(weights, batch)
            self._recorder.values(step, "train", values, rows)
            ends += [f"train/{name}" for name in ("loss", *values.metrics)]
        if self._recorder.gap is not None:
            self._recorder.gaps(step, self._recorder.gap.of(weights), rows)
            ends += ["train/gap", "train/log10_gap"]
        owners = {self.group.owners[run] for run in self._runs[rows].tolist()}
        schedules = {owner: self.group.settings[owner].schedule() for owner in owners}
        for position, row in enumerate(rows.tolist()):
            run = int(self._runs[row])
            update = next(u for u in self._updates if u.rows.start <= row < u.rows.stop)
            state: Callable[[], State] = partial(update.state_of, row - update.rows.start)
            if reasons:  # the others go on, and so does the optimizer that has its state
                state = partial(dict, state())
            self._ended[run] = _End(
                step,
                reasons.get(row),
                weights[position],
                state,
                update.groups_of(row - update.rows.start),
                schedules[self.group.owners[run]],
                metrics=self._recorder.last(run, self._weights.dtype),
                tags=ends,
                validated=validated,
                way=None if self._ways is None else self._ways.of(run),
            )
        if self._streams.val is not None and not validated:
            self._validate(step, rows)
        self._alive[rows] = False
        if self._alive.mean() <= 1 - _ENDED_SHARE and reasons:
            self._compact()

    def _compact(self) -> None:
        """Move the runs that go on together, so that those that have ended cost nothing."""
        kept = [np.flatnonzero(self._alive[update.rows]) for update in self._updates]
        self._weights = self._of(np.flatnonzero(self._alive))
        self._gradients = torch.zeros_like(self._weights)
        self._runs = self._runs[self._alive]
        self._alive = np.ones(len(self._runs), dtype=bool)
        self._recorder.place(self._runs, self._alive)
        self._attach(kept)

    def _attach(self, kept: list[np.ndarray]) -> None:
        start = 0
        for update, runs in zip(self._updates, kept, strict=True):
            update.attach(self._weights, self._gradients, start, runs)
            start += len(runs)
        self._updates = [update for update in self._updates if update.runs]

    def _of(self, rows: np.ndarray) -> Tensor:
        return self._weights[torch.from_numpy(rows).to(self._weights.device)]

    def _outcome(self, run: int) -> Outcome:
        end, group = self._ended[run], self.group
        gap = self._recorder.gap
        return Outcome(
            curves=self._recorder.curves,
            index=run,
            steps=end.step,
            length=group.length,
            setting=group.settings[group.owners[run]],
            data=group.parts[run].data,
            watches=self._recorder.watches[run],
            metrics=end.metrics,
            last_logged=(end.step - 1) // self._every * self._every,
            end_tags=end.tags,
            validated_before_end=end.validated,
            diverged=end.reason,
            way=end.way,
            optimum=None if gap is None else gap.optimum,
            seconds=self._seconds / len(group.numbers),
            module=partial(self._module, run),
            state_dict=partial(self._state_dict, run),
            optimizer_state=lambda: {"state": end.state(), "param_groups": end.groups},
            scheduler_state=lambda: end.schedule,
            random_state=group.parts[run].random_state,
        )

    def _module(self, run: int) -> Any:
        module = copy.deepcopy(self.group.parts[run].module).to(self._weights.dtype)
        module.load_state_dict(self._state_dict(run))
        return module

    def _state_dict(self, run: int) -> dict[str, Tensor]:
        initial = self.group.parts[run].module.state_dict()
        final = self.group.layout.split(self._ended[run].weights.cpu())
        return {
            name: final[name].clone() if name in final else value.to(self._weights.dtype)
            for name, value in initial.items()
        }
