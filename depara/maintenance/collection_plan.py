"""The plan of a collection: which scans are kept, and what of the rest can go. Deletes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from depara.errors import StoreError
from depara.locations import redact
from depara.maintenance.candidates import Candidate, CandidateFinder
from depara.maintenance.inventory import Inventory, take_inventory
from depara.maintenance.pool import in_parallel
from depara.maintenance.references import needed_by, read_claims, read_references
from depara.store.layout import FOLDERS, LATEST_FILE, manifest_path, probe_set_path
from depara.store.scans import finished_manifests
from depara.store.storage import Storage

KEEP_SCANS = 14
GRACE_S = 72 * 3600.0


@dataclass(frozen=True)
class CollectionPlan:
    """What to delete from an output, and what it was decided by.

    ``now_s`` is the storage's clock. ``finished`` are the scans that were finished then, ``kept``
    those whose graphs stay, ``losing`` those that keep their tables and lose graphs or canvases.
    ``notes`` are for the user.
    """

    candidates: tuple[Candidate, ...]
    finished: frozenset[str]
    kept: tuple[str, ...]
    losing: tuple[str, ...]
    keep_scans: int
    grace_s: float
    now_s: float
    notes: tuple[str, ...] = ()

    @property
    def cutoff_s(self) -> float:
        """What was written after this time is not deleted, POSIX seconds."""
        return self.now_s - self.grace_s

    @property
    def bytes(self) -> int:
        """Size of everything to delete, bytes."""
        return sum(candidate.bytes for candidate in self.candidates)


def plan_collection(
    storage: Storage,
    *,
    keep_scans: int = KEEP_SCANS,
    grace_s: float = GRACE_S,
    scans: bool = False,
) -> CollectionPlan:
    """Returns what can be deleted from an output.

    Args:
        storage: the output.
        keep_scans: the newest finished scans whose graphs stay, at least 1; the scan that
            `latest.json` names stays beside them.
        grace_s: how long what was written last is left alone, s.
        scans: delete the tables of the other finished scans too.

    Raises:
        StoreError: there is nothing of a scan here, or it cannot be told what a kept scan needs.
    """
    assert keep_scans >= 1
    assert grace_s >= 0
    if not set(FOLDERS) & set(storage.folders("")):  # before the clock, which writes a file
        raise StoreError(f"{redact(storage.root)} holds no graphs and no scans: check the path")
    now_s = storage.now_s()
    claims = read_claims(storage, now_s, grace_s)
    inventory = take_inventory(storage)
    order = _finished_in_order(storage, inventory)
    latest = latest_scan(storage)
    kept = tuple(scan for scan in order if scan in order[-keep_scans:] or scan == latest)
    finder = CandidateFinder(storage, inventory, claims, needed_by(storage, kept), now_s - grace_s)
    candidates: list[Candidate] = []
    if scans:
        candidates += finder.scans([scan for scan in order if scan not in kept])
    candidates += [*finder.graphs(), *finder.canvases(), *finder.known(), *finder.leftovers()]
    deleted = {candidate.name for candidate in candidates if candidate.kind == "scans"}
    candidates += finder.queries(deleted)
    staying = [scan for scan in order if scan not in kept and scan not in deleted]
    notes = [f"scan {scan} is about to plan its work: try again later" for scan in claims.preparing]
    return CollectionPlan(
        candidates=tuple(candidates),
        finished=frozenset(order),
        kept=kept,
        losing=tuple(_losing(storage, inventory, staying, candidates)),
        keep_scans=keep_scans,
        grace_s=grace_s,
        now_s=now_s,
        notes=(*notes, *finder.notes),
    )


def latest_scan(storage: Storage) -> str | None:
    """Returns the scan that readers open by default, or None when none can be told."""
    try:
        return str(json.loads(storage.read_or_none(LATEST_FILE) or b"")["scan_id"])
    except (ValueError, KeyError, TypeError):
        return None


def _finished_in_order(storage: Storage, inventory: Inventory) -> list[str]:
    """The finished scans, oldest first.

    Raises:
        StoreError: a manifest is damaged: that scan may be one of those to keep.
    """
    try:
        order = [str(manifest["scan_id"]) for manifest in finished_manifests(storage)]
        strange = set(inventory.finished) - set(order)
    except StoreError as error:
        raise StoreError(
            f"nothing is collected: {error}; remove that manifest.json to give the scan up"
        ) from error
    if strange:
        location = redact(storage.location(manifest_path(min(strange))))
        raise StoreError(f"nothing is collected: {location} is of another scan: remove it")
    return order


def _losing(
    storage: Storage, inventory: Inventory, staying: list[str], candidates: list[Candidate]
) -> Iterator[str]:
    """The scans whose tables stay but that refer to something that goes, or to nobody knows what;
    without those of which this is known already."""
    graphs = {candidate.name for candidate in candidates if candidate.kind == "graphs"}
    sets = {candidate.name for candidate in candidates if candidate.kind == "probe sets"}
    if not graphs and not sets:
        return
    unmarked = [scan for scan in staying if scan not in inventory.collected]

    def loses(scan_id: str) -> bool:
        try:
            references = read_references(storage, scan_id)
        except StoreError:
            return True
        paths = {probe_set_path(key) for key in references.probe_sets}
        return bool(references.graph_keys & graphs or paths & sets)

    for scan_id, is_losing in zip(unmarked, in_parallel(loses, unmarked), strict=True):
        if is_losing:
            yield scan_id
