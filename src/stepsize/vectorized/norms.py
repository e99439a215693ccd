"""Norms of each run's groups, and clipping of each run's gradient."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from stepsize.vectorized.update import Update


def group_norms(update: Update, numbers: Tensor) -> list[Tensor]:
    """The 2-norm of each group's columns, as :class:`stepsize.callbacks.Norms` computes it.

    Args:
        update: says which columns make a group.
        numbers: gradients, weights or their changes, [runs, columns]; its own rows alone.

    Returns:
        For each group, float64, [runs].
    """
    layout = update.layout
    return [
        torch.stack(
            [
                torch.linalg.vector_norm(numbers[:, slice(*layout.columns(name))], dim=1)
                for name in names
            ]
        )
        .double()
        .square()
        .sum(0)
        .sqrt()
        for names in update.settings[0].names
    ]


def clip(updates: Iterable[Update], gradients: Tensor, value: float, algorithm: str) -> None:
    """Clip each run's gradient, as Lightning does with ``trainer.gradient_clip_val``.

    Args:
        updates: say what is trained; frozen parameters do not count.
        gradients: [runs, columns], changed in place.
        value: the largest norm, or with ``algorithm`` "value" the largest entry.
        algorithm: "norm" or "value".
    """
    if algorithm == "value":
        gradients.clamp_(-value, value)
        return
    for update in updates:
        rows = gradients[update.rows]
        layout = update.layout
        norms = [
            torch.linalg.vector_norm(rows[:, slice(*layout.columns(name))], dim=1)
            for names in update.settings[0].names
            for name in names
        ]
        total = torch.linalg.vector_norm(torch.stack(norms), dim=0)
        # torch.nn.utils.clip_grads_with_norm_
        rows.mul_((value / (total + 1e-6)).clamp(max=1.0)[:, None])
