"""Models that `torch.compile` has wrapped, run as they were written."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def compiler_off() -> Iterator[None]:
    """Runs what has been compiled without the compiler; undone on leaving.

    The values are the same, hooks see every module, and nothing is compiled anew for each batch
    size and form of a pass.
    """
    if "torch._dynamo" not in sys.modules:  # nothing is compiled, and loading it takes seconds
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield
