"""The models of the chaos zoo: one that can be stopped in mid-air, and several that do harm.

All of them behave while they are opened and described, and misbehave when they are computed.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from weakref import WeakKeyDictionary

from torch import Tensor, nn

from tests.chaos.gate import pass_gate
from tests.jobs.zoo import Tiny

_PASSES: WeakKeyDictionary[nn.Module, int] = WeakKeyDictionary()
"""How many forward passes each model has made in this process."""


def is_described() -> bool:
    """Whether this call comes from the scan's look at a model, before its real run."""
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        if frame.f_code.co_name in ("describe_model", "choose_layers"):
            return True
    return False


class Gated(Tiny):
    """Waits in its forward pass for as long as the test wants it to (see `Gate`).

    Args:
        name: what the gate calls it.
        gate: folder of the gate.
        width: channels of its first block.
        pause_s: of every forward pass, so that a scan lasts long enough to be disturbed.
    """

    def __init__(self, name: str, gate: str, width: int = 4, pause_s: float = 0.0) -> None:
        super().__init__(width)
        self.name = name
        self.gate = gate
        self.pause_s = pause_s

    def forward(self, x: Tensor) -> Tensor:
        if not is_described():
            time.sleep(self.pause_s)
            passes = _PASSES.get(self, 0)  # not its own: what a model keeps is put back
            pass_gate(Path(self.gate), self.name, passes)
            _PASSES[self] = passes + 1
        return super().forward(x)


class Wide(Gated):
    """Its features take 32 MiB and more, so that a small worker spills them."""

    def __init__(self, name: str, gate: str, pause_s: float = 0.0) -> None:
        super().__init__(name, gate, 4, pause_s)
        self.block1 = nn.Sequential(nn.Conv2d(3, 400, 1), nn.BatchNorm2d(400), nn.ReLU(True))
        self.block2 = self._block(400, 8)


class Harmful(Tiny):
    """Does harm in the real run, after it left a file that proves it.

    Args:
        witness: folder for the files of proof, one per time.
    """

    def __init__(self, witness: str) -> None:
        super().__init__()
        self.witness = witness

    def forward(self, x: Tensor) -> Tensor:
        if not is_described():
            name = f"{type(self).__name__}-{os.getpid()}-{time.monotonic_ns()}"
            Path(self.witness, name).touch()
            self.harm()
        return super().forward(x)

    def harm(self) -> None:
        """What it does."""


class Exits(Harmful):
    """Ends its process without a word."""

    def harm(self) -> None:
        """As a library's `exit` does."""
        os._exit(1)


class Aborts(Harmful):
    """Ends its process with SIGABRT."""

    def harm(self) -> None:
        """As a failed assertion in native code does."""
        os.abort()


class Hangs(Harmful):
    """Never comes back."""

    def harm(self) -> None:
        """As a deadlock does."""
        while True:
            time.sleep(60)


class Eats(Harmful):
    """Takes memory until somebody stops it.

    Args:
        witness: see `Harmful`.
        limit_bytes: where it stops by itself, so that a test without a guard harms nobody else.
    """

    def __init__(self, witness: str, limit_bytes: int) -> None:
        super().__init__(witness)
        self.limit_bytes = limit_bytes

    def harm(self) -> None:
        """As a leak does, only quicker."""
        piece_bytes = 64 * 2**20
        eaten = []
        for _ in range(self.limit_bytes // piece_bytes):
            eaten.append(bytearray(os.urandom(1)) * piece_bytes)
            time.sleep(0.02)
        time.sleep(20)  # the guard looks from time to time
