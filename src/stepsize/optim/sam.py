"""Sharpness-aware minimization for Lightning, whose optimizers get a closure.

Needs the extra ``optimizers``, which brings pytorch_optimizer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytorch_optimizer
import torch
from torch.optim import LBFGS, Optimizer

from stepsize.config.instantiate import locate


class SAM(pytorch_optimizer.SAM):
    """Sharpness-aware minimization (Foret et al., 2021, arXiv:2010.01412).

    pytorch_optimizer's own class expects the gradients before ``step`` is called. Under Lightning
    these would be the gradients of the previous step, at other weights.

    Args:
        params: parameters or groups.
        base_optimizer: the dotted path of the class that applies the gradient.
        **options: ``rho``, ``adaptive``, ``use_gc`` and ``perturb_eps`` of SAM; all others are the
            base optimizer's.

    Raises:
        ValueError: the path names no optimizer, or one that evaluates the model in its step.
    """

    def __init__(self, params: Any, base_optimizer: str, **options: Any) -> None:
        base = locate(base_optimizer)
        if not (isinstance(base, type) and issubclass(base, Optimizer)):
            raise ValueError(f"base_optimizer={base_optimizer} is not a torch optimizer class")
        if issubclass(base, LBFGS) or hasattr(base, "first_step"):
            raise ValueError(
                f"base_optimizer={base_optimizer} evaluates the model within its own step; "
                "use one that does not, such as torch.optim.SGD"
            )
        super().__init__(params, base, **options)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Evaluate at the weights w, then at w + e, and apply the second gradient at w.

        Returns:
            The loss at w.
        """
        if closure is None:
            raise ValueError("SAM evaluates the model twice per step; call step with a closure")
        with torch.enable_grad():
            loss = closure()
        super().step(closure)
        return loss
