"""The scan from end to end: probes, models, graphs, similarity, tables. Decides nothing by itself:
the store says what is done, the plan what is missing, the loop who does it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cluster.analysis import analyse
from cluster.blocks import GraphRef
from cluster.launcher import Launcher
from cluster.loop import Event, WorkerPool
from cluster.plan import ScanPlan, make_plan
from cluster.probing import prepare_probes
from cluster.progress import Reporter
from cluster.record import PreparedScan, describing_tables, git_revision, versions
from cluster.reduce import Reduction, reduce_graphs
from cluster.work import Group, GroupResult, ResolveUnit
from depara.config import ScanConfig, ScanFile, render_scan
from depara.errors import ModelError, StoreError
from depara.store.graphs import committed_keys
from depara.store.keys import short_hash
from depara.store.scans import finish_scan, read_manifest, scan_folder, write_table
from depara.store.storage import Storage
from depara.types import Failure, ModelCard


@dataclass(frozen=True)
class ScanSummary:
    """What a finished scan says of itself."""

    scan_id: str
    location: str
    seconds: float
    num_models: int
    num_reused_models: int
    num_graphs: int
    num_probes: int
    failures: tuple[Failure, ...]

    @property
    def failed_models(self) -> tuple[str, ...]:
        """Ids of the models that are in no ranking."""
        return tuple(dict.fromkeys(f.model_id for f in self.failures if f.model_id))


def prepare_scan(
    file: ScanFile,
    pool: WorkerPool,
    storage: Storage,
    reporter: Reporter,
    *,
    keep_canvases: bool = True,
) -> PreparedScan:
    """Returns the plan of a scan: probes decoded, every model opened once and its layers chosen.

    Raises:
        ProbeError: too few usable probes.
        ModelError: no model of the zoo can be used.
    """
    prepared = prepare_probes(file, pool, storage if keep_canvases else None, reporter)
    cards, failures = _resolve(file.config, pool, reporter)
    if not cards:
        raise ModelError(
            f"none of the {len(file.config.models)} models can be used:\n"
            + "\n".join(f"  {f.model_id}: {f.message}" for f in failures)
        )
    plan = make_plan(
        file.config,
        cards,
        prepared.key,
        len(prepared.probes),
        lambda keys: committed_keys(storage, keys),
    )
    return PreparedScan(plan, prepared.probes, (*prepared.failures, *failures))


def run_scan(
    file: ScanFile,
    launcher: Launcher,
    storage: Storage,
    reporter: Reporter,
) -> ScanSummary:
    """Runs a whole scan and returns its summary; the tables are then in the storage.

    Raises:
        DeparaError: the scan as a whole is impossible; what was committed stays and is reused.
    """
    clock = _Clock(time.monotonic(), datetime.now(UTC))
    config = file.config
    scan_id = config.scan_id or default_scan_id(config, clock.started_at)
    if read_manifest(storage, scan_id) is not None:
        raise StoreError(
            f"scan {scan_id!r} is finished already in {storage.root}: choose another scan_id, or "
            "leave it null"
        )
    pool = make_pool(config, launcher)
    try:
        prepared = prepare_scan(file, pool, storage, reporter)
        results = _extract(prepared.plan, pool, reporter)
    finally:
        pool.close()  # frees the CPUs for the tile tasks
    failures = (*prepared.failures, *_failures(prepared.plan, results, storage))
    reduction = _reduction(prepared.plan, failures)
    facts = reduce_graphs(reduction, scan_id, storage.root, launcher, reporter)
    spent_s = time.monotonic() - clock.started_s
    labels = [probe.label for probe in prepared.probes]
    facts |= analyse(reduction, labels, spent_s, scan_id, storage.root, launcher, reporter)
    for name, table in describing_tables(prepared, results, failures).items():
        facts[name] = write_table(storage, scan_id, name, table)
    summary = _summarize(scan_id, prepared, reduction, failures, storage, clock)
    _finish(storage, summary, prepared, facts, clock)
    return summary


@dataclass(frozen=True)
class _Clock:
    started_s: float
    started_at: datetime


def _summarize(
    scan_id: str,
    prepared: PreparedScan,
    reduction: Reduction,
    failures: tuple[Failure, ...],
    storage: Storage,
    clock: _Clock,
) -> ScanSummary:
    failed = {failure.model_id for failure in failures}
    models = [model for model in prepared.plan.models if model.card.model_id not in failed]
    return ScanSummary(
        scan_id=scan_id,
        location=storage.location(scan_folder(scan_id)),
        seconds=time.monotonic() - clock.started_s,
        num_models=len(reduction.config.models),
        num_reused_models=sum(not model.missing for model in models),
        num_graphs=len(reduction.sources),
        num_probes=reduction.num_probes,
        failures=failures,
    )


def _finish(
    storage: Storage,
    summary: ScanSummary,
    prepared: PreparedScan,
    facts: dict[str, Any],
    clock: _Clock,
) -> None:
    """Writes the resolved scan file, then the manifest that makes the scan a finished one."""
    plan = prepared.plan
    path = f"{scan_folder(summary.scan_id)}/scan.yaml"
    storage.create(path, render_scan(plan.config).encode())
    manifest = {
        "started_at": clock.started_at.isoformat(timespec="seconds"),
        "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(summary.seconds, 3),
        "num_models": summary.num_models,
        "num_failed_models": len(summary.failed_models),
        "num_reused_models": summary.num_reused_models,
        "num_graphs": summary.num_graphs,
        "num_computed_graphs": plan.num_missing,
        "num_probes": summary.num_probes,
        "probe_set": plan.probe_set_key,
        "tables": facts,
        "versions": versions(),
        "git_revision": git_revision(),
        "config": plan.config.model_dump(mode="json", by_alias=True),
    }
    finish_scan(storage, summary.scan_id, manifest)


def _reduction(plan: ScanPlan, failures: Sequence[Failure]) -> Reduction:
    """What is compared: all graphs of the models that did not fail."""
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


def make_pool(config: ScanConfig, launcher: Launcher) -> WorkerPool:
    """Returns a pool of the size that the config asks for, or of what the cluster has."""
    compute = config.compute
    size = (
        min(launcher.capacity(), len(config.models))
        if compute.workers == "auto"
        else compute.workers
    )
    return WorkerPool(launcher, size, compute.ready_timeout_s, compute.unit_timeout_s)


def default_scan_id(config: ScanConfig, now: datetime) -> str:
    """Returns the UTC time and a short hash of the config, such as ``20260131T020000Z-1f3a9c``."""
    digest = short_hash(config.model_dump(mode="json", by_alias=True))[:6]
    return f"{now:%Y%m%dT%H%M%SZ}-{digest}"


def _resolve(
    config: ScanConfig, pool: WorkerPool, reporter: Reporter
) -> tuple[list[ModelCard], list[Failure]]:
    reporter.phase("models", len(config.models), "models opened")
    groups = [Group(model.id, (ResolveUnit(model, config),)) for model in config.models]
    results = pool.run(groups, _on_group(reporter))
    cards = [result.values[0] for result in results if result.failure is None]
    return cards, [result.failure for result in results if result.failure is not None]


def _extract(plan: ScanPlan, pool: WorkerPool, reporter: Reporter) -> dict[str, GroupResult]:
    groups = plan.groups()
    num_units = sum(len(group.units) for group in groups)
    if plan.num_missing < plan.num_graphs:
        done = plan.num_graphs - plan.num_missing
        reporter.note(f"{done} of {plan.num_graphs} graphs are committed already and are reused")
    reporter.phase("graphs", num_units, "units")
    models_done = 0

    def on_event(event: Event) -> None:
        nonlocal models_done
        if event.kind == "group":
            models_done += 1
            if event.detail:
                reporter.fail(f"{event.group}: {event.detail}")
        elif event.kind == "lost":
            reporter.note(f"a worker was lost ({event.group or 'idle'}): {event.detail}")
        state = f"{models_done}/{len(groups)} models"
        reporter.step(1 if event.kind == "unit" else 0, state)

    results = pool.run(groups, on_event)
    return {result.name: result for result in results}


def _on_group(reporter: Reporter) -> Callable[[Event], None]:
    def show(event: Event) -> None:
        if event.kind == "group":
            reporter.step()
            if event.detail:
                reporter.fail(f"{event.group}: {event.detail}")
        elif event.kind == "lost":
            reporter.note(f"a worker was lost ({event.group or 'idle'}): {event.detail}")
        reporter.refresh()

    return show


def _failures(plan: ScanPlan, results: dict[str, GroupResult], storage: Storage) -> list[Failure]:
    """The failures of the extraction; a model is good when all its graphs are committed."""
    failures = [result.failure for result in results.values() if result.failure is not None]
    failed_keys = {
        graph.key
        for model in plan.models
        if (result := results.get(model.card.model_id)) is not None and result.failure
        for graph in model.missing
    }
    failed_keys -= committed_keys(storage, failed_keys)
    known = {failure.model_id for failure in failures}
    for model in plan.models:
        lacking = [graph for graph in model.missing if graph.key in failed_keys]
        if lacking and model.card.model_id not in known:
            failures.append(
                Failure(
                    model_id=model.card.model_id,
                    stage="extract",
                    layer=lacking[0].layer.name,
                    error_type="ModelError",
                    message="a model with the same weights failed, and with it their graphs",
                )
            )
    return failures
