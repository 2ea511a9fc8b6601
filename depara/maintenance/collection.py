"""Deletes what a plan says, and nothing that a scan at work has come to need since.

There is no lock: a scan may start, commit or finish at any moment. So for each small batch

1. the records of scans under way, the scans finished since, and the batch's own files are read
   again; what is needed, or has changed, is spared;
2. the heads go, such as the markers of graphs: what is half deleted never looks complete;
3. the records are read once more. What a scan claimed meanwhile gets its head back, whole, because
   nothing else of it is gone yet. A scan that claims later finds it gone and computes it anew;
4. the other files go.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby, islice

from depara.errors import StoreError
from depara.maintenance.candidates import Candidate, chunk_paths
from depara.maintenance.collection_plan import CollectionPlan, latest_scan
from depara.maintenance.inventory import Files
from depara.maintenance.pool import in_parallel
from depara.maintenance.references import References, merge, needed_by, read_claims
from depara.store.layout import SCANS, collected_path, manifest_path, probe_set_path
from depara.store.storage import Storage

_BATCH = 64

Progress = Callable[[int, int], None]
"""Told how many of how many candidates have been dealt with."""


@dataclass
class CollectionResult:
    """What was deleted, and what was spared with the reason."""

    deleted: list[Candidate] = field(default_factory=list)
    spared: list[tuple[Candidate, str]] = field(default_factory=list)

    @property
    def bytes(self) -> int:
        """Size of everything that was deleted, bytes."""
        return sum(candidate.bytes for candidate in self.deleted)


def collect(
    storage: Storage,
    plan: CollectionPlan,
    on_progress: Progress = lambda done, total: None,
) -> CollectionResult:
    """Deletes what a plan says and that is still not needed; returns what was done.

    Args:
        storage: the output that the plan is of.
        plan: from `plan_collection`, made just before.
        on_progress: called after each batch.

    Raises:
        StoreError: something cannot be read or deleted; what is half deleted is not committed.
    """
    result = CollectionResult()
    for scan_id in plan.losing:
        note = {"keep_scans": plan.keep_scans, "collected_s": plan.now_s}
        storage.create(collected_path(scan_id), json.dumps(note).encode())
    done = 0
    for batch in _batches(plan.candidates):
        _collect_batch(storage, plan, batch, result)
        done += len(batch)
        on_progress(done, len(plan.candidates))
    return result


def _batches(candidates: Iterable[Candidate]) -> Iterator[list[Candidate]]:
    """Some candidates of one kind at a time, in the order of the plan."""
    for _, group in groupby(candidates, lambda candidate: candidate.kind):
        while batch := list(islice(group, _BATCH)):
            yield batch


def _collect_batch(
    storage: Storage, plan: CollectionPlan, batch: list[Candidate], result: CollectionResult
) -> None:
    needs = _read_needs(storage, plan)
    listings = _list_again(storage, batch)
    going: list[Candidate] = []
    for candidate in batch:
        present = _present(candidate, listings[candidate.folder])
        reason = needs.reason(candidate) or _change(candidate, present, plan.cutoff_s)
        if reason:
            result.spared.append((candidate, reason))
        else:
            going.append(candidate)
    names = [candidate.head for candidate in going if candidate.head is not None]
    heads = dict(zip(names, in_parallel(storage.read_or_none, names), strict=True))
    storage.remove(heads)
    if heads:
        needs = _read_needs(storage, plan)
    for candidate in list(going):
        reason = needs.reason(candidate)
        if reason:
            going.remove(candidate)
            result.spared.append((candidate, reason))
            data = heads.get(candidate.head or "")
            if candidate.head is not None and data is not None:
                storage.create(candidate.head, data)
    storage.remove(path for candidate in going for path in candidate.files if path not in heads)
    result.deleted += going


@dataclass(frozen=True)
class _Needs:
    """What is needed at this moment by scans that the plan did not know of, or not so."""

    references: References
    chunks: frozenset[str]
    preparing: tuple[str, ...]
    under_way: frozenset[str]
    finished: frozenset[str]
    latest: str | None

    def reason(self, candidate: Candidate) -> str:
        """Why a candidate must stay; empty when it may go."""
        name, kind = candidate.name, candidate.kind
        if kind in ("unfinished scans", "running records"):
            if name in self.under_way:
                return "its scan is under way again"
            return "its scan is finished" if kind[0] == "u" and name in self.finished else ""
        if kind == "scans":
            return "it is the latest scan" if name == self.latest else ""
        if kind in ("known inputs", "queries", "unfinished queries"):
            return ""
        if self.preparing:
            return f"scan {self.preparing[0]} is about to plan its work: try again later"
        sets = {probe_set_path(key) for key in self.references.probe_sets}
        if name in self.references.graph_keys or name in sets or name in self.chunks:
            return "a scan needs it by now"
        return ""


def _read_needs(storage: Storage, plan: CollectionPlan) -> _Needs:
    """Reads who needs what: first the scans under way, then those that are finished.

    In this order a scan that finishes in between is seen at least once.
    """
    claims = read_claims(storage, plan.now_s, plan.grace_s)
    new = [name for name in storage.folders(SCANS) if name not in plan.finished]
    finished = [name for name in new if storage.read_or_none(manifest_path(name)) is not None]
    references = merge([claims.references, needed_by(storage, finished)])
    chunks: set[str] = set()
    for key in references.probe_sets:
        try:
            chunks |= chunk_paths(storage, probe_set_path(key))
        except StoreError:
            continue  # not written yet; the plan has looked at those that were
    return _Needs(
        references=references,
        chunks=frozenset(chunks),
        preparing=claims.preparing,
        under_way=claims.scan_ids,
        finished=frozenset(finished),
        latest=latest_scan(storage),
    )


def _list_again(storage: Storage, batch: list[Candidate]) -> dict[str, Files]:
    folders = list(dict.fromkeys(candidate.folder for candidate in batch))
    return dict(zip(folders, in_parallel(storage.walk, folders), strict=True))


def _present(candidate: Candidate, listing: Files) -> Files:
    """What there is of a candidate now: all of its folder, or the one file that it is."""
    if candidate.name in candidate.files:
        return {path: listing[path] for path in candidate.files if path in listing}
    return listing


def _change(candidate: Candidate, present: Files, cutoff_s: float) -> str:
    """Why files that are not those of the plan must stay; empty when nothing has changed."""
    for path, stat in present.items():
        if path not in candidate.files or stat.modified_s > cutoff_s:
            return "it was written to since"
    return ""
