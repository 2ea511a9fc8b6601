"""What a plan holds, by kind and name, and a scan that comes in between."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from depara.maintenance import CollectionPlan
from depara.store.running import claim_scan
from depara.store.storage import Storage


def kinds(plan: CollectionPlan) -> Counter[str]:
    return Counter(candidate.kind for candidate in plan.candidates)


def names(plan: CollectionPlan, kind: str) -> set[str]:
    return {candidate.name for candidate in plan.candidates if candidate.kind == kind}


def start(storage: Storage, keys: Iterable[str] | None, probe_set: str = "p") -> None:
    """A scan of another machine begins, and says what it relies on unless `keys` is None."""
    lease = claim_scan(storage, "night", "0" * 32, "2026-01-01")
    lease.owner["host"] = "elsewhere"
    lease.beat()
    if keys is not None:
        lease.publish_plan(list(keys), probe_set)
