"""Every error a user can meet. Each message says what, which, expected and got, and the fix."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from enum import Enum
from types import MappingProxyType


class FailureKind(Enum):
    """What a failure asks for, beside being told."""

    FAULT = "nothing: it is of its model or probe, and would be there again"
    PASSING = "another try: a storage, or the machine, was in the way"
    CHANGED_MODEL = "to forget what is known of the model"
    DAMAGED_CANVASES = "to decode the probes anew"
    NO_MEMORY = "more memory, if there is a larger share to be had"


class DeparaError(Exception):
    """Base of all errors of this package; its text is meant to be shown to the user as it is."""

    layer: str | None = None
    """The layer it is about, where there is one: for the ``failures`` table."""
    probe_id: str | None = None
    """The probe it is about, where there is one."""
    kind = FailureKind.FAULT
    """What it asks for as a failure."""


class ConfigError(DeparaError):
    """The scan file, an override of it, or a combination of its fields is not usable."""


class ProbeError(DeparaError):
    """A probe image, or the whole probe source, cannot be used."""


class ModelError(DeparaError):
    """A model cannot be built, loaded or run."""


class WeightsError(ModelError):
    """A weights file is missing, damaged, unsafe, or does not fit the architecture."""


class ChangedModelError(ModelError):
    """A model is no longer what it was when the scan was planned, or changed while it was read."""

    kind = FailureKind.CHANGED_MODEL


class LayerError(ModelError):
    """A layer specification matches nothing, or a layer does not behave as a cut point must."""


class NonFiniteError(ModelError):
    """A model produced NaN or infinity in its features or attributions."""


class OutOfMemoryError(ModelError):
    """A model does not fit in memory even at batch size 1."""

    kind = FailureKind.NO_MEMORY


class StoreError(DeparaError):
    """The output location, or a file in it, cannot be read or written."""


class StorageUnavailableError(DeparaError):
    """A storage did not answer, or answered with passing faults, for as long as it was tried.

    No `StoreError`: what is there may be sound, and trying again later may succeed.
    """

    kind = FailureKind.PASSING


class SchemaError(StoreError):
    """A table or an artifact has not the columns, types or values that its schema states."""


class DamagedGraphError(StoreError):
    """Committed graphs lack a file, or a file of them is not what was committed."""

    graph_keys: tuple[str, ...] = ()
    """The keys of the graphs, which must be computed anew."""


class UnusableGraphError(DamagedGraphError):
    """Committed graphs are what was committed, but their numbers cannot be compared."""

    reasons: Mapping[str, str] = MappingProxyType({})
    """Why, in words for the ``failures`` table, by key."""


class DamagedCanvasesError(StoreError):
    """Decoded probes in the storage are missing or damaged: they must be decoded anew."""

    kind = FailureKind.DAMAGED_CANVASES


class UnreadableScanError(StoreError):
    """The tables of an earlier scan cannot be reused."""

    scan_id: str = ""
    """The earlier scan."""


class ScanInterruptedError(DeparaError):
    """The scan was asked to stop; the same command goes on from what is committed."""


class ClusterError(DeparaError):
    """The cluster cannot run the work: nothing becomes ready, or workers keep dying."""


def near_names(name: str, candidates: Iterable[str], count: int = 3) -> str:
    """Returns a hint such as ``did you mean 'a', 'b'?``, or an empty string when none is near."""
    matches = difflib.get_close_matches(name, list(candidates), n=count, cutoff=0.5)
    return f"did you mean {', '.join(repr(match) for match in matches)}?" if matches else ""
