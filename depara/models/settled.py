"""The last step of opening: a module of others made still, whatever its own methods do."""

from __future__ import annotations

import torch
from torch import nn

from depara.errors import ModelError
from depara.models.foreign import foreign_code


def settled(module: nn.Module) -> nn.Module:
    """Returns the module in float32 and eval mode, no parameter requiring a gradient.

    Its own ``float``, ``eval`` and ``requires_grad_`` are called, since they may do more than torch
    does; what they return, and what they leave undone, does not matter.

    Raises:
        ModelError: it is TorchScript, or one of these methods raises.
        OutOfMemoryError: memory ran out.
    """
    if isinstance(module, torch.jit.ScriptModule):
        raise ModelError(
            "is a TorchScript program (torch.jit.load, script or trace): its layers cannot be "
            "watched from outside. Return the torch.nn.Module that it was made of, and give it the "
            "weights: module.load_state_dict(torch.jit.load(FILE).state_dict())"
        )
    with foreign_code("cannot be put into float32 and eval mode"):
        module.float()
        module.eval()
        module.requires_grad_(False)
        for child in module.modules():
            if child.training:
                child.training = False
        for parameter in module.parameters():
            parameter.requires_grad_(False)
    return module
