"""What must stay: the graphs, probe sets and models that scans refer to."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from depara.errors import StoreError
from depara.maintenance.pool import in_parallel
from depara.maintenance.scan_check import parse_manifest, read_graph_keys
from depara.store.known import read_cards
from depara.store.running import RunningScan, running_scans
from depara.store.storage import Storage


@dataclass(frozen=True)
class References:
    """Keys of graphs and of probe sets, and fingerprints of models."""

    graph_keys: frozenset[str] = frozenset()
    probe_sets: frozenset[str] = frozenset()
    models: frozenset[str] = frozenset()

    def __or__(self, other: References) -> References:
        return References(
            self.graph_keys | other.graph_keys,
            self.probe_sets | other.probe_sets,
            self.models | other.models,
        )


def merge(references: Iterable[References]) -> References:
    """Returns all of them together."""
    merged = References()
    for one in references:
        merged |= one
    return merged


def read_references(storage: Storage, scan_id: str) -> References:
    """Returns what a finished scan refers to; nothing of one that is no longer there.

    Raises:
        StoreError: its manifest or its table of layers is missing or damaged.
    """
    manifest = parse_manifest(storage, scan_id)
    if manifest is None:
        return References()
    keys = read_graph_keys(storage, scan_id, manifest["tables"]["layers"])
    probe_set = manifest.get("probe_set")
    return References(
        graph_keys=keys,
        probe_sets=frozenset([probe_set] if isinstance(probe_set, str) else []),
        models=frozenset(read_cards(storage, scan_id)),
    )


def needed_by(storage: Storage, scan_ids: Collection[str]) -> References:
    """Returns what finished scans that are kept refer to.

    Raises:
        StoreError: what one of them needs cannot be told.
    """

    def read(scan_id: str) -> References:
        try:
            return read_references(storage, scan_id)
        except StoreError as error:
            raise StoreError(
                f"nothing is collected: scan {scan_id} is kept, but which graphs it needs cannot "
                f"be told: {error}; mend it, or give it up by removing its manifest.json"
            ) from error

    return merge(in_parallel(read, sorted(scan_ids)))


@dataclass(frozen=True)
class Claims:
    """What scans under way rely on.

    ``preparing`` are those that live and have not said yet which graphs they rely on.
    """

    references: References
    preparing: tuple[str, ...]
    scan_ids: frozenset[str]


def read_claims(storage: Storage, now_s: float, grace_s: float) -> Claims:
    """Returns what scans rely on that run, or were killed less than the grace period ago."""
    records = running_scans(storage)
    active = [
        record
        for record in records
        if now_s - record.modified_s < grace_s or not record.is_dead(now_s)
    ]
    return Claims(
        references=merge(map(_claimed, active)),
        preparing=tuple(
            record.scan_id
            for record in active
            if record.probe_set is None and not record.is_dead(now_s)
        ),
        scan_ids=frozenset(record.scan_id for record in active),
    )


def _claimed(record: RunningScan) -> References:
    probe_set = record.probe_set
    return References(record.graph_keys, frozenset([probe_set] if probe_set else []))
