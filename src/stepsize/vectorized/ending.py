"""What is left of a run that has ended, while others go on."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor

from stepsize.pictures.path import Path
from stepsize.vectorized.groups import Group
from stepsize.vectorized.outcome import Outcome
from stepsize.vectorized.recording import Recorder
from stepsize.vectorized.update import State


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
