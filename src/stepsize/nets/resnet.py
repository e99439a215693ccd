"""A residual network for 8x8 images, with torchvision's parameter names."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut (He et al., 2016, arXiv:1512.03385, figure 2)."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample: nn.Sequential | None = None
        if stride != 1 or in_channels != channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[B, in_channels, H, W]`` to ``[B, channels, H/stride, W/stride]``."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.bn2(self.conv2(x))
        return self.relu(x + shortcut)


class ResNet(nn.Module):
    """Torchvision's ResNet with basic blocks, made small for 8x8 images.

    Parameter names are those of ``torchvision.models.resnet18``: ``conv1``, ``bn1``,
    ``layer1.0.conv1`` ... ``layer4.0.bn2``, ``fc``. The stem is a 3x3 convolution of stride 1
    without pooling, and the stages work at 8, 4, 2 and 2 pixels.

    Args:
        in_channels: Channels of the image.
        classes: Number of classes.
        width: Channels of the stem and of ``layer1``; each later stage doubles them.
        blocks: Number of blocks in each of the four stages.
        zero_init_residual: Initialise the last batch norm of every block with zero, so that each
            block begins as its shortcut (Goyal et al., 2017, arXiv:1706.02677, section 5.1).

    Raises:
        ValueError: A size below one, or not four stages.
    """

    def __init__(
        self,
        in_channels: int = 1,
        classes: int = 10,
        width: int = 8,
        blocks: Sequence[int] = (1, 1, 1, 1),
        zero_init_residual: bool = False,
    ) -> None:
        super().__init__()
        if min(in_channels, classes, width) < 1:
            raise ValueError(
                f"ResNet: in_channels, classes and width must be 1 or more, "
                f"got {in_channels}, {classes} and {width}"
            )
        if len(blocks) != 4 or min(blocks) < 1:
            raise ValueError(
                f"ResNet: blocks must be four numbers of 1 or more, got {list(blocks)}"
            )
        self.conv1 = nn.Conv2d(in_channels, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = _stage(blocks[0], width, width, stride=1)
        self.layer2 = _stage(blocks[1], width, 2 * width, stride=2)
        self.layer3 = _stage(blocks[2], 2 * width, 4 * width, stride=2)
        self.layer4 = _stage(blocks[3], 4 * width, 8 * width, stride=1)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(8 * width, classes)
        self._init_weights(zero_init_residual)

    def _init_weights(self, zero_init_residual: bool) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if zero_init_residual and isinstance(module, BasicBlock):
                nn.init.zeros_(module.bn2.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Map images ``[B, in_channels, 8, 8]`` to logits ``[B, classes]``."""
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(torch.flatten(self.avgpool(x), 1))


def _stage(blocks: int, in_channels: int, channels: int, stride: int) -> nn.Sequential:
    first = BasicBlock(in_channels, channels, stride)
    return nn.Sequential(first, *(BasicBlock(channels, channels, 1) for _ in range(blocks - 1)))
