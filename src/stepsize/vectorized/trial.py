"""One evaluation both ways, before a group is trained together."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import nn

from stepsize.modules import Module
from stepsize.vectorized.batches import Batch
from stepsize.vectorized.layout import Layout
from stepsize.vectorized.objective import StackedObjective

_TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-8}


def reason_against_stacking(
    module: Module, batch: Batch, dtype: torch.dtype, device: torch.device
) -> str | None:
    """Why a model's runs cannot be trained together; None where they can.

    Args:
        module: with its initial weights; is not changed.
        batch: the first batch of the first run.
        dtype: of weights and data.
        device: where they are.
    """
    layout = Layout.of(module)
    twin = copy.deepcopy(module).to(device, dtype)
    twin._trainer = _Absent()  # type: ignore[assignment]
    buffers = {name: tensor.clone() for name, tensor in twin.named_buffers()}
    notes = _notes(twin)
    before = torch.get_rng_state()
    tensors, axis = batch.first(1).of(slice(0, 1))
    try:
        loss = twin.step(tensors if axis is None else tuple(t[0] for t in tensors)).loss
    except _AskedError as asked:
        return f"it asks for its Trainer's {asked}"
    loss.backward()
    for name, value in _notes(twin).items():
        if value != notes.get(name):
            return f"it changes its {name} in every step"
    if not torch.equal(before, torch.get_rng_state()):
        return "it draws random numbers in every step"
    if any(not torch.equal(buffers[name], tensor) for name, tensor in twin.named_buffers()):
        return "it changes its buffers in every step"
    for name, parameter in twin.named_parameters():
        if parameter.requires_grad and parameter.grad is None:
            return f"{name} gets no gradient"
    weights = layout.row(twin)[None].repeat(2, 1)
    gradients = torch.empty_like(weights)
    both = Batch([tensors], batch.stream) if axis is None else _doubled(batch)
    objective = StackedObjective(module, layout, dtype, device)
    try:
        objective.trace(weights, both, 2)
        objective.gradients(weights, both, gradients)
        objective.evaluate(weights, both)
    except Exception as error:
        return f"torch.vmap cannot evaluate it: {' '.join(str(error).split())[:120]}"
    plain = torch.cat(
        [(torch.zeros_like(p) if p.grad is None else p.grad).reshape(-1) for p in twin.parameters()]
    )
    trained = torch.cat([torch.full((p.numel(),), p.requires_grad) for p in twin.parameters()])
    distance = ((gradients[0] - plain)[trained.to(device)]).norm().item()
    if not distance <= _TOLERANCE[dtype] * plain.norm().item() + math.ulp(1.0):
        return "its gradient is another one under torch.vmap"
    return None


class _AskedError(Exception):
    """Which attribute was asked for."""


class _Absent:
    """In place of a Trainer: there is one for all runs or none, and it has no steps to tell."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise _AskedError(name)


def _notes(module: nn.Module) -> dict[str, Any]:
    """The plain values that a module and its parts keep as attributes."""
    return {
        f"{name}.{key}" if name else key: value
        for name, part in module.named_modules()
        for key, value in vars(part).items()
        if isinstance(value, (bool, int, float, str))
    }


def _doubled(batch: Batch) -> Batch:
    double = copy.copy(batch)
    double.stream = batch.stream[:1].repeat(2)
    return double
