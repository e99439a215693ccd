"""Plain ``nn.Module``s: what is trained, without a word about how.

Freshly built weights depend on the global torch seed and on nothing else.
"""

from stepsize.nets.mlp import MLP
from stepsize.nets.pixel_bag import PixelBag
from stepsize.nets.resnet import ResNet
from stepsize.nets.surfaces import Quadratic, Rosenbrock

__all__ = ["MLP", "PixelBag", "Quadratic", "ResNet", "Rosenbrock"]
