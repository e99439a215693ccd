"""What the next training step is asked to write down."""

from __future__ import annotations

from torch import Tensor


class Measurement:
    """Takes the first evaluation after it was asked for.

    An optimizer with a closure (LBFGS) evaluates the model many times per step. The first one is at
    the weights that the step starts from, which is what a curve against steps must show.

    Attributes:
        wanted: true from ``ask`` until ``take``.
        values: what was taken, by name; empty when nothing was.
    """

    def __init__(self) -> None:
        self.wanted = False
        self.values: dict[str, Tensor] = {}

    def ask(self) -> None:
        self.wanted, self.values = True, {}

    def take(self, values: dict[str, Tensor]) -> None:
        self.wanted, self.values = False, {k: v.detach() for k, v in values.items()}
