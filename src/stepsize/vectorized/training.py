"""The loop that trains a group of runs as one program.

Lightning's Trainer is not around it: its step costs 0.3 ms before anything is computed, a quarter
of what a step of 770 small runs takes, and its counters know one optimizer and one end, where here
every setting has an optimizer and every run may end by itself. What a Trainer decides for a run,
the length, the rhythm of rows and validations, precision, clipping and the order of what happens
in a step, is the same here, and the tests compare every number.
"""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch

from stepsize.callbacks.divergence import Divergence
from stepsize.callbacks.norms import Norms
from stepsize.callbacks.plateau_start import never_stepped
from stepsize.vectorized.autotune import settle
from stepsize.vectorized.batches import Batch, Streams
from stepsize.vectorized.eligibility import PRECISIONS, reason_against_stacking
from stepsize.vectorized.groups import Group, pick_device, watching
from stepsize.vectorized.objective import StackedObjective
from stepsize.vectorized.outcome import Ending, Outcome
from stepsize.vectorized.recording import Recorder, StackedGap, clip, group_norms
from stepsize.vectorized.stack import Stack
from stepsize.vectorized.steppers import State, make_updates
from stepsize.vectorized.trajectories import Ways

log = logging.getLogger(__name__)


class CannotStackError(ValueError):
    """The runs of a group cannot be trained together; the message says why."""


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
        updates, order = make_updates(group.settings, layout, group.owners)
        self._follow = any(setting.follows is not None for setting in group.settings)
        initial = {parts: layout.row(parts.module) for parts in group.parts}
        rows = torch.stack([initial[group.parts[run]] for run in order])
        self._stack = Stack(rows.to(device, dtype), order, updates)
        self._ways = Ways.where_drawn(config, copy.deepcopy(module).to(dtype), layout, runs)
        gap = StackedGap.where_known(module, group.parts[0].data)
        self._recorder = Recorder(runs, self._stack, gap, watching(config, Divergence))
        self._ended: dict[int, Ending] = {}

        self._objective = StackedObjective(module, layout, dtype, device)
        self.how, self.seconds_compiling = settle(
            self._objective, self._stack.weights, self._batch(), group.length.steps, compile
        )
        self._seconds = time.perf_counter() - began

    @property
    def rows(self) -> np.ndarray:
        """The run in each row of the stack: those that go on, and a few that have just ended."""
        return self._stack.runs

    def run(self) -> list[Outcome]:
        """Train, and say what has come of each job, in the group's order."""
        began = time.perf_counter()
        steps = self.group.length.steps
        for step in range(steps):
            self._step(step)
            if self._tell is not None:
                self._tell(step + 1)
            if not len(self._stack.runs):
                break
        if self._follow:
            self._tell_of_still_plateaus()
        rows = self._stack.going_on
        if len(rows):
            self._end(rows, steps, {}, validated=self._validates(steps))
        self._seconds += time.perf_counter() - began
        runs = range(len(self.group.numbers))
        each = self._seconds / len(runs)
        return [
            self._ended[run].outcome(run, self.group, self._recorder, self._every, each)
            for run in runs
        ]

    def _step(self, step: int) -> None:
        """Do what Lightning's loop and the callbacks do in a step, in their order."""
        recorder, stack, updates = self._recorder, self._stack, self._stack.updates
        batch = self._batch()
        self._upcoming = next(self._streams)
        if self._ways is not None:
            self._ways.note(step, stack.weights, stack.runs)
        logged = step % self._every == 0
        rates = [update.rates() for update in updates] if logged else []
        gaps = self._gaps() if logged else None
        values = self._objective.gradients(
            stack.weights, batch, stack.gradients, with_metrics=logged
        )
        measured = self._measure_every and step % self._measure_every == 0
        if measured:
            norms = [group_norms(update, stack.gradients[update.rows]) for update in updates]
            before = stack.weights.clone()
        if self._trainer.get("gradient_clip_val"):
            clip(
                updates,
                stack.gradients,
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
            recorder.rates(step, rates)
            recorder.gaps(step, gaps)
        if measured:
            recorder.norms(step, norms, before)
        if logged:
            ending = recorder.diverged(step)
        validates = self._validates(step + 1)
        if validates:
            self._validate(step + 1, stack.going_on)
        rows = np.array(list(ending), dtype=int)
        if ending and not validates and self._streams.val is not None:
            self._validate(step + 1, rows)  # Lightning does, when it is told to stop
        if self._follow:
            self._move_plateaus(step)
        if ending:
            self._end(rows, step + 1, ending, validated=self._streams.val is not None)

    def _gaps(self) -> np.ndarray | None:
        gap, stack = self._recorder.gap, self._stack
        return None if gap is None else gap.of(stack.answers(np.arange(len(stack.runs))))

    def _move_plateaus(self, step: int) -> None:
        for run in self._stack.runs[self._stack.alive].tolist():
            setting = self.group.settings[self.group.owners[run]]
            if setting.follows is not None:
                setting.follow(step, self._recorder.latest(run, setting.follows))

    def _tell_of_still_plateaus(self) -> None:
        latest = self._recorder.latest
        for run in self._stack.runs[self._stack.alive].tolist():
            monitor = self.group.settings[self.group.owners[run]].follows
            if monitor is not None and latest(run, monitor) is None:
                log.warning("%s", never_stepped(monitor, self._recorder.last(run, torch.float32)))
                return  # of all runs, which have one rhythm, the same

    def _batch(self) -> Batch:
        return self._streams.batch(self._upcoming, self._stack.runs)

    def _validates(self, step: int) -> bool:
        every: int = self._trainer["val_check_interval"]
        return self._streams.val is not None and step % every == 0

    def _validate(self, step: int, rows: np.ndarray) -> None:
        assert self._streams.val is not None
        batch = self._streams.shared(self._streams.val)
        values = self._objective.validate(self._stack.answers(rows), batch)
        self._recorder.values(step, "val", values, rows)

    def _end(
        self, rows: np.ndarray, step: int, reasons: dict[int, str], *, validated: bool
    ) -> None:
        """Log the final values of some rows, keep what has come of them, and let them go."""
        stack, recorder = self._stack, self._recorder
        weights = stack.answers(rows)
        ends = []
        if self.group.parts[0].data.full_batch:
            batch = self._streams.batch(self._upcoming, stack.runs[rows])
            values = self._objective.evaluate(weights, batch)
            recorder.values(step, "train", values, rows)
            ends += [f"train/{name}" for name in ("loss", *values.metrics)]
        if recorder.gap is not None:
            recorder.gaps(step, recorder.gap.of(weights), rows)
            ends += ["train/gap", "train/log10_gap"]
        owners = {self.group.owners[run] for run in stack.runs[rows].tolist()}
        schedules = {owner: self.group.settings[owner].schedule() for owner in owners}
        for position, row in enumerate(rows.tolist()):
            run = int(stack.runs[row])
            update, place = stack.place_of(row)
            state: Callable[[], State] = partial(update.state_of, place)
            if reasons:  # the others go on, and so does the optimizer that has its state
                state = partial(dict, state())
            self._ended[run] = Ending(
                step,
                reasons.get(row),
                weights[position],
                state,
                update.groups_of(place),
                schedules[self.group.owners[run]],
                metrics=recorder.last(run, weights.dtype),
                tags=ends,
                validated=validated,
                training_weights=update.training_weights_of(place),
                way=None if self._ways is None else self._ways.of(run),
            )
        if self._streams.val is not None and not validated:
            self._validate(step, rows)
        if reasons:
            stack.end(rows)
