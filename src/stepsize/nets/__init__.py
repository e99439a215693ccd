"""Networks as plain ``nn.Module``s.

Their initial weights depend on the global torch seed and on nothing else.
"""

from stepsize.nets.mlp import MLP
from stepsize.nets.pixel_bag import PixelBag
from stepsize.nets.resnet import ResNet
from stepsize.nets.surfaces import Quadratic, Rosenbrock

__all__ = ["MLP", "PixelBag", "Quadratic", "ResNet", "Rosenbrock"]
