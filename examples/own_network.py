"""A network of your own: any torch.nn.Module, here one that is linear in cosines of its input.

    python train.py --config-dir examples/conf model=own_network 'allowed_packages=[examples]'

The objective, the logging and the optimizer stay the project's: the config file puts this network
into stepsize.modules.Regressor, which fits the default task's noisy parabola by least squares.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class CosineNet(nn.Module):
    """A linear combination of cosines whose frequencies are trained too.

    Args:
        cosines: number of cosines, the width of the network.
        largest: the frequencies begin evenly spaced between 0 and this number, in radians.
    """

    def __init__(self, cosines: int, largest: float) -> None:
        super().__init__()
        # The names of parameters are what rules of param_groups match: net.frequencies,
        # net.phases, net.output.weight, net.output.bias. Choose names that say what they hold.
        self.frequencies = nn.Parameter(torch.linspace(0, largest, cosines))
        # Random numbers come from torch's global generator. The run has seeded it, so that every
        # optimizer of a sweep starts from the same weights.
        self.phases = nn.Parameter(torch.rand(cosines) * 2 * torch.pi)
        self.output = nn.Linear(cosines, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Predict y of shape [n, 1] from x of shape [n, 1]."""
        return self.output(torch.cos(x * self.frequencies + self.phases))
