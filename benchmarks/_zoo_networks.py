"""Networks of the sweep that no library builds by name."""

from __future__ import annotations

from torch import nn


def checkpointed_vit() -> nn.Module:
    """Returns timm's smallest ViT, its blocks computed again, two at a time, in the backward."""
    import timm
    from timm.models import checkpoint_seq

    module: nn.Module = timm.create_model("test_vit", img_size=64)

    class Pairs(nn.Sequential):
        def forward(self, tokens):  # type: ignore[no-untyped-def]
            return checkpoint_seq(list(self), tokens, every=2)

    module.blocks = Pairs(*module.blocks)
    return module
