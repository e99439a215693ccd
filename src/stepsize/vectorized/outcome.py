"""The outcome of one vectorized run: its weights, states and metrics at its last step."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from stepsize.vectorized.groups import Components, Group
from stepsize.vectorized.recording import Recorder
from stepsize.vectorized.steppers import State
from stepsize.vectorized.variant import Variant


@dataclass(frozen=True)
class Outcome:
    """A run at its last step.

    Attributes:
        group: the group that the run was trained in.
        index: the run's position in the group.
        recorder: what was logged of the group.
        steps: optimizer steps taken.
        diverged: why and when it diverged, as the callback ``Divergence`` says it; else None.
        weights: the evaluation weights, [columns].
        training_weights: in its groups' order, where it trains at others than it evaluates at;
            else None.
        trajectory: the state of its plot's path; None without such a plot.
        optimizer_state: makes the ``"state"`` of its optimizer's ``state_dict()``.
        param_groups: the ``"param_groups"`` of its optimizer's ``state_dict()``.
        scheduler_state: its schedule's ``state_dict()``; None for a constant learning rate.
        metrics: the last logged values by tag, as in ``trainer.callback_metrics``.
        end_tags: the tags that were logged only because the run ended.
        validated_before_end: whether a validation fell on the last step, as scheduled or because
            the run diverged.
        seconds: the time of the group's training, divided by its number of runs.
    """

    group: Group
    index: int
    recorder: Recorder
    steps: int
    diverged: str | None
    weights: Tensor
    training_weights: Sequence[Tensor] | None
    trajectory: dict[str, Any] | None
    optimizer_state: Callable[[], State]
    param_groups: list[dict[str, Any]]
    scheduler_state: dict[str, Any] | None
    metrics: dict[str, Tensor]
    end_tags: Sequence[str]
    validated_before_end: bool
    seconds: float = 0.0

    @property
    def rows(self) -> dict[int, dict[str, float]]:
        """``{step: {tag: value}}``, as in :class:`stepsize.loggers.metrics_csv.History`."""
        return self.recorder.curves.rows(self.index)

    @property
    def last_logged(self) -> int:
        """The last step at which training metrics were logged."""
        return (self.steps - 1) // self.group.log_every * self.group.log_every

    @property
    def optimum(self) -> float | None:
        """The smallest value of the objective, where it is known."""
        return None if self.recorder.gap is None else self.recorder.gap.optimum

    @property
    def variant(self) -> Variant:
        """The optimizer and schedule, which other runs share."""
        return self.group.variants[self.group.variant_of[self.index]]

    @property
    def components(self) -> Components:
        """The initial module, the data, and the random state."""
        return self.group.components[self.index]

    @property
    def fingerprints(self) -> dict[str, str | None]:
        """As the callback ``Fingerprints`` takes them of an individual run."""
        return self.components.fingerprints(self.steps, self.weights.dtype)

    def module(self) -> Any:
        """A LightningModule with the evaluation weights."""
        module = copy.deepcopy(self.components.module).to(self.weights.dtype)
        module.load_state_dict(self.state_dict())
        return module

    def state_dict(self) -> dict[str, Tensor]:
        """The ``state_dict()`` of :meth:`module`."""
        initial = self.components.module.state_dict()
        final = self.group.layout.split(self.weights.cpu())
        return {
            name: final[name].clone() if name in final else value.to(self.weights.dtype)
            for name, value in initial.items()
        }
