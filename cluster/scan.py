"""The scan from end to end: probes, models, graphs, similarity, tables. Decides nothing by itself:
the store says what is done, the plan what is missing, the loop who does it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from cluster.compare.analysis import analyse
from cluster.compare.blocks import GraphRef
from cluster.compare.pairs import Reduction
from cluster.compare.tiles import reduce_graphs
from cluster.extract.cards import forget_changed, prepare_inputs
from cluster.extract.graphs import extract_graphs, extraction_failures
from cluster.extract.plan import ScanPlan, make_plan
from cluster.extract.probes import prepare_probes
from cluster.pool.context import ScanContext
from cluster.pool.launcher import Launcher
from cluster.pool.loop import WorkerPool
from cluster.pool.progress import Reporter
from cluster.pool.stopping import StopSignal
from cluster.pool.units import GroupResult
from cluster.record.graph_facts import GraphFacts, read_graph_facts
from cluster.record.history import classify, known_analysis, known_pairs, read_history
from cluster.record.lease import count_earlier, lease_scan
from cluster.record.manifest import PreparedScan, ScanRecord, ScanSummary, finish
from depara.config import ScanConfig, ScanFile
from depara.errors import (
    DamagedCanvasesError,
    DamagedGraphError,
    DeparaError,
    ModelError,
    ProbeError,
    UnreadableScanError,
    UnusableGraphError,
)
from depara.locations import is_remote
from depara.retries import patience_s
from depara.store.graphs import committed_keys, discard_graph
from depara.store.keys import comparison_settings
from depara.store.running import ScanLease
from depara.store.scans import remove_unfinished
from depara.store.storage import Storage
from depara.types import Failure

MAX_MENDS = 3
"""How often one scan recomputes what it finds damaged before it gives up."""


def utc_now() -> datetime:
    """Returns the wall clock's time. It names and dates scans, and decides nothing."""
    return datetime.now(UTC)


def prepare_scan(
    file: ScanFile,
    pool: WorkerPool,
    context: ScanContext,
    *,
    fresh: bool = False,
    keep: bool = True,
) -> PreparedScan:
    """Returns the plan of a scan: every probe and model known or opened, its layers chosen.

    Args:
        file: the scan.
        pool: opens what is not known.
        context: where to look and to show.
        fresh: take nothing from the storage.
        keep: write canvases and what is learned to the storage.

    Raises:
        ProbeError: too few usable probes.
        ModelError: no model of the zoo can be used.
    """
    inputs = prepare_inputs(file, pool, context, fresh=fresh, keep=keep)
    probes = inputs.probes
    incomplete: dict[str, str] = {}

    def committed(keys: Sequence[str]) -> set[str]:
        return committed_keys(context.storage, keys, incomplete)

    plan = make_plan(
        file.config, inputs.cards, probes.key, len(probes.probes), committed, fresh=fresh
    )
    for model in plan.models:
        for graph in model.graphs:
            if graph.key in incomplete:
                name, layer = model.card.model_id, graph.layer.name
                context.reporter.note(
                    f"damaged: {incomplete[graph.key]} is missing or empty (model {name!r}, layer "
                    f"{layer!r}): the graph is computed anew"
                )
    settings = comparison_settings(file.config, probes.key, plan.num_probes)
    ids = [model.id for model in file.config.models]
    history = read_history(context.storage, settings, ids)
    if fresh:
        history = replace(history, previous=None, reasons=("--fresh takes nothing from it",))
    for reason in history.reasons:
        context.reporter.note(f"nothing is taken from the latest scan: {reason}")
    return PreparedScan(
        plan,
        probes.probes,
        (*probes.failures, *inputs.failures),
        inputs.fingerprinted,
        history,
        settings,
        probes.left_out,
    )


def run_scan(
    file: ScanFile,
    launcher: Launcher,
    storage: Storage,
    reporter: Reporter,
    *,
    stop: StopSignal | None = None,
    fresh: bool = False,
) -> ScanSummary:
    """Runs a whole scan and returns its summary; the tables are then in the storage.

    Raises:
        ScanInterruptedError: a stop was requested; the same call goes on later.
        DeparaError: the scan as a whole is impossible; what was committed stays and is reused.
    """
    started_at = utc_now()
    context = ScanContext(storage, launcher, reporter, stop or StopSignal())
    lease = lease_scan(file.config, storage, started_at, reporter)
    try:
        run = _Run(file, context, lease, fresh)
        run.compute()
        record = run.record(started_at)
        lease.check()
        summary = finish(record, storage)
    except (ProbeError, ModelError):  # the input's fault: there is nothing to go on with
        lease.release()
        raise
    except BaseException as error:
        lease.interrupt(str(error) if isinstance(error, DeparaError) else type(error).__name__)
        raise
    lease.release()
    return summary


class _Run:
    """One scan on its way; what turns out to be damaged is computed anew."""

    def __init__(
        self,
        file: ScanFile,
        context: ScanContext,
        lease: ScanLease,
        fresh: bool,
    ) -> None:
        self._file, self._context, self._lease = file, context, lease
        self._fresh = fresh
        self._pool = make_pool(file.config, context)
        self._results: dict[str, GroupResult] = {}
        self._mends = 0
        self._healed: frozenset[str] = frozenset()
        self._left_out: tuple[Failure, ...] = ()

    def compute(self) -> None:
        """Computes everything and writes the tables of the scores."""
        context = self._context
        try:
            self._prepared = prepare_scan(self._file, self._pool, context, fresh=self._fresh)
            self._todo = self._prepared.plan
            self._history = self._prepared.history
            self._lease.publish_plan(self._todo.graph_keys, self._todo.probe_set_key)
            self._extract(count_earlier(context.storage, self._lease))
        finally:
            self._pool.close()  # frees the CPUs for the tile tasks
        while not self._compare():
            self._mends += 1

    def _compare(self) -> bool:
        """Compares and analyses the graphs; returns False after mending what was damaged."""
        self._lease.check()
        context, plan = self._context, self._prepared.plan
        new = extraction_failures(plan, self._results, context.storage)
        self._failures = (*self._prepared.failures, *new, *self._left_out)
        self._reduction = make_reduction(plan, self._failures)
        previous = self._history.previous
        labels = [probe.label for probe in self._prepared.probes]
        self._known = known_pairs(self._reduction, previous)
        analysed = known_analysis(self._reduction, labels, previous)
        scan_id = self._lease.scan_id
        try:
            self._facts = reduce_graphs(self._reduction, self._known, scan_id, context)
            spent_s = context.phases.spent().seconds
            self._facts |= analyse(self._reduction, labels, analysed, spent_s, scan_id, context)
        except UnusableGraphError as error:
            # Once it is computed anew: an older version may have written it.
            again = {key: why for key, why in error.reasons.items() if key in self._healed}
            self._leave_out(again)
            self._recompute(str(error), set(error.graph_keys) - again.keys())
        except DamagedGraphError as error:
            if self._mends >= MAX_MENDS:
                raise
            self._recompute(str(error), set(error.graph_keys))
        except UnreadableScanError as error:
            if self._mends >= MAX_MENDS:
                raise
            context.reporter.note(f"{error}; all pairs are compared anew")
            self._history = replace(self._history, previous=None)
            remove_unfinished(context.storage, scan_id)
        else:
            return True
        return False

    def _leave_out(self, unusable: Mapping[str, str]) -> None:
        """Counts the models of graphs that cannot be compared as failed."""
        self._left_out += tuple(
            Failure(
                model_id=model.card.model_id,
                stage="reduce",
                layer=graph.layer.name,
                error_type=UnusableGraphError.__name__,
                message=unusable[graph.key],
            )
            for model in self._prepared.plan.models
            for graph in model.graphs
            if graph.key in unusable
        )

    def _recompute(self, reason: str, keys: set[str]) -> None:
        """Takes damaged graphs back and computes them anew."""
        context = self._context
        context.reporter.note(f"damaged: {reason}")
        remove_unfinished(context.storage, self._lease.scan_id)
        if not keys:
            return
        context.reporter.note(f"{len(keys)} damaged graphs are computed anew")
        for key in keys:
            discard_graph(context.storage, key)
        self._healed |= keys
        self._todo = self._prepared.plan.with_missing(keys)
        try:
            self._extract(0)
        finally:
            self._pool.close()

    def _extract(self, rank: int) -> None:
        """Computes the missing graphs; decoded probes that are damaged are decoded anew."""
        while True:
            try:
                results = extract_graphs(self._todo, self._pool, self._context, rank)
            except DamagedCanvasesError as error:
                if self._mends >= MAX_MENDS:
                    raise
                self._mends += 1
                self._context.reporter.note(f"damaged: {error}")
                prepare_probes(self._file, self._pool, self._context, fresh=True, keep=True)
            else:
                self._results |= results
                cards = forget_changed(self._prepared.fingerprinted, results, self._context.storage)
                self._prepared = replace(self._prepared, fingerprinted=cards)
                return

    def _graph_facts(self) -> dict[str, GraphFacts]:
        """What is known of the graphs that were compared: read anew where they were healed."""
        previous = self._history.previous
        known = previous.facts if previous is not None else {}
        keys = [graph.key for graph in self._reduction.sources]
        known = {key: facts for key, facts in known.items() if key not in self._healed}
        return read_graph_facts(self._context.storage, keys, known)

    def record(self, started_at: datetime) -> ScanRecord:
        """Returns all that is to be written of the scan beside the scores."""
        failed = tuple(dict.fromkeys(f.model_id for f in self._failures if f.model_id))
        reduction = self._reduction
        return ScanRecord(
            scan_id=self._lease.scan_id,
            prepared=self._prepared,
            reduction=reduction,
            results=self._results,
            failures=self._failures,
            changes=classify(reduction.sources, failed, self._prepared.history),
            num_reused_pairs=self._known.count if self._known else 0,
            healed=self._healed,
            facts=self._facts,
            graph_facts=self._graph_facts(),
            work={**self._pool.counts, "graphs_healed": len(self._healed)},
            started_at=started_at,
            finished_at=utc_now(),
            phases=self._context.phases,
        )


def make_reduction(plan: ScanPlan, failures: Sequence[Failure]) -> Reduction:
    """Returns what is compared: all graphs of the models that did not fail.

    Raises:
        ModelError: every model failed.
    """
    failed = {failure.model_id for failure in failures}
    graphs = tuple(
        GraphRef(
            model.card.model_id,
            graph.layer.name,
            graph.layer.depth,
            graph.key,
            graph.layer.name == model.card.output_layer,
            model.model.null_of,
        )
        for model in plan.models
        if model.card.model_id not in failed
        for graph in model.graphs
    )
    if not graphs:
        reasons = "\n".join(f"  {f.model_id}: {f.message}" for f in failures if f.model_id)
        raise ModelError(f"every model failed:\n{reasons}")
    square = plan.config.similarity.pairs == "all"
    outputs = tuple(graph for graph in graphs if graph.is_output and not graph.null_of)
    targets = graphs if square else outputs
    return Reduction(graphs, targets, plan.num_probes, plan.config.map_side**2, plan.config)


def make_pool(config: ScanConfig, context: ScanContext) -> WorkerPool:
    """Returns a pool of the size that the config asks for, or of what the cluster has."""
    compute = config.compute
    size = (
        min(context.launcher.capacity(), len(config.models))
        if compute.workers == "auto"
        else compute.workers
    )
    return WorkerPool(
        context.launcher,
        size,
        compute.ready_timeout_s,
        compute.unit_timeout_s,
        patience_s() if _reads_from_afar(config) else 0.0,
        stop=context.stop,
        phases=context.phases,
    )


def _reads_from_afar(config: ScanConfig) -> bool:
    """Whether units wait for a storage that may not answer for a while."""
    sources = config.probes.source
    places = [config.output, *([sources] if isinstance(sources, str) else sources)]
    return any(map(is_remote, [*places, *(model.weights or "" for model in config.models)]))
