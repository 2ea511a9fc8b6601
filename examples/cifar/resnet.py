"""The CIFAR-10 residual networks of He et al., "Deep Residual Learning", section 4.2.

6n+2 layers: a 3x3 convolution, three stages of n blocks with 16, 32 and 64 channels at 32, 16 and 8
px, global average pooling and a linear classifier. Shortcuts have no parameters (option A). Input:
``N 3 32 32``, normalised with ImageNet's mean and std in the public checkpoints of
akamaster/pytorch_resnet_cifar10, whose names the modules have.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

_WIDTHS = (16, 32, 64)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut: ``relu(F(x) + shortcut(x))``."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.stride = stride
        self.added_channels = channels - in_channels

    def forward(self, images: Tensor) -> Tensor:
        """Returns the block's output, ``N C H/stride W/stride``."""
        hidden = functional.relu(self.bn1(self.conv1(images)))
        return functional.relu(self.bn2(self.conv2(hidden)) + self._shortcut(images))

    def _shortcut(self, images: Tensor) -> Tensor:
        """Returns option A: every ``stride``-th pixel, and zero channels added on both sides."""
        if self.stride == 1 and self.added_channels == 0:
            return images
        before = self.added_channels // 2
        after = self.added_channels - before
        subsampled = images[:, :, :: self.stride, :: self.stride]
        return functional.pad(subsampled, (0, 0, 0, 0, before, after))


class CifarResNet(nn.Module):
    """A residual network of ``6 * num_blocks + 2`` layers, ``N 3 32 32`` to ``N num_classes``."""

    def __init__(self, num_blocks: int, num_classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, _WIDTHS[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(_WIDTHS[0])
        self.layer1 = _stage(_WIDTHS[0], _WIDTHS[0], num_blocks, stride=1)
        self.layer2 = _stage(_WIDTHS[0], _WIDTHS[1], num_blocks, stride=2)
        self.layer3 = _stage(_WIDTHS[1], _WIDTHS[2], num_blocks, stride=2)
        self.linear = nn.Linear(_WIDTHS[2], num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Returns the logits."""
        hidden = functional.relu(self.bn1(self.conv1(images)))
        hidden = self.layer3(self.layer2(self.layer1(hidden)))
        logits: Tensor = self.linear(torch.mean(hidden, dim=(2, 3)))
        return logits


def _stage(in_channels: int, channels: int, num_blocks: int, stride: int) -> nn.Sequential:
    first = BasicBlock(in_channels, channels, stride)
    return nn.Sequential(first, *(BasicBlock(channels, channels, 1) for _ in range(num_blocks - 1)))


def resnet20(num_classes: int = 10) -> CifarResNet:
    """Returns an untrained ResNet-20 (0.27 M parameters)."""
    return CifarResNet(3, num_classes)


def resnet32(num_classes: int = 10) -> CifarResNet:
    """Returns an untrained ResNet-32 (0.46 M parameters)."""
    return CifarResNet(5, num_classes)


def resnet44(num_classes: int = 10) -> CifarResNet:
    """Returns an untrained ResNet-44 (0.66 M parameters)."""
    return CifarResNet(7, num_classes)


def resnet56(num_classes: int = 10) -> CifarResNet:
    """Returns an untrained ResNet-56 (0.85 M parameters)."""
    return CifarResNet(9, num_classes)
