"""A schedule of your own: a constant learning rate with short dips.

    python train.py --config-dir examples/conf scheduler=own_schedule 'allowed_packages=[examples]'

A schedule is a factor of the step, here for torch.optim.lr_scheduler.LambdaLR. It multiplies the
learning rate of every parameter group, so that their ratios are kept. Look at it before you train:

    python -m stepsize schedule scheduler=cosine,step
"""

from __future__ import annotations


class Dips:
    """The factor 1, except for a dip to `depth` at the end of every period.

    A dip shows what a smaller learning rate would bring at this point of the run: the loss drops
    where the steps were too long for the noise, and stays where the run has not arrived yet.

    Args:
        period: scheduler steps from one dip to the next.
        length: scheduler steps of a dip.
        depth: the factor within a dip.

    Raises:
        ValueError: a dip as long as its period.
    """

    # An instance with plain attributes, not a lambda or a closure: LambdaLR writes these into the
    # checkpoint, and a resumed run reads them again.
    def __init__(self, period: int, length: int, depth: float) -> None:
        if not 0 < length < period:
            raise ValueError(f"length={length}: give a number of steps below period={period}")
        self.period, self.length, self.depth = period, length, depth

    def __call__(self, step: int) -> float:
        """The factor of the scheduler's step, which counts from 0."""
        return self.depth if step % self.period >= self.period - self.length else 1.0
