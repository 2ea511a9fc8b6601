"""Small networks for ``python:`` sources: well-behaved ones, and one of each way to misbehave."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class Plain(nn.Module):
    """Three convolutions with in-place activations, a shared one, and a linear head."""

    def __init__(self, channels: int = 4, num_classes: int = 3) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, channels, 3, padding=1)
        self.act1 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(channels, channels, 3, stride=2, padding=1)
        self.act2 = nn.ReLU(inplace=True)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(channels, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        hidden = self.act2(self.conv2(self.act1(self.conv1(images))))
        return self.head(self.drop(self.pool(hidden).flatten(1)))


class Odd(nn.Module):
    """Layers that cannot be cut points: see the names."""

    def __init__(self) -> None:
        super().__init__()
        self.twice = nn.Conv2d(3, 3, 1)
        self.never = nn.Conv2d(3, 3, 1)
        self.integer = Integers()
        self.constant = Constant()
        self.folded = Folded()
        self.nothing = Nothing()
        self.empty = Empty()
        self.fine = nn.Conv2d(3, 2, 1)

    def forward(self, images: Tensor) -> Tensor:
        hidden = self.twice(self.twice(images))
        self.integer(hidden)
        self.folded(hidden)
        self.nothing(hidden)
        self.empty(hidden)
        return self.fine(hidden + self.constant(hidden))


class Integers(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images.argmax(dim=1)


class Constant(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.ones(2, 3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        return self.value * 2


class Folded(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(0, 1)


class Nothing(nn.Module):
    def forward(self, images: Tensor) -> str:
        return "no tensor"


class Empty(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images[:, :0]


class Returns(nn.Module):
    """Returns its features in a container: ``tuple``, ``dict`` or ``none``."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        self.kind = kind

    def forward(self, images: Tensor) -> object:
        hidden = self.conv(images)
        if self.kind == "tuple":
            return hidden, images
        if self.kind == "dict":
            return {"loss": None, "logits": hidden.mean(dim=(2, 3)), "features": hidden}
        return None


class Outputs(nn.Module):
    """Has a child that is called like the reserved name of the model's own return value."""

    def __init__(self) -> None:
        super().__init__()
        self.output = nn.Conv2d(3, 4, 1)

    def forward(self, images: Tensor) -> Tensor:
        return self.output(images).mean(dim=(2, 3))


class Random(nn.Module):
    """Draws random numbers even in eval mode."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)

    def forward(self, images: Tensor) -> Tensor:
        return functional.dropout(self.conv(images), 0.5, training=True)


class Heads(nn.Module):
    """A network whose one hyperparameter shows in no shape and in no printed text."""

    def __init__(self, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.conv = nn.Conv2d(3, 4, 1)

    def forward(self, images: Tensor) -> Tensor:
        return self.conv(images) / self.num_heads


class TwoInputs(nn.Module):
    def forward(self, images: Tensor, text: Tensor) -> Tensor:
        return images + text


class Raises(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        raise RuntimeError("a first line\nand a second one")


class OutOfMemory(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        raise MemoryError


class Tied(nn.Module):
    """Two names for one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 3, 1)
        self.second = nn.Conv2d(3, 3, 1)
        self.second.weight = self.first.weight

    def forward(self, images: Tensor) -> Tensor:
        return self.second(self.first(images))


class Encoder(nn.Module):
    """A transformer encoder of separate parts, some levels below the root."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(EncoderLayer() for _ in range(depth))

    def forward(self, tokens: Tensor) -> Tensor:
        for layer in self.layers:
            tokens = layer(tokens)
        return tokens


class EncoderLayer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(8)
        self.mix = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8))

    def forward(self, tokens: Tensor) -> Tensor:
        return tokens + self.mix(self.norm(tokens))


class Wrapped(nn.Module):
    """Patches, an encoder inside two wrappers, and an attention pool that occurs once."""

    def __init__(self, depth: int = 5) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 4, stride=4)
        self.body = nn.ModuleDict({"encoder": Encoder(depth)})
        self.pool = Pool()
        self.head = nn.Linear(8, 3)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.patches(images).flatten(2).transpose(1, 2)
        tokens = self.body["encoder"](tokens)
        return self.head(self.pool(tokens).mean(dim=1))


class Pool(nn.Module):
    """A head of several weight layers that occurs once."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Linear(8, 8)
        self.inner = nn.Sequential(nn.Linear(8, 8), nn.GELU(), nn.Linear(8, 8))

    def forward(self, tokens: Tensor) -> Tensor:
        return self.inner(self.enter(tokens))


class FoldingBlock(nn.Module):
    """A block whose inner transformer sees patches folded into the batch, as MobileViT's does."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Conv2d(8, 8, 3, padding=1)
        self.transformer = nn.Sequential(EncoderLayer(), EncoderLayer())

    def forward(self, images: Tensor) -> Tensor:
        hidden = self.enter(images)
        batch, channels, height, width = hidden.shape
        folded = hidden.permute(0, 2, 3, 1).reshape(batch * height, width, channels)
        back = self.transformer(folded).reshape(batch, height, width, channels)
        return images + back.permute(0, 3, 1, 2)


def folding() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 8, 4, stride=4), FoldingBlock(), FoldingBlock())


def mlp() -> nn.Module:
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(3 * 16 * 16, 8),
        nn.ReLU(),
        nn.Linear(8, 8),
        nn.ReLU(),
        nn.Dropout(),
        nn.Linear(8, 3),
    )


def linear() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 3))


def without_weights() -> nn.Module:
    return nn.AdaptiveAvgPool2d(1)


def grayscale() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Conv2d(2, 2, 3))


def separable() -> nn.Module:
    """Returns a chain of plain Sequentials with two convolutions each (a MobileNetV1)."""

    def unit(stride: int) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(4, 4, 3, stride, 1, groups=4), nn.ReLU(), nn.Conv2d(4, 4, 1), nn.ReLU()
        )

    return nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), unit(1), unit(2), unit(1))


def backbone_and_head() -> nn.Module:
    """Returns a network as users often wrap one: two members, of which one holds all blocks."""
    return nn.Sequential(nn.Identity(), Wrapped(3), nn.Linear(3, 2))


def lazy() -> nn.Module:
    return nn.Sequential(nn.LazyConv2d(4, 3))


def broken() -> nn.Module:
    raise ValueError("no such\nvariant")


def not_a_module() -> list[int]:
    return [1, 2]


INSTANCE = nn.Identity()


class _TokenBlock(nn.Module):
    def __init__(self, stride: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 8), nn.Linear(8, 4)
        self.stride = stride

    def forward(self, tokens_BTC: Tensor) -> Tensor:
        return self.second(self.first(tokens_BTC).relu())[:, :: self.stride]


class TokenPyramid(nn.Module):
    """Tokens 16, 16, 4, 4, 1, 1: halved in height and width down to a single one."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 4, 4, 4)
        self.blocks = nn.ModuleList(_TokenBlock(stride) for stride in (1, 1, 4, 1, 4, 1))

    def forward(self, images_BCHW: Tensor) -> Tensor:
        tokens = self.patches(images_BCHW).flatten(2).transpose(1, 2)
        for block in self.blocks:
            tokens = block(tokens)
        return tokens.mean(1)
