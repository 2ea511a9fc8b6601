"""Networks of the sweep that no library builds by name."""

from __future__ import annotations

from torch import nn


def checkpointed_vit() -> nn.Module:
    """Returns timm's smallest ViT, whose blocks are computed again in the backward pass."""
    import timm

    module: nn.Module = timm.create_model("test_vit", img_size=64)
    module.set_grad_checkpointing(True)
    return module
