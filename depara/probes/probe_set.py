"""The probe set: which probes are drawn, which are one and the same, their order, and their key."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from depara.types import Box, DecodedProbe, Failure, Probe, ProbeRef


class ProbeFacts(Protocol):
    """What a probe set needs of a decoded probe: `DecodedProbe` and `ProbeMeta` both have it."""

    @property
    def probe_id(self) -> str: ...
    @property
    def uri(self) -> str: ...
    @property
    def width(self) -> int: ...
    @property
    def height(self) -> int: ...
    @property
    def label(self) -> str | None: ...
    @property
    def boxes(self) -> tuple[Box, ...] | None: ...


@dataclass(frozen=True)
class ProbeMeta:
    """A decoded probe without its canvas: what travels to whoever assembles the probe set."""

    probe_id: str
    uri: str
    width: int
    height: int
    label: str | None
    boxes: tuple[Box, ...] | None = None

    @classmethod
    def of(cls, probe: DecodedProbe) -> ProbeMeta:
        """Returns the facts of a decoded probe; holds no reference to its canvas."""
        size = probe.width, probe.height
        return cls(probe.probe_id, probe.uri, *size, probe.label, probe.boxes)


def draw_order(refs: Iterable[ProbeRef], seed: int) -> list[ProbeRef]:
    """Returns the references in a seeded random order; a scan takes the first usable ones.

    The order is that of sha256(seed, URI relative to the folder that all share). So it depends
    neither on the order of ``refs`` nor on where the source lies, and a source that grows keeps
    most of its draw.

    Args:
        refs: references with distinct URIs.
        seed: any integer.
    """
    references = list(refs)
    # Not commonpath: it refuses a mixture of absolute paths and URIs.
    shared = os.path.commonprefix([ref.uri for ref in references])  # noqa: RUF071
    start = shared.rfind("/") + 1

    def rank(ref: ProbeRef) -> tuple[bytes, str]:
        name = ref.uri[start:].encode("utf-8", "surrogateescape")
        return hashlib.sha256(b"%d\0%s" % (seed, name)).digest(), ref.uri

    return sorted(references, key=rank)


def build_probe_set(decoded: Sequence[ProbeFacts]) -> tuple[list[Probe], list[Failure]]:
    """Returns the probes by ascending ``probe_id``, indexed 0..N-1, and a failure per duplicate.

    Of probes with one and the same canvas the first in the given order is kept.
    """
    kept: dict[str, ProbeFacts] = {}
    duplicates: list[Failure] = []
    for probe in decoded:
        if probe.probe_id in kept:
            duplicates.append(_duplicate(probe, kept[probe.probe_id]))
        else:
            kept[probe.probe_id] = probe
    probes = [
        Probe(probe_id, index, probe.uri, probe.width, probe.height, probe.label, probe.boxes)
        for index, (probe_id, probe) in enumerate(sorted(kept.items()))
    ]
    return probes, duplicates


def _duplicate(probe: ProbeFacts, first: ProbeFacts) -> Failure:
    return Failure(
        model_id="",
        stage="probes",
        error_type="DuplicateProbe",
        message=f"{probe.uri}: has the same canvas as {first.uri} and is left out: remove one",
        probe_id=probe.probe_id,
    )
