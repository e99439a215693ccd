"""What an evaluation of many runs gives."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Values(NamedTuple):
    """What an evaluation of all runs gives, a number for each.

    Attributes:
        loss: [runs].
        metrics: by name, [runs] each.
    """

    loss: Tensor
    metrics: dict[str, Tensor]


def joined(losses: list[Tensor], metrics: list[dict[str, Tensor]]) -> Values:
    """Those of several pieces, or of single runs, one after the other."""
    if len(losses) == 1:
        return Values(losses[0], metrics[0])
    return Values(
        torch.cat(losses), {name: torch.cat([m[name] for m in metrics]) for name in metrics[0]}
    )
