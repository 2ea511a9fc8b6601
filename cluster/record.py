"""What a scan records of itself beside the scores: describing tables, versions, revision."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import pyarrow as pa

from cluster.plan import ScanPlan
from cluster.work import CommitResult, GroupResult
from depara.store.schemas import TABLES
from depara.types import Failure, Probe

_VERSIONS = ("depara", "torch", "torchvision", "ray", "numpy", "pyarrow", "timm", "transformers")


@dataclass(frozen=True)
class PreparedScan:
    """A scan whose probes and models are known, and what could not be used."""

    plan: ScanPlan
    probes: tuple[Probe, ...]
    failures: tuple[Failure, ...]


def describing_tables(
    prepared: PreparedScan, results: dict[str, GroupResult], failures: Sequence[Failure]
) -> dict[str, pa.Table]:
    """Returns the models, layers, probes and failures tables of a scan.

    Args:
        prepared: the plan and the probes.
        results: how the extraction of each model ended; models not in it were reused.
        failures: of probes and models, all stages.
    """
    plan = prepared.plan
    plans = {model.card.model_id: model for model in plan.models}
    failed = {failure.model_id for failure in failures}
    models, layers = [], []
    for model in plan.config.models:
        row: dict[str, Any] = {"model_id": model.id, "source": model.source, "status": "failed"}
        row["null_of"] = model.null_of
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
