"""Activation checkpoints: modules that run once more while a backward is at work.

A model may keep only some activations and compute the others again in the backward
(https://pytorch.org/docs/stable/checkpoint.html). What fires then has fired before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.utils.checkpoint


def in_backward() -> bool:
    """Whether autograd's engine is at work: a module that runs now computes something again.

    `torch.utils.checkpoint` asks the engine the same way.
    """
    return bool(torch._C._current_graph_task_id() != -1)


class _Inlined:
    """Stands in for torch's reentrant checkpoint: the function alone, recorded as it runs."""

    @staticmethod
    def apply(function: Callable[..., Any], _preserves_random_state: bool, *args: Any) -> Any:
        return function(*args)


@contextmanager
def checkpoints_inlined() -> Iterator[None]:
    """Lets reentrant checkpoints compute as if they were not there; undone on leaving.

    They run their modules without autograd, and refuse a backward to the input alone, which is the
    only one there is here. Values and gradients are the same; more memory is needed. Those with
    ``use_reentrant=False`` work as they are.
    """
    module: Any = torch.utils.checkpoint
    original = module.CheckpointFunction
    module.CheckpointFunction = _Inlined
    try:
        yield
    finally:
        module.CheckpointFunction = original
