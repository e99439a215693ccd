"""Durations as shares of the run, such as ``5%`` or ``rest``, converted to scheduler steps.

Lightning steps a scheduler once per optimizer step or epoch, or once in ``frequency`` of them. The
scheduler's positions 0, 1, ... U-1 are the learning rates that the run trains with. ``100%`` is U,
so that a curve with ``T_max: 100%`` ends with the run, after the last optimizer step.

Shares are rounded up, so that a period never fits into the run once more than intended: four
periods of ``25%`` end with the run or a little later, and no restart falls on its last step.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any

REST = "rest"
_SHARE = re.compile(r"\d+(\.\d+)?%")


def is_duration(value: Any) -> bool:
    """Whether a value is a share of the run or ``rest``.

    Raises:
        ValueError: a share that is not a number above 0.
    """
    if not isinstance(value, str) or not (value == REST or value.endswith("%")):
        return False
    if value != REST and (not _SHARE.fullmatch(value) or float(value[:-1]) == 0):
        raise ValueError(
            f"{value}: a share of the run is a number above 0 and a percent sign, such as 2.5%"
        )
    return True


def step_of(moment: str | int, total_steps: float, where: str) -> int:
    """The optimizer step of a moment: a number of steps, or a share of the run, rounded up.

    Args:
        moment: for example ``500`` or ``50%``.
        total_steps: optimizer steps of the run; infinite where it has no end.
        where: the moment's place in the configuration, for the error message.

    Raises:
        ValueError: a share of a run that has no end.
    """
    if isinstance(moment, int):
        return moment
    if math.isinf(total_steps):
        raise ValueError(
            f"{where}={moment}: a share needs to know the run's length; set trainer.max_steps"
        )
    return math.ceil(Stretch.whole(int(total_steps)).position(moment))


def count_positions(
    total_steps: int, steps_per_epoch: int, interval: str, frequency: int = 1
) -> int:
    """How many positions of a scheduler a run uses: its start, and one for each scheduler step.

    Args:
        total_steps: optimizer steps of the run.
        steps_per_epoch: optimizer steps of a full epoch.
        interval: ``step`` or ``epoch``, what Lightning counts.
        frequency: Lightning steps the scheduler once in so many. It counts steps within an epoch,
            from 1 at its start.

    Raises:
        ValueError: a frequency so large that the scheduler would never step.
    """
    last = max(total_steps - 1, 0)  # a change after the last optimizer step has no effect
    epochs, extra = divmod(last, steps_per_epoch)
    if interval == "epoch":
        moves, most, length = epochs // frequency, epochs, "the run"
    else:
        moves = epochs * (steps_per_epoch // frequency) + extra // frequency
        most, length = min(last, steps_per_epoch), "an epoch, within which steps are counted,"
    if frequency > 1 and not moves:
        raise ValueError(
            f"frequency={frequency}: {length} is too short for the learning rate to change; at "
            f"interval={interval} give {f'1 to {most}' if most > 1 else 1}"
        )
    return moves + 1


@dataclass(frozen=True)
class Stretch:
    """The part of a run in which a scheduler is active.

    Attributes:
        run: the whole run, in positions.
        start: where the scheduler begins, not rounded.
        end: where the next one of a sequence begins, or the run ends.
    """

    run: int
    start: Fraction
    end: Fraction

    @classmethod
    def whole(cls, run: int) -> Stretch:
        """All of the run."""
        return cls(run, Fraction(0), Fraction(run))

    def length(self, duration: str) -> int:
        """A share of the run, or the ``rest`` of this stretch, in whole positions, at least 1.

        Both ends are rounded, not the length: after a warm-up of ``5%``, ``95%`` ends with the run.
        """
        end = self.end if duration == REST else self.start + self.position(duration)
        return max(1, math.ceil(end) - math.ceil(self.start))

    def position(self, milestone: Any) -> Fraction:
        """The position of a milestone, counted from the run's start, not rounded."""
        if isinstance(milestone, str):
            return Fraction(milestone[:-1]) / 100 * self.run
        return Fraction(milestone)

    def split(self, positions: list[Fraction]) -> list[Stretch]:
        """The stretches between successive positions."""
        bounds = [self.start, *positions, self.end]
        return [Stretch(self.run, a, b) for a, b in pairwise(bounds)]
