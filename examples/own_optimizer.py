"""An optimizer of your own: steps in the direction of the sign of an averaged gradient.

    python train.py --config-dir examples/conf optimizer=own_optimizer 'allowed_packages=[examples]'

Any subclass of torch.optim.Optimizer works: parameter groups, schedules, checkpoints and sweeps
need only the three attributes that torch defines, `defaults`, `param_groups` and `state`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


class SignMomentum(Optimizer):
    """w <- w - lr * sign(m), where m averages the gradients (Bernstein et al., 2018, Signum).

    Args:
        params: parameters or groups.
        lr: how far a step moves every single weight.
        beta: decay of the average, 0 to 1 (excluded).

    Raises:
        ValueError: a value out of range.
    """

    def __init__(self, params: Iterable[Any], lr: float = 1e-3, beta: float = 0.9) -> None:
        if not 0 <= beta < 1:
            raise ValueError(f"beta={beta}: give a number from 0 up to 1, such as 0.9")
        # The keys of `defaults` are the options that a parameter group may override.
        super().__init__(params, {"lr": lr, "beta": beta})

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:
        """Update every parameter that has a gradient."""
        # Lightning passes a closure that computes the gradients, so that it must be called first.
        with torch.enable_grad():
            loss = None if closure is None else closure()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                # What is stored in `state`, a checkpoint saves and a resumed run loads.
                state = self.state[weight]
                if not state:
                    state["average"] = torch.zeros_like(weight)
                state["average"].lerp_(weight.grad, 1 - group["beta"])
                # From the group and not from self: a schedule changes the group's lr.
                weight.sub_(state["average"].sign(), alpha=group["lr"])
        return loss
