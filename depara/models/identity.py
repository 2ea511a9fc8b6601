"""Proof that what is computed is what was named: weights and code, when read and when run."""

from __future__ import annotations

import hashlib
import os
import sys
import time
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Protocol

from torch import nn

from depara.errors import ChangedModelError
from depara.models.checkpoint import file_sha256
from depara.models.shards import weight_files
from depara.types import InputSpec, ModelCard

_SETTLED_S = 2.0
"""Some file systems date changes to two seconds: within them a file may change and not show it."""


class _Opened(Protocol):
    """What `prove_same` needs of an opened model."""

    @property
    def weights_sha256(self) -> str: ...
    @property
    def architecture(self) -> str: ...
    @property
    def input(self) -> InputSpec: ...


def prove_same(model: _Opened, card: ModelCard) -> None:
    """Proves that an opened model is the one that the plan, and so the graphs' keys, are made of.

    Raises:
        ChangedModelError: weights, code or input are others than the card says.
    """
    again = "scan again when they are no longer written"
    for what, got, expected, fix in (
        ("the sha256 of its weights", model.weights_sha256, card.weights_sha256, again),
        ("its architecture", model.architecture, card.architecture, "scan again"),
        ("its input", _shown(model.input), _shown(card.input), "scan again"),
    ):
        if got != expected:
            raise ChangedModelError(
                f"model {card.model_id!r}: changed while the scan ran: {what} is {got}, expected "
                f"{expected}: {fix} (if nothing was changed, its code builds another model each "
                "time: from the time, the environment, or random numbers that it seeds itself)"
            )


def _shown(spec: InputSpec) -> str:
    return f"side {spec.side}, mean {spec.mean}, std {spec.std}"


class FileProof:
    """The identity of a weights file from before it was hashed, to be compared once it is loaded.

    A file that was not touched is told by its times. One that was, or that is younger than file
    systems can date, is hashed again.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._files = weight_files(path, path.name)
        self._stamps = [_stamp(file) for file in (path, *self._files)]
        youngest = max(stamp[-1] for stamp in self._stamps)
        self._is_settled = time.time() - youngest / 1e9 > _SETTLED_S

    def prove(self, sha256: str, shown: str) -> None:
        """Proves that the file still is what was hashed.

        Raises:
            ChangedModelError: it is not.
        """
        now_stamps = [_stamp(file) for file in (self._path, *self._files)]
        if self._is_settled and now_stamps == self._stamps:
            return
        now = file_sha256(self._path)
        if now != sha256:
            raise ChangedModelError(
                f"weights {shown!r}: changed while they were read: the sha256 was {sha256}, now it "
                f"is {now}: scan again when they are no longer written"
            )


def _stamp(path: Path) -> tuple[int, ...]:
    """Device, inode, size and times of a file: nobody can set the last one, of any change, back."""
    try:
        with path.open("rb") as file:  # network file systems ask their server again on opening
            facts = os.fstat(file.fileno())
    except OSError:
        return (0,)
    return (facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)


def hold_tensors(module: nn.Module) -> None:
    """Gives a module memory of its own: readers map files, whose later changes would show in it."""
    for tensor in chain(module.parameters(), module.buffers()):
        if tensor.device.type == "cpu" and not tensor.is_inference():
            tensor.data = tensor.data.clone()


_CODE: dict[str, str] = {}
"""The sha256 of files of imported code, by path, as this process imported them."""


def prove_code_is_current(modules: Iterable[str]) -> None:
    """Proves that the files of imported modules are those that this process has imported.

    A module stays as it was imported, while its file, from which the architecture is told, may
    change. What was not seen yet is remembered.

    Args:
        modules: dotted names; those without a file of code are passed over.

    Raises:
        ChangedModelError: a file has changed.
    """
    for name in sorted(set(modules)):
        file = getattr(sys.modules.get(name), "__file__", None)
        if file is None or not file.endswith(".py"):
            continue
        try:
            digest = hashlib.sha256(Path(file).read_bytes()).hexdigest()
        except OSError:
            digest = "missing"
        if _CODE.setdefault(file, digest) != digest:
            raise ChangedModelError(
                f"changed while the scan ran: the code in {file} is no longer what was imported: "
                "scan again"
            )
