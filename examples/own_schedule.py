"""A learning-rate schedule of your own: a function of the step for torch's LambdaLR.

    python train.py --config-dir examples/conf scheduler=own_schedule allowed_packages=[examples]

The learning rate of step s is ``optimizer.lr * factor(s)``, in every parameter group. The function
is an object with plain attributes, because LambdaLR saves these in the checkpoint. A subclass of
``torch.optim.lr_scheduler.LRScheduler`` works in the same way: name it as ``_target_``.
"""

import math


class Sawtooth:
    """Falls linearly from 1 to ``lowest``, and starts again at 1 after every period.

    Args:
        period: steps from one restart to the next; a share of the run in the configuration.
        lowest: the smallest factor, at the end of every period.
    """

    def __init__(self, period: int, lowest: float) -> None:
        if period < 1 or not 0 <= lowest <= 1:
            raise ValueError(
                f"period={period}, lowest={lowest}: give a period of 1 step or more, and a lowest "
                "factor from 0 to 1"
            )
        self.period, self.lowest = period, lowest

    def __call__(self, step: int) -> float:
        """The factor of a step, counted from 0."""
        done = math.fmod(step, self.period) / self.period
        return 1 - (1 - self.lowest) * done
