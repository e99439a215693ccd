"""An optimizer of your own: any torch.optim.Optimizer, named in a configuration file.

    python train.py --config-dir examples/conf optimizer=own_optimizer allowed_packages=[examples]

Parameter groups, schedules, resuming and sweeps work as for torch's own. Three habits make it so:
options are keyword arguments with the names in ``defaults``, state lives in ``self.state``, and
``step`` reads all options from the group.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch


class Signum(torch.optim.Optimizer):
    """Moves every weight by lr in the direction of the averaged gradient's sign.

    Bernstein et al. (2018), signSGD: Compressed Optimisation for Non-Convex Problems.

    Args:
        params: parameters or parameter groups.
        lr: learning rate: the size of every weight's step.
        momentum: decay of the gradient's average, from 0 to below 1.
    """

    def __init__(self, params: Iterable[Any], lr: float = 1e-3, momentum: float = 0.9) -> None:
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum={momentum}: give a number from 0 to below 1")
        # `defaults` are the options of every group that does not set its own.
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step. Lightning passes a closure, which computes the loss and the gradients."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                # Tensors in `state` are saved in checkpoints and restored from them.
                state = self.state[parameter]
                average = state.setdefault("average", torch.zeros_like(parameter))
                average.lerp_(parameter.grad, 1 - group["momentum"])
                parameter.sub_(average.sign(), alpha=group["lr"])
        return loss
