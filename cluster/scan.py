"""The scan from end to end: probes, models, graphs, similarity, tables. Decides nothing by itself:
the store says what is done, the plan what is missing, the loop who does it."""

from __future__ import annotations

import platform
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import pyarrow as pa

from cluster.launcher import Launcher
from cluster.loop import Event, WorkerPool
from cluster.plan import ScanPlan, make_plan
from cluster.probing import PreparedProbes, prepare_probes
from cluster.progress import Reporter
from cluster.reduce import GraphRef, Reduction, reduce_graphs
from cluster.work import CommitResult, Group, GroupResult, ResolveUnit
from depara.config import ScanConfig, ScanFile, render_scan
from depara.errors import ModelError, StoreError
from depara.store.graphs import committed_keys
from depara.store.keys import short_hash
from depara.store.scans import finish_scan, read_manifest, scan_folder, write_table
from depara.store.schemas import TABLES
from depara.store.storage import Storage
from depara.types import Failure, ModelCard, Probe

_VERSIONS = ("depara", "torch", "torchvision", "ray", "numpy", "pyarrow", "timm", "transformers")


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


@dataclass(frozen=True)
class PreparedScan:
    """A scan whose probes and models are known, and what could not be used."""

    plan: ScanPlan
    probes: tuple[Probe, ...]
    failures: tuple[Failure, ...]


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
    started_s, started_at = time.monotonic(), datetime.now(UTC)
    config = file.config
    scan_id = config.scan_id or default_scan_id(config, started_at)
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
        pool.close()
    failures = [*prepared.failures, *_failures(prepared.plan, results, storage)]
    failed = {failure.model_id for failure in failures}
    graphs = graph_refs(prepared.plan, failed)
    if not graphs:
        reasons = "\n".join(f"  {f.model_id}: {f.message}" for f in failures if f.model_id)
        raise ModelError(f"every model failed:\n{reasons}")
    targets = graphs if config.similarity.pairs == "all" else _outputs(graphs)
    reduction = Reduction(graphs, targets, prepared.plan.num_probes, config.map_side**2, config)
    facts = reduce_graphs(reduction, scan_id, storage.root, launcher, reporter)
    for name, table in _describing_tables(prepared, results, failures).items():
        facts[name] = write_table(storage, scan_id, name, table)
    seconds = time.monotonic() - started_s
    reused = [m for m in prepared.plan.models if not m.missing and m.card.model_id not in failed]
    storage.create(f"{scan_folder(scan_id)}/scan.yaml", render_scan(config).encode())
    manifest = {
        "started_at": started_at.isoformat(timespec="seconds"),
        "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 3),
        "num_models": len(config.models),
        "num_failed_models": len({f.model_id for f in failures if f.model_id}),
        "num_reused_models": len(reused),
        "num_graphs": len(graphs),
        "num_computed_graphs": prepared.plan.num_missing,
        "num_probes": prepared.plan.num_probes,
        "probe_set": prepared.plan.probe_set_key,
        "tables": facts,
        "versions": _versions(),
        "git_revision": _git_revision(),
        "config": config.model_dump(mode="json", by_alias=True),
    }
    finish_scan(storage, scan_id, manifest)
    return ScanSummary(
        scan_id=scan_id,
        location=storage.location(scan_folder(scan_id)),
        seconds=seconds,
        num_models=len(config.models),
        num_reused_models=len(reused),
        num_graphs=len(graphs),
        num_probes=prepared.plan.num_probes,
        failures=tuple(failures),
    )


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


def graph_refs(plan: ScanPlan, failed: set[str]) -> tuple[GraphRef, ...]:
    """Returns the graphs of all models that did not fail."""
    return tuple(
        GraphRef(
            model.card.model_id,
            graph.layer.name,
            graph.layer.depth,
            graph.key,
            graph.layer.name == model.card.output_layer,
        )
        for model in plan.models
        if model.card.model_id not in failed
        for graph in model.graphs
    )


def _outputs(graphs: Sequence[GraphRef]) -> tuple[GraphRef, ...]:
    return tuple(graph for graph in graphs if graph.is_output)


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


def _describing_tables(
    prepared: PreparedScan, results: dict[str, GroupResult], failures: Sequence[Failure]
) -> dict[str, pa.Table]:
    plan = prepared.plan
    plans = {model.card.model_id: model for model in plan.models}
    failed = {failure.model_id for failure in failures}
    models, layers = [], []
    for model in plan.config.models:
        row: dict[str, Any] = {"model_id": model.id, "source": model.source, "status": "failed"}
        if model.id in plans:
            card = plans[model.id].card
            row |= {
                "architecture": card.architecture,
                "weights_sha256": card.weights_sha256,
                "num_parameters": card.num_parameters,
                "input_size": card.input.side,
            }
        if model.id not in failed:
            row["status"] = "computed" if model.id in results else "reused"
            layers += [
                {
                    "model_id": model.id,
                    "layer": graph.layer.name,
                    "depth": graph.layer.depth,
                    "depth_fraction": graph.layer.depth_fraction,
                    "num_features": graph.layer.num_features,
                    "graph_key": graph.key,
                }
                for graph in plans[model.id].graphs
            ]
        result = results.get(model.id)
        if result is not None and result.failure is None:
            commit = result.values[-1]
            assert isinstance(commit, CommitResult)
            row |= {"seconds": commit.seconds, "peak_memory_bytes": commit.peak_memory_bytes}
        models.append(row)
    rows = {
        "models": models,
        "layers": layers,
        "probes": [vars(probe) for probe in prepared.probes],
        "failures": [vars(failure) for failure in failures],
    }
    return {name: pa.Table.from_pylist(part, TABLES[name]) for name, part in rows.items()}


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in _VERSIONS:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _git_revision() -> str | None:
    try:
        answer = subprocess.run(
            ["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None


__all__ = [
    "PreparedProbes",
    "PreparedScan",
    "ScanSummary",
    "default_scan_id",
    "make_pool",
    "prepare_scan",
    "run_scan",
]
