"""Functions of the step for LambdaLR and MultiplicativeLR, and numbers for schedules.

The functions are objects with plain attributes, because LambdaLR writes these into the checkpoint:
it then loads under torch's safe default, and the schedule can be pickled. To add one, write a class
whose ``__call__(step)`` returns the factor, and name it in ``lr_lambda._target_``.
"""

from __future__ import annotations

import math


class InverseSqrt:
    """Linear warm-up, then 1 / sqrt(step); the factor's peak is 1.

    Vaswani et al. (2017), Attention Is All You Need, equation 3, normalised by its peak.

    Args:
        warmup: steps until the peak, at least 1.
    """

    def __init__(self, warmup: int) -> None:
        _require_positive(warmup=warmup)
        self.warmup = warmup

    def __call__(self, step: int) -> float:
        count = step + 1
        return min(count / self.warmup, math.sqrt(self.warmup / count))


class InverseTime:
    """The factor 1 / (1 + step / half_life): half after half_life steps, a third after two.

    Learning rates proportional to 1/t make stochastic gradient descent converge despite noise:
    Robbins and Monro (1951), A Stochastic Approximation Method.

    Args:
        half_life: steps until the learning rate is half its initial value, at least 1.
    """

    def __init__(self, half_life: int) -> None:
        _require_positive(half_life=half_life)
        self.half_life = half_life

    def __call__(self, step: int) -> float:
        return 1 / (1 + step / self.half_life)


class ConstantRatio:
    """The same factor at every step, for MultiplicativeLR.

    Args:
        total: the product of the factors over ``steps`` steps, above 0.
        steps: over how many steps.
    """

    def __init__(self, total: float, steps: int) -> None:
        self.factor = per_step(total, steps)

    def __call__(self, step: int) -> float:
        return self.factor


def per_step(total: float, steps: int) -> float:
    """The factor per step whose product over ``steps`` steps is ``total``."""
    _require_positive(total=total, steps=steps)
    return total ** (1 / steps)


def scaled(value: float, factor: float) -> float:
    """The product, for an lr relative to another: ``value: ${optimizer.lr}, factor: 0.1``."""
    return value * factor


def _require_positive(**arguments: float) -> None:
    for name, value in arguments.items():
        if not isinstance(value, (int, float)) or not value > 0:
            raise ValueError(f"{name}={value}: give a number above 0")
