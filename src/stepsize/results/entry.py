"""A setting on one task: its runs, and what can be said of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from stepsize.results.curves import worst
from stepsize.results.intervals import (
    Interval,
    log_mean_interval,
    mean_interval,
    median_quartiles,
    median_steps,
)
from stepsize.results.rows import RunRow
from stepsize.results.settings import Setting

GAP = "train/gap"


@dataclass(frozen=True)
class Measure:
    """What a task is judged by.

    Attributes:
        tag: the gap to the optimum where it is known, else the monitor.
        mode: whether a smaller ("min") or a larger ("max") value is better.
        log: whether values are compared by their ratios.
        floor: of the gap, below which there is only rounding; 0 for anything else.
    """

    tag: str
    mode: Literal["min", "max"]
    log: bool
    floor: float

    @property
    def is_gap(self) -> bool:
        """Whether it is the distance to a known optimum."""
        return self.tag == GAP

    def final(self, run: RunRow) -> float | None:
        """The final value of a finished run, infinitely bad if it diverged; None if not known."""
        return self._value(run, "final")

    def best(self, run: RunRow) -> float | None:
        """The best value on the way, infinitely bad too for a run that diverged."""
        return self._value(run, "best")

    def _value(self, run: RunRow, which: str) -> float | None:
        if not run.finished or (run.metrics and self.tag not in run.metrics):
            return None
        value = run.metrics.get(self.tag, {}).get(which)
        if run.status == "diverged" or value is None:
            return worst(self.mode)
        return value


@dataclass(frozen=True)
class Entry:
    """A setting on one task.

    Attributes:
        setting: what it is.
        runs: one per seed.
        measure: what it is judged by.
    """

    setting: Setting
    runs: tuple[RunRow, ...]
    measure: Measure

    @cached_property
    def finals(self) -> dict[int, float]:
        """The final value by seed, of finished runs; infinitely bad where the run diverged."""
        values = {run.seed or 0: self.measure.final(run) for run in self.runs}
        return {seed: value for seed, value in values.items() if value is not None}

    @property
    def n(self) -> int:
        """The number of seeds that say something."""
        return len(self.finals)

    def count(self, *statuses: str) -> int:
        """How many runs ended so."""
        return sum(run.status in statuses for run in self.runs)

    @cached_property
    def quartiles(self) -> tuple[float, float, float] | None:
        """Lower quartile, median and upper quartile of the final value."""
        return median_quartiles(self.finals.values()) if self.finals else None

    @property
    def median(self) -> float:
        """Of the final value; NaN where nothing is known."""
        return self.quartiles[1] if self.quartiles else math.nan

    @cached_property
    def mean(self) -> Interval | None:
        """The mean with its 95% interval; None where a run diverged, or nothing is known."""
        values = list(self.finals.values())
        if not values or not all(map(math.isfinite, values)):
            return None
        if self.measure.log:
            return log_mean_interval(values, floor=self.measure.floor)
        return mean_interval(values)

    @cached_property
    def best(self) -> float:
        """The median of the best value on the way; NaN where nothing is known."""
        values = [self.measure.best(run) for run in self.runs]
        known = [value for value in values if value is not None]
        return median_quartiles(known)[1] if known else math.nan

    @cached_property
    def target_steps(self) -> list[float]:
        """Steps to the target of each finished run that had one; inf for a miss."""
        return [run.target_steps for run in self.runs if run.target_steps is not None]

    @property
    def hits(self) -> int:
        """How many met the target."""
        return sum(map(math.isfinite, self.target_steps))

    @property
    def median_target_steps(self) -> float | None:
        """The median of the steps to the target; None where there was no target."""
        return median_steps(self.target_steps) if self.target_steps else None

    @property
    def seconds(self) -> float | None:
        """The median duration of the finished runs."""
        known = [run.seconds for run in self.runs if run.finished and run.seconds is not None]
        return median_quartiles(known)[1] if known else None

    @property
    def steps(self) -> int:
        """The longest run's."""
        return max((run.steps for run in self.runs), default=0)

    @property
    def order(self) -> tuple[float, ...]:
        """Sorts the best first, and what is not known last."""
        if not self.quartiles:
            return (1.0, 0.0, 0.0, 0.0)
        sign = 1.0 if self.measure.mode == "min" else -1.0
        middle = self.mean.center if self.mean else worst("min") * sign
        low, median, high = self.quartiles
        outer = high if self.measure.mode == "min" else low
        return (0.0, sign * median, sign * outer, sign * middle)
