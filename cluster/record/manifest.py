"""What a scan records of itself beside the scores: describing tables, manifest, versions."""

from __future__ import annotations

import json
import platform
import subprocess
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import pyarrow as pa

from cluster.compare.choice import choice_key
from cluster.compare.pairs import Reduction
from cluster.extract.plan import ModelPlan, ScanPlan
from cluster.pool.phases import PhaseClock, Spent
from cluster.pool.units import GroupResult
from cluster.record.graph_facts import GraphFacts
from cluster.record.history import Changes, History, count_nights, labels_key, rankings_key
from cluster.record.notes import ModelNote, model_notes
from depara.config import ModelConfig, ScanConfig, render_scan
from depara.extraction.jobs import CommitResult
from depara.objects import ProbeObjects
from depara.probes import LeftOut
from depara.redaction import redact
from depara.store.artifacts import table_of_rows
from depara.store.describing import layer_columns, model_columns
from depara.store.known import write_cards
from depara.store.layout import scan_file_path, scan_folder
from depara.store.scans import finish_scan, write_table
from depara.store.schemas import TABLES, pair_columns
from depara.store.storage import Storage
from depara.types import Failure, ModelCard, Probe

_VERSIONS = ("depara", "torch", "torchvision", "ray", "numpy", "pyarrow", "timm", "transformers")


@dataclass(frozen=True)
class PreparedScan:
    """A scan whose probes and models are known, and what could not be used.

    ``fingerprinted`` are the cards of models by the fingerprint under which the next scan may take
    them; ``settings`` is what its pairs depend on, see `comparison_settings`; ``left_out`` are the
    files beside the probes that were not taken for images.
    """

    plan: ScanPlan
    probes: tuple[Probe, ...]
    failures: tuple[Failure, ...]
    fingerprinted: dict[str, ModelCard]
    history: History
    settings: dict[str, Any]
    left_out: tuple[LeftOut, ...]


@dataclass(frozen=True)
class ScanSummary:
    """What a finished scan says of itself."""

    scan_id: str
    location: str
    spent: Spent
    num_models: int
    num_graphs: int
    num_reused_graphs: int
    num_pairs: int
    num_reused_pairs: int
    num_probes: int
    changes: Changes
    failures: tuple[Failure, ...]
    notes: tuple[ModelNote, ...]
    left_out: tuple[LeftOut, ...]

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.spent.seconds

    @property
    def failed_models(self) -> tuple[str, ...]:
        """Ids of the models that are in no ranking."""
        return self.changes.failed


@dataclass(frozen=True)
class ScanRecord:
    """All that is written of a scan beside its scores.

    ``results`` say how the extraction of each model ended; models not in it were reused.
    ``healed`` are the graphs that were found damaged and computed anew, ``facts`` those of the
    tables written so far, ``graph_facts`` what is known of each graph by key, ``work`` the pool's
    counts, ``phases`` the scan's clock, which goes on while this is written, ``expected_missed``
    what `Comparison` has.
    """

    scan_id: str
    prepared: PreparedScan
    reduction: Reduction
    results: Mapping[str, GroupResult]
    failures: tuple[Failure, ...]
    changes: Changes
    num_reused_pairs: int
    healed: frozenset[str]
    facts: dict[str, Any]
    graph_facts: Mapping[str, GraphFacts]
    work: dict[str, int]
    started_at: datetime
    finished_at: datetime
    phases: PhaseClock
    expected_missed: float | None = None

    @property
    def commits(self) -> list[CommitResult]:
        """What the models that were computed cost."""
        return [
            commit
            for result in self.results.values()
            if result.failure is None and isinstance(commit := result.values[-1], CommitResult)
        ]

    @property
    def num_reused_graphs(self) -> int:
        """Graphs of the reduction that were committed before, or by another scan meanwhile."""
        plan = self.prepared.plan
        committed = {
            graph.key for model in plan.models for graph in model.graphs if graph.committed
        }
        committed -= self.healed
        before = sum(graph.key in committed for graph in self.reduction.sources)
        return before + sum(commit.found_graphs for commit in self.commits)


def finish(record: ScanRecord, storage: Storage) -> ScanSummary:
    """Writes what describes the scan, then the manifest that makes it a finished one.

    Raises:
        StoreError: something cannot be written.
    """
    scan_id, plan = record.scan_id, record.prepared.plan
    facts = dict(record.facts)
    for name, table in describing_tables(record).items():
        facts[name] = write_table(storage, scan_id, name, table)
    config = redact(render_scan(plan.config))
    storage.ensure(scan_file_path(scan_id), config.encode())
    write_cards(storage, scan_id, record.prepared.fingerprinted)
    summary = _summarize(record, storage)
    finish_scan(storage, scan_id, _manifest(record, summary, facts))
    return summary


def _config_json(config: ScanConfig) -> str:
    # Not model_dump_json, which refuses names that are not UTF-8; nor ASCII, which hides secrets.
    return json.dumps(config.model_dump(mode="json", by_alias=True), ensure_ascii=False)


def _summarize(record: ScanRecord, storage: Storage) -> ScanSummary:
    return ScanSummary(
        scan_id=record.scan_id,
        location=storage.location(scan_folder(record.scan_id)),
        spent=record.phases.spent(),
        num_models=len(record.prepared.plan.config.models),
        num_graphs=len(record.reduction.sources),
        num_reused_graphs=record.num_reused_graphs,
        num_pairs=record.reduction.num_pairs,
        num_reused_pairs=record.num_reused_pairs,
        num_probes=record.reduction.num_probes,
        changes=record.changes,
        failures=record.failures,
        notes=model_notes(_good_plans(record), record.graph_facts),
        left_out=record.prepared.left_out,
    )


def _manifest(
    record: ScanRecord, summary: ScanSummary, facts: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    config = record.prepared.plan.config
    labels = [probe.label for probe in record.prepared.probes]
    files_reused = sum(commit.reused_node_files for commit in record.commits)
    return {
        "started_at": record.started_at.isoformat(timespec="seconds"),
        "finished_at": record.finished_at.isoformat(timespec="seconds"),
        "seconds": round(summary.seconds, 3),
        **summary.spent.to_manifest(),
        "num_models": summary.num_models,
        "num_failed_models": len(summary.failed_models),
        "num_reused_models": len(summary.changes.reused),
        "num_graphs": summary.num_graphs,
        "num_reused_graphs": summary.num_reused_graphs,
        "num_pairs": summary.num_pairs,
        "num_reused_pairs": summary.num_reused_pairs,
        "num_probes": summary.num_probes,
        **_objects_facts(record.reduction.objects),
        "num_notes": len(summary.notes),
        "left_out": {one.kind: one.count for one in summary.left_out},
        "changes": {name: list(ids) for name, ids in vars(record.changes).items()},
        "work": {**record.work, "node_files_reused": files_reused},
        "probe_set": record.prepared.plan.probe_set_key,
        **_pairs(record),
        "precision": _precisions(record),
        "scores": pair_columns(config.similarity.computed_scores),
        "comparison": record.prepared.settings,
        "rankings_key": rankings_key(record.reduction),
        "labels_key": labels_key(record.reduction, labels),
        "tables": facts,
        "versions": versions(),
        "git_revision": git_revision(),
        "config": json.loads(redact(_config_json(config))),
    }


def _pairs(record: ScanRecord) -> dict[str, Any]:
    """Which pairs were compared: all of the outputs where there are too few models to choose."""
    similarity, missed = record.prepared.plan.config.similarity, record.expected_missed
    if missed is None:
        return {"pairs": "outputs" if similarity.pairs == "nearest" else similarity.pairs}
    nearest = {
        "models": similarity.nearest,
        "expected_missed": round(missed, 3),
        "key": choice_key(similarity.terms),
    }
    return {"pairs": "nearest", "nearest": nearest}


def _objects_facts(objects: ProbeObjects | None) -> dict[str, int]:
    if objects is None:
        return {}
    return {"num_objects": len(objects), "num_objects_dropped": objects.num_dropped}


def _precisions(record: ScanRecord) -> dict[str, int]:
    """How many graphs were computed in what."""
    found = [record.graph_facts[graph.key].computed_in for graph in record.reduction.sources]
    return dict(sorted(Counter(name or "not recorded" for name in found).items()))


def describing_tables(record: ScanRecord) -> dict[str, pa.Table]:
    """Returns the models, layers, probes, failures and notes tables of a scan."""
    prepared = record.prepared
    plans = {model.card.model_id: model for model in prepared.plan.models}
    models = prepared.plan.config.models
    good = _good_plans(record)
    nights = count_nights(record.failures, prepared.history)
    rows = {
        "models": [_model_row(model, plans.get(model.id), record) for model in models],
        "layers": [row for plan in good for row in _layer_rows(plan, record.graph_facts)],
        "probes": [_probe_row(probe) for probe in prepared.probes],
        "failures": [
            {**failure.row(), "message": redact(failure.message), "nights": count}
            for failure, count in zip(record.failures, nights, strict=True)
        ],
        "notes": [
            {**vars(one.note), "model_id": one.model_id, "stage": one.stage}
            for one in model_notes(good, record.graph_facts)
        ],
    }
    return {name: table_of_rows(part, TABLES[name]) for name, part in rows.items()}


def _good_plans(record: ScanRecord) -> list[ModelPlan]:
    """The plans of the models that did not fail, in the order of the scan file."""
    failed = set(record.changes.failed)
    plans = {model.card.model_id: model for model in record.prepared.plan.models}
    models = record.prepared.plan.config.models
    return [plans[model.id] for model in models if model.id not in failed]


def _model_row(model: ModelConfig, plan: ModelPlan | None, record: ScanRecord) -> dict[str, Any]:
    row: dict[str, Any] = {"model_id": model.id, "source": model.source, "null_of": model.null_of}
    if plan is not None:
        row |= model_columns(plan.card)
    result = record.results.get(model.id)
    if model.id in record.changes.failed:
        row["status"] = "failed"
    else:
        row["status"] = "reused" if result is None else "computed"
    if result is not None and result.failure is None:
        commit = result.values[-1]
        assert isinstance(commit, CommitResult)
        row |= {"seconds": commit.seconds, "peak_memory_bytes": commit.peak_memory_bytes}
        if commit.found_graphs and not commit.seconds:
            row["status"] = "reused"
    return row


def _probe_row(probe: Probe) -> dict[str, Any]:
    boxes = probe.boxes and [box._asdict() for box in probe.boxes]
    return {**vars(probe), "uri": redact(probe.uri), "boxes": boxes}


def _layer_rows(plan: ModelPlan, facts: Mapping[str, GraphFacts]) -> list[dict[str, Any]]:
    return [
        layer_columns(plan.card, graph.layer, graph.key, fact.conditioning, fact.computed_in)
        for graph in plan.graphs
        for fact in (facts[graph.key],)
    ]


def versions() -> dict[str, str]:
    """Returns the versions of Python and of the packages that the numbers may depend on."""
    found = {"python": platform.python_version()}
    for package in _VERSIONS:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def git_revision() -> str | None:
    """Returns the commit of the checkout that runs, or None outside of one."""
    try:
        answer = subprocess.run(
            ["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None
