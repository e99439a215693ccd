"""Whether an optimizer steps by the gradients alone, so that they may come from elsewhere.

Lightning hands every optimizer a closure that evaluates the objective. Most call it once, before
they change anything. These step as well without it, when the gradients are there; so do optimizers
of one's own. LBFGS and SAM look at the objective in several places, and others draw random numbers.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from stepsize.callbacks.optimizer_mode import with_modes
from stepsize.vectorized.eligible import KNOWN
from stepsize.vectorized.setting import MOVED, Setting

log = logging.getLogger(__name__)

_STEPS = 3


def reason_against_stepping(setting: Setting, module: nn.Module) -> str | None:
    """Why a setting's runs cannot be stepped from outside; None where they can.

    Args:
        setting: builds the optimizer.
        module: the model; is not changed.
    """
    kinds = _classes(setting.optimizer)
    if all(kind in KNOWN for kind in kinds):
        return None
    names = " with ".join(kind.__name__ for kind in kinds)
    before = torch.get_rng_state()
    try:
        reason = _difference(setting, dict(module.named_parameters()))
    except Exception:
        log.debug("a step without a closure ended with this error", exc_info=True)
        reason = "does not step by the gradients alone"
    if reason is None and not torch.equal(before, torch.get_rng_state()):
        reason = "draws random numbers"
    torch.set_rng_state(before)
    return None if reason is None else f"{names} {reason}"


def _classes(optimizer: Optimizer) -> list[type]:
    parts = getattr(optimizer, "optimizers", None)
    return [kind for part in parts for kind in _classes(part)] if parts else [type(optimizer)]


def _difference(setting: Setting, parameters: Mapping[str, Tensor]) -> str | None:
    """Take a few steps with a closure and without one."""
    twins = [
        setting.named({name: p.detach().clone() for name, p in parameters.items()})
        for _ in range(2)
    ]
    (given, free) = ([parameter for _, parameter in named] for named in twins)
    told, silent = map(setting.build, twins)
    for optimizer in with_modes([told, silent]):
        optimizer.train()  # type: ignore[attr-defined]
    calls: list[bool] = []
    rates = _moved(silent)
    for step in range(_STEPS):
        before = [parameter.detach().clone() for parameter in given]
        gradients = [torch.cos(p.detach() + step) / (1 + step) for p in given]
        for parameters_ in (given, free):
            for parameter, gradient in zip(parameters_, gradients, strict=True):
                if parameter.requires_grad:
                    parameter.grad = gradient.clone()
        slots = [parameter.grad for parameter in free]

        def closure(before: list[Tensor] = before) -> float:
            calls.append(all(map(torch.equal, given, before)))
            return 1.0

        told.step(closure)
        with torch.no_grad():
            silent.step()
        if len(calls) != step + 1 or not calls[-1]:
            return "evaluates the objective elsewhere than at the weights before a step"
        if any(p.grad is not slot for p, slot in zip(free, slots, strict=True)):
            return "puts other tensors in the gradients' places"
        if not all(map(torch.equal, given, free)):
            return "steps otherwise without a closure"
        if _moved(silent) != rates:
            return "moves what schedules move, in each run another way"
    return None


def _moved(optimizer: Optimizer) -> list[list[Any]]:
    return [[group.get(key) for key in MOVED] for group in optimizer.param_groups]
