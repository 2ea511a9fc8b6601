"""Whether an output still holds what was committed to it: read again, compared, and listed.

What looks wrong is looked at a second time, with a fresh listing, before it is reported: a scan or
a collection at work may have changed it between the listing and the reading.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from depara.errors import StoreError
from depara.locations import redact
from depara.maintenance.graph_check import GraphCheck
from depara.maintenance.inventory import Files, Inventory, take_inventory
from depara.maintenance.pool import in_parallel
from depara.maintenance.probe_check import ProbeSetCheck, ProbeSets
from depara.maintenance.problem import Problem
from depara.maintenance.query_check import QueryCheck
from depara.maintenance.scan_check import (
    ScanCheck,
    latest_problems,
    parse_manifest,
    read_graph_keys,
    uncommitted_problems,
)
from depara.store.graphs import discard_graph
from depara.store.scans import resolve_scan_id
from depara.store.storage import Storage

Progress = Callable[[int, int], None]
"""Told how many of how many graphs, scans and probe sets have been checked."""

_Check = Callable[[], list[Problem]]


@dataclass(frozen=True)
class VerifyReport:
    """What was looked at and what is wrong with it.

    ``num_files`` and ``num_bytes`` are those of the graphs and scans that were checked.
    ``uncommitted_graphs``, ``unfinished_scans`` and ``running_scans`` are no errors: they are work
    in progress, or what a scan that was killed left behind. ``discarded`` are the graph keys and
    paths that were removed so that the next scan makes them anew.
    """

    problems: tuple[Problem, ...]
    num_graphs: int
    num_files: int
    num_bytes: int
    num_scans: int
    uncommitted_graphs: int
    unfinished_scans: int
    running_scans: int
    discarded: tuple[str, ...] = ()

    @property
    def is_sound(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def verify_output(
    storage: Storage,
    *,
    scan_id: str | None = None,
    fast: bool = False,
    discard: bool = False,
    on_progress: Progress = lambda done, total: None,
) -> VerifyReport:
    """Returns what is wrong with the committed graphs, finished scans and queries of an output.

    Args:
        storage: the output.
        scan_id: check this scan, its graphs and its probes only; None checks everything.
        fast: look at presence and sizes only: one listing, the markers and the manifests.
        discard: take damaged graphs back and remove damaged canvases, so that the next scan makes
            them anew.
        on_progress: called from this thread after each graph, scan and probe set.

    Raises:
        StoreError: there is nothing of a scan here, no such finished scan, or it cannot be listed.
        StorageUnavailableError: the storage does not answer.
    """
    inventory = take_inventory(storage)
    if inventory.is_empty:
        raise StoreError(f"{redact(storage.root)} holds no graphs and no scans: check the path")
    if scan_id is not None and scan_id not in inventory.finished:
        resolve_scan_id(storage, scan_id)
    scans = inventory.finished if scan_id is None else [scan_id]
    read_layers = not fast or scan_id is not None
    targets = _find_targets(storage, inventory, scans, read_layers=read_layers)
    graphs = inventory.committed
    if scan_id is not None:
        graphs = [key for key in graphs if key in targets.graph_keys]
    problems = list(targets.problems)
    if scan_id is None:
        problems += latest_problems(storage, inventory.finished)
    queries = sorted(inventory.queries) if scan_id is None else []
    checks = list(_checks(storage, inventory, graphs, scans, queries, targets.probe_sets, fast))
    for done, found in enumerate(in_parallel(lambda check: check(), checks), start=1):
        problems += found
        on_progress(done, len(checks))
    listed = [inventory.graphs[key] for key in graphs]
    listed += [inventory.scans.get(scan, {}) for scan in scans]
    return VerifyReport(
        problems=tuple(problems),
        num_graphs=len(graphs),
        num_files=sum(map(len, listed)),
        num_bytes=sum(stat.bytes for files in listed for stat in files.values()),
        num_scans=len(scans),
        uncommitted_graphs=len(inventory.graphs) - len(inventory.committed),
        unfinished_scans=len(inventory.scans) - len(inventory.finished),
        running_scans=len(inventory.running),
        discarded=tuple(_discard(storage, problems)) if discard else (),
    )


@dataclass(frozen=True)
class _Targets:
    """What the finished scans refer to."""

    graph_keys: frozenset[str]
    probe_sets: tuple[str, ...]
    problems: tuple[Problem, ...]


def _find_targets(
    storage: Storage, inventory: Inventory, scans: list[str], *, read_layers: bool
) -> _Targets:
    """Damaged manifests and tables are left out here: the check of the scan reports them."""
    keys: set[str] = set()
    probe_sets: set[str] = set()
    problems: list[Problem] = []
    committed = frozenset(inventory.committed)

    def look(scan_id: str) -> tuple[frozenset[str], str | None]:
        manifest = parse_manifest(storage, scan_id) or {}
        fact = manifest.get("tables", {}).get("layers", {})
        mine = read_graph_keys(storage, scan_id, fact) if manifest and read_layers else frozenset()
        return mine, manifest.get("probe_set")

    for scan_id, found in zip(scans, in_parallel(partial(_or_none, look), scans), strict=True):
        if found is None:
            continue
        keys |= found[0]
        if scan_id not in inventory.collected:
            problems += uncommitted_problems(storage, scan_id, found[0], committed)
            probe_sets |= {found[1]} if isinstance(found[1], str) else set()
    return _Targets(frozenset(keys), tuple(sorted(probe_sets)), tuple(problems))


def _or_none(
    look: Callable[[str], tuple[frozenset[str], str | None]], scan_id: str
) -> tuple[frozenset[str], str | None] | None:
    try:
        return look(scan_id)
    except StoreError:
        return None


def _checks(
    storage: Storage,
    inventory: Inventory,
    graphs: list[str],
    scans: list[str],
    queries: list[str],
    probe_sets: tuple[str, ...],
    fast: bool,
) -> Iterator[_Check]:
    known = ProbeSets(storage)
    for key in graphs:
        graph = GraphCheck(storage, key, known.probe_ids, fast)
        yield partial(_look, storage, graph, inventory.graphs[key])
    for scan_id in scans:
        scan = ScanCheck(storage, scan_id, fast)
        yield partial(_look, storage, scan, inventory.scans.get(scan_id, {}))
    for query_id in queries:
        asked = QueryCheck(storage, query_id, fast)
        yield partial(_look, storage, asked, inventory.queries[query_id])
    for key in probe_sets:
        probes = ProbeSetCheck(storage, key, fast)
        yield partial(_look, storage, probes, inventory.canvases)


def _look(
    storage: Storage, check: GraphCheck | ScanCheck | QueryCheck | ProbeSetCheck, files: Files
) -> list[Problem]:
    return check.problems(files) and check.problems(storage.walk(check.folder))


def _discard(storage: Storage, problems: list[Problem]) -> Iterator[str]:
    """Takes back what is damaged; yields the keys of the graphs and the paths of the files."""
    for key in dict.fromkeys(p.graph_key for p in problems if p.graph_key is not None):
        discard_graph(storage, key)
        yield key
    for path in dict.fromkeys(path for problem in problems for path in problem.discardable):
        storage.remove([path])
        yield path
