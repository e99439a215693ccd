"""What has come of a run that was trained together with others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from stepsize.callbacks import Divergence
from stepsize.data import InMemoryData
from stepsize.pictures.path import Path
from stepsize.vectorized.curves import Curves
from stepsize.vectorized.length import Length
from stepsize.vectorized.setting import Setting


@dataclass(frozen=True)
class Outcome:
    """What one run has come to.

    Attributes:
        curves: the curves of all runs that were trained with it.
        index: its own among these.
        steps: optimizer steps taken.
        length: what a run takes that does not diverge.
        diverged: what happened and when, as :class:`stepsize.callbacks.Divergence` says it; None
            where nothing did.
        training_weights: in its groups' order, where it trains at other weights than those that
            count; else None.
        way: the iterates that its picture shows; None where there is no such picture.
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
        random_state: of the random number generators, as :mod:`stepsize.between_steps` keeps it.
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
        """``{step: {tag: value}}``, as in :class:`stepsize.history.History`."""
        return self.curves.rows(self.index)
