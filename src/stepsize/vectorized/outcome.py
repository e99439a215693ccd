"""What has come of a run that was trained together with others."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor

from stepsize.callbacks.divergence import Divergence
from stepsize.data import InMemoryData
from stepsize.plots.path import Path
from stepsize.vectorized.groups import Group
from stepsize.vectorized.recording import Curves, Recorder
from stepsize.vectorized.steppers import State
from stepsize.vectorized.variant import Length, Setting


@dataclass(frozen=True)
class Outcome:
    """What one run has come to.

    Attributes:
        curves: the curves of all runs that were trained with it.
        index: its own among these.
        steps: optimizer steps taken.
        length: what a run takes that does not diverge.
        diverged: what happened and when, as the callback ``Divergence`` says it;
            None where nothing did.
        training_weights: in its groups' order, where it trains at other weights than those that
            count; else None.
        way: the iterates that its plot shows; None where there is no such plot.
        optimum: the smallest value of the objective, where it is known.
        seconds: its share of the time that all took together.
        setting: its optimizer and schedule, which other runs share.
        data: its data module.
        watches: its callbacks ``Divergence``, as they are at the end.
        metrics: the last logged values by tag, as callbacks of an ordinary run see them.
        last_logged: the last step with a row of the training.
        end_tags: what was logged only because the run has ended.
        validated_before_end: whether a validation fell on the last step, by rhythm or divergence.
        module: makes a LightningModule with the final weights.
        state_dict: makes its ``state_dict()``.
        optimizer_state: makes what ``optimizer.state_dict()`` is after a run of its own.
        scheduler_state: makes what its schedule's ``state_dict()`` is, None for a constant rate.
        random_state: of the random number generators, as ``checkpoint.trainer_state`` keeps it.
    """

    curves: Curves
    index: int
    steps: int
    length: Length
    diverged: str | None
    training_weights: Sequence[Tensor] | None
    way: Path | None
    optimum: float | None
    seconds: float
    setting: Setting
    data: InMemoryData
    watches: Sequence[Divergence]
    metrics: Mapping[str, Tensor]
    last_logged: int
    end_tags: Sequence[str]
    validated_before_end: bool
    module: Callable[[], Any]
    state_dict: Callable[[], dict[str, Tensor]]
    optimizer_state: Callable[[], dict[str, Any]]
    scheduler_state: Callable[[], dict[str, Any] | None]
    random_state: Mapping[str, Any]

    @property
    def rows(self) -> dict[int, dict[str, float]]:
        """``{step: {tag: value}}``, as in :class:`stepsize.loggers.metrics_csv.History`."""
        return self.curves.rows(self.index)


@dataclass(frozen=True)
class Ending:
    """Of one run.

    Attributes:
        step: steps taken.
        reason: why it has diverged; None where it has not.
        weights: [columns].
        state: makes the optimizer's.
        groups: of the optimizer's ``state_dict``.
        schedule: its ``state_dict``, None for constant rates.
        metrics: the last logged values by tag.
        tags: what was logged only because the run has ended.
        validated: whether there was a validation at the last step before that.
        training_weights: in its groups' order, where the run trains at others than ``weights``.
        way: of the iterates, where they are drawn.
    """

    step: int
    reason: str | None
    weights: Tensor
    state: Callable[[], State]
    groups: list[dict[str, Any]]
    schedule: dict[str, Any] | None
    metrics: dict[str, Tensor]
    tags: list[str]
    validated: bool
    training_weights: list[Tensor] | None
    way: Path | None

    def outcome(
        self, run: int, group: Group, recorder: Recorder, every: int, seconds: float
    ) -> Outcome:
        """What the run has come to.

        Args:
            run: its position in the group.
            group: that it was trained in.
            recorder: of the group's curves.
            every: the steps between two rows.
            seconds: its share of the time.
        """
        return Outcome(
            curves=recorder.curves,
            index=run,
            steps=self.step,
            length=group.length,
            setting=group.settings[group.owners[run]],
            data=group.parts[run].data,
            watches=recorder.watches[run],
            metrics=self.metrics,
            last_logged=(self.step - 1) // every * every,
            end_tags=self.tags,
            validated_before_end=self.validated,
            diverged=self.reason,
            training_weights=self.training_weights,
            way=self.way,
            optimum=None if recorder.gap is None else recorder.gap.optimum,
            seconds=seconds,
            module=partial(self._module, run, group),
            state_dict=partial(self._state_dict, run, group),
            optimizer_state=lambda: {"state": self.state(), "param_groups": self.groups},
            scheduler_state=lambda: self.schedule,
            random_state=group.parts[run].random_state,
        )

    def _module(self, run: int, group: Group) -> Any:
        module = copy.deepcopy(group.parts[run].module).to(self.weights.dtype)
        module.load_state_dict(self._state_dict(run, group))
        return module

    def _state_dict(self, run: int, group: Group) -> dict[str, Tensor]:
        initial = group.parts[run].module.state_dict()
        final = group.layout.split(self.weights.cpu())
        return {
            name: final[name].clone() if name in final else value.to(self.weights.dtype)
            for name, value in initial.items()
        }
