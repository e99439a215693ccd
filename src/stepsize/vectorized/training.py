"""The loop that trains the runs of a group as one program.

It replaces Lightning's Trainer, whose step takes 0.3 ms before anything is computed: a quarter of
what a step of 770 small runs takes. A Trainer also has one optimizer and one end, where each
variant here has its own optimizer, and each run may end at its own step. What a Trainer decides
for a run is the same here, and tests compare every number: the length, when rows and validations
are logged, precision, clipping, and the order within a step.
"""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import torch

from stepsize.callbacks.divergence import Divergence
from stepsize.callbacks.norms import Norms
from stepsize.callbacks.plateau_start import never_stepped
from stepsize.vectorized.autotune import autotune
from stepsize.vectorized.batches import Batch, Streams
from stepsize.vectorized.eligibility import PRECISIONS, step_reason
from stepsize.vectorized.groups import Group, callback_arguments, pick_device
from stepsize.vectorized.objective import StackedObjective
from stepsize.vectorized.outcome import Outcome
from stepsize.vectorized.recording import Recorder, StackedGap, Trajectories, clip, group_norms
from stepsize.vectorized.stack import Stack
from stepsize.vectorized.steppers import State, make_steppers

log = logging.getLogger(__name__)


class NotVectorizableError(ValueError):
    """The runs of a group must be trained individually; the message is the reason."""


class Training:
    """Trains a group.

    Args:
        group: the runs.
        compile: whether to compile the objective; None compiles where it saves time.
        on_step: called after every step with the number of steps done.

    Attributes:
        description: the program that :func:`autotune` chose.
        seconds_compiling: the time it spent compiling; :meth:`run` compiles nothing.

    Raises:
        NotVectorizableError: the runs must be trained individually.
    """

    def __init__(
        self,
        group: Group,
        compile: bool | None = None,
        on_step: Callable[[int], None] | None = None,
    ) -> None:
        began = time.perf_counter()
        self.group = group
        self._on_step = on_step
        config, module = group.configs[0], group.components[0].module
        trainer = self._trainer = config["trainer"]
        device = pick_device(trainer.get("accelerator", "auto"))
        dtype = PRECISIONS[trainer.get("precision", "32-true")]
        norms = [Norms(**arguments).every for arguments in callback_arguments(config, Norms)]
        self._norms_every = norms[0] * group.log_every if norms else 0

        self._streams = Streams([components.data for components in group.components], dtype, device)
        self._next_batch = next(self._streams)
        runs = len(group.numbers)
        first = self._streams.batch(self._next_batch, np.arange(runs))
        reason = step_reason(module, first, dtype, device)
        if reason is not None:
            raise NotVectorizableError(reason)

        layout = group.layout
        steppers, order = make_steppers(group.variants, layout, group.variant_of)
        self._has_plateaus = any(variant.plateau_monitor is not None for variant in group.variants)
        initial = {components: layout.row(components.module) for components in group.components}
        rows = torch.stack([initial[group.components[run]] for run in order])
        self._stack = Stack(rows.to(device, dtype), order, steppers)
        self._trajectories = Trajectories.where_plotted(
            config, copy.deepcopy(module).to(dtype), layout, runs
        )
        gap = StackedGap.where_known(module, group.components[0].data)
        divergence = callback_arguments(config, Divergence)
        self._recorder = Recorder(runs, self._stack, gap, divergence)
        self._outcomes: dict[int, Outcome] = {}

        self._objective = StackedObjective(module, layout, dtype, device)
        self.description, self.seconds_compiling = autotune(
            self._objective, self._stack.weights, self._batch(), group.length.steps, compile
        )
        self._seconds = time.perf_counter() - began

    @property
    def rows(self) -> np.ndarray:
        """The run in each row of the stack: the active runs, and a few that have just ended."""
        return self._stack.runs

    def run(self) -> list[Outcome]:
        """Train, and return the outcome of each run in the group's order."""
        began = time.perf_counter()
        steps = self.group.length.steps
        for step in range(steps):
            self._step(step)
            if self._on_step is not None:
                self._on_step(step + 1)
            if not len(self._stack.runs):
                break
        if self._has_plateaus:
            self._warn_of_constant_plateaus()
        rows = self._stack.active_rows
        if len(rows):
            self._end(rows, steps, {}, validated=self._validates(steps))
        self._seconds += time.perf_counter() - began
        share = self._seconds / len(self._outcomes)
        return [replace(self._outcomes[run], seconds=share) for run in sorted(self._outcomes)]

    def _step(self, step: int) -> None:
        """One step, in the order of Lightning's loop and the callbacks."""
        recorder, stack, steppers = self._recorder, self._stack, self._stack.steppers
        batch = self._batch()
        self._next_batch = next(self._streams)
        if self._trajectories is not None:
            self._trajectories.add(step, stack.weights, stack.runs)
        logged = step % self.group.log_every == 0
        lrs = [stepper.lrs() for stepper in steppers] if logged else []
        gaps = self._gaps() if logged else None
        values = self._objective.gradients(
            stack.weights, batch, stack.gradients, with_metrics=logged
        )
        with_norms = self._norms_every and step % self._norms_every == 0
        if with_norms:
            norms = [group_norms(stepper, stack.gradients[stepper.rows]) for stepper in steppers]
            before = stack.weights.clone()
        if self._trainer.get("gradient_clip_val"):
            clip(
                steppers,
                stack.gradients,
                float(self._trainer["gradient_clip_val"]),
                self._trainer.get("gradient_clip_algorithm") or "norm",
            )
        for stepper in steppers:
            stepper.step()
        for variant in self.group.variants:
            variant.step_schedule(step)
        diverged: dict[int, str] = {}
        if logged:
            recorder.log_values(step, "train", values)
            recorder.log_lrs(step, lrs)
            recorder.log_gaps(step, gaps)
        if with_norms:
            recorder.log_norms(step, norms, before)
        if logged:
            diverged = recorder.diverged(step)
        validates = self._validates(step + 1)
        if validates:
            self._validate(step + 1, stack.active_rows)
        rows = np.array(list(diverged), dtype=int)
        if diverged and not validates and self._streams.val is not None:
            self._validate(step + 1, rows)  # as Lightning does when a callback stops the training
        if self._has_plateaus:
            self._step_plateaus(step)
        if diverged:
            self._end(rows, step + 1, diverged, validated=self._streams.val is not None)

    def _gaps(self) -> np.ndarray | None:
        gap, stack = self._recorder.gap, self._stack
        if gap is None:
            return None
        return gap.of(stack.evaluation_weights(np.arange(len(stack.runs))))

    def _step_plateaus(self, step: int) -> None:
        for run in self._stack.runs[self._stack.active].tolist():
            variant = self.group.variants[self.group.variant_of[run]]
            if variant.plateau_monitor is not None:
                value = self._recorder.latest(run, variant.plateau_monitor)
                variant.step_plateau(step, value)

    def _warn_of_constant_plateaus(self) -> None:
        latest = self._recorder.latest
        for run in self._stack.runs[self._stack.active].tolist():
            monitor = self.group.variants[self.group.variant_of[run]].plateau_monitor
            if monitor is not None and latest(run, monitor) is None:
                metrics = self._recorder.callback_metrics(run, torch.float32)
                log.warning("%s", never_stepped(monitor, metrics))
                return  # the same is true of all runs, which log at the same steps

    def _batch(self) -> Batch:
        return self._streams.batch(self._next_batch, self._stack.runs)

    def _validates(self, step: int) -> bool:
        every: int = self._trainer["val_check_interval"]
        return self._streams.val is not None and step % every == 0

    def _validate(self, step: int, rows: np.ndarray) -> None:
        assert self._streams.val is not None
        batch = self._streams.shared(self._streams.val)
        values = self._objective.validate(self._stack.evaluation_weights(rows), batch)
        self._recorder.log_values(step, "val", values, rows)

    def _end(
        self, rows: np.ndarray, step: int, diverged: dict[int, str], *, validated: bool
    ) -> None:
        """Log the final values of some rows, keep their outcomes, and remove them."""
        stack, recorder, group = self._stack, self._recorder, self.group
        weights = stack.evaluation_weights(rows)
        end_tags = []
        if group.components[0].data.full_batch:
            batch = self._streams.batch(self._next_batch, stack.runs[rows])
            values = self._objective.evaluate(weights, batch)
            recorder.log_values(step, "train", values, rows)
            end_tags += [f"train/{name}" for name in ("loss", *values.metrics)]
        if recorder.gap is not None:
            recorder.log_gaps(step, recorder.gap.of(weights), rows)
            end_tags += ["train/gap", "train/log10_gap"]
        runs = stack.runs[rows].tolist()
        indices = {group.variant_of[run] for run in runs}
        trajectories = None if self._trajectories is None else self._trajectories.of(runs)
        schedules = {index: group.variants[index].scheduler_state() for index in indices}
        for index, row in enumerate(rows.tolist()):
            run = runs[index]
            stepper, position = stack.stepper_of(row)
            state: Callable[[], State] = partial(stepper.state_of, position)
            if diverged:  # the stepper continues with the other runs, and so does its state
                state = partial(dict, state())
            self._outcomes[run] = Outcome(
                group=group,
                index=run,
                recorder=recorder,
                steps=step,
                diverged=diverged.get(row),
                weights=weights[index],
                training_weights=stepper.training_weights_of(position),
                trajectory=None if trajectories is None else trajectories[index],
                optimizer_state=state,
                param_groups=stepper.param_groups_of(position),
                scheduler_state=schedules[group.variant_of[run]],
                metrics=recorder.callback_metrics(run, weights.dtype),
                end_tags=end_tags,
                validated_before_end=validated,
            )
        if self._streams.val is not None and not validated:
            self._validate(step, rows)
        if diverged:
            stack.end(rows)
