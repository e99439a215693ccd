"""A network of your own: any nn.Module; the objective comes from a module of stepsize.

    python train.py --config-dir examples/conf model=own_network allowed_packages=[examples]

The module in ``conf/model/own_network.yaml`` (``stepsize.modules.Regressor``) calls the network as
``net(x)`` and computes the mean squared error. ``stepsize.modules.Classifier`` computes the
cross-entropy; for another loss, subclass ``stepsize.modules.Module`` and write ``step(batch)``.
"""

import torch
from torch import Tensor, nn


class FourierFeatures(nn.Module):
    """Sines and cosines of the input at fixed random frequencies, then one linear layer.

    Rahimi and Recht (2007), Random Features for Large-Scale Kernel Machines.

    Args:
        features: number of frequencies.
        scale: standard deviation of the frequencies; larger values fit faster changes.
    """

    def __init__(self, features: int, scale: float) -> None:
        super().__init__()
        # A buffer is saved in the checkpoint but not trained. Random numbers come from torch's
        # generator, which the run has seeded: all optimizers start from the same network.
        self.register_buffer("frequencies", scale * torch.randn(1, features))
        # The name of a layer is what a parameter-group rule matches: net.fc.weight, net.fc.bias.
        self.fc = nn.Linear(2 * features, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[B, 1]`` to ``[B, 1]``."""
        phases = x @ self.frequencies
        return self.fc(torch.cat([phases.sin(), phases.cos()], dim=1))
