"""The scan from end to end: probes, models, graphs, similarity, tables. Decides nothing by itself:
the store says what is done, the plan what is missing, the loop who does it."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime

from cluster.mend import DAMAGE, mend
from cluster.pool.context import ScanContext
from cluster.pool.launcher import Launcher
from cluster.pool.loop import WorkerPool
from cluster.pool.metrics import NO_METRICS, Metrics
from cluster.pool.phases import PhaseClock
from cluster.pool.progress import Reporter
from cluster.pool.sampling import sampled
from cluster.pool.stopping import StopSignal
from cluster.record.graph_facts import read_graph_facts
from cluster.record.history import classify, failed_models
from cluster.record.lease import count_earlier, holding_scan
from cluster.record.manifest import ScanRecord, ScanSummary, finish
from cluster.stages import Comparison, Extraction, compare, extract, make_pool, prepare_scan
from depara.config import ScanFile
from depara.store.storage import Storage


def utc_now() -> datetime:
    """Returns the wall clock's time. It names and dates scans, and decides nothing."""
    return datetime.now(UTC)


def run_scan(
    file: ScanFile,
    launcher: Launcher,
    storage: Storage,
    reporter: Reporter,
    *,
    stop: StopSignal | None = None,
    fresh: bool = False,
    metrics: Metrics = NO_METRICS,
    clock: Callable[[], float] = time.monotonic,
) -> ScanSummary:
    """Runs a whole scan and returns its summary; the tables are then in the storage.

    ``clock`` measures its phases, in seconds.

    Raises:
        ScanInterruptedError: a stop was requested; the same call goes on later.
        DeparaError: the scan as a whole is impossible; what was committed stays and is reused.
    """
    started_at = utc_now()
    stop = stop or StopSignal()
    context = ScanContext(storage, launcher, reporter, stop, PhaseClock(clock), metrics)
    with (
        holding_scan(file.config, storage, started_at, reporter) as lease,
        closing(make_pool(file.config, context)) as pool,
        sampled(pool, context),
    ):
        prepared = prepare_scan(file, pool, context, fresh=fresh)
        plan = prepared.plan
        lease.publish_plan(plan.graph_keys, plan.probe_set_key)
        rank = count_earlier(storage, lease)
        graphs = Extraction(prepared, plan, rank, prepared.history.previous)
        comparison = None
        while comparison is None:
            try:
                graphs = extract(graphs, pool, context)
                lease.check()
                comparison = compare(graphs, lease.scan_id, context)
            except DAMAGE as damage:
                graphs = mend(damage, graphs, file, pool, lease.scan_id, context)
        record = make_record(lease.scan_id, started_at, graphs, comparison, pool, context)
        lease.check()
        return finish(record, storage)


def make_record(
    scan_id: str,
    started_at: datetime,
    graphs: Extraction,
    comparison: Comparison,
    pool: WorkerPool,
    context: ScanContext,
) -> ScanRecord:
    """Returns all that is to be written of a scan beside its scores."""
    sources, history = comparison.reduction.sources, graphs.prepared.history
    known = graphs.previous.facts if graphs.previous is not None else {}
    known = {key: facts for key, facts in known.items() if key not in graphs.healed}
    return ScanRecord(
        scan_id=scan_id,
        prepared=graphs.prepared,
        reduction=comparison.reduction,
        results=graphs.results,
        failures=comparison.failures,
        changes=classify(sources, failed_models(comparison.failures), history),
        num_reused_pairs=comparison.num_reused_pairs,
        healed=graphs.healed,
        facts=comparison.facts,
        graph_facts=read_graph_facts(context.storage, [graph.key for graph in sources], known),
        work={**pool.counts, "graphs_healed": len(graphs.healed)},
        started_at=started_at,
        finished_at=utc_now(),
        phases=context.phases,
        expected_missed=comparison.expected_missed,
    )
