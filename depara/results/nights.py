"""The finished scans of an output, as pandas tables: what each did, and where its time went."""

from __future__ import annotations

from typing import Any

import pandas as pd

from depara.store.scans import finished_manifests
from depara.store.storage import Storage

_COUNTS = {
    "models": "num_models",
    "failed": "num_failed_models",
    "models_reused": "num_reused_models",
    "graphs": "num_graphs",
    "graphs_reused": "num_reused_graphs",
    "pairs": "num_pairs",
    "pairs_reused": "num_reused_pairs",
    "probes": "num_probes",
}


_PHASES = ("probes", "models", "graphs", "comparison", "analysis", "tables")


def list_scans(output: str) -> pd.DataFrame:
    """Returns the finished scans of an output, oldest first: what they did, reused, and took.

    Columns: ``sequence`` (place among all scans that finished), ``scan_id``, ``finished_at`` (ISO
    time, UTC), counts, and ``seconds``. What an older version did not record is null.

    Raises:
        StoreError: a manifest is damaged.
    """
    rows = [
        {
            "sequence": manifest.get("sequence"),
            "scan_id": manifest["scan_id"],
            "finished_at": manifest.get("finished_at"),
            **{column: manifest.get(name) for column, name in _COUNTS.items()},
            "seconds": manifest.get("seconds"),
        }
        for manifest in finished_manifests(Storage(output), tolerant=True)
    ]
    columns = ["sequence", "scan_id", "finished_at", *_COUNTS, "seconds"]
    counts = dict.fromkeys(("sequence", *_COUNTS), "Int64")
    return pd.DataFrame(rows, columns=columns).astype({**counts, "seconds": "Float64"})


def list_times(output: str) -> pd.DataFrame:
    """Returns where the time of the finished scans of an output went, oldest first.

    Columns: ``scan_id``, ``finished_at``, ``seconds``, seconds by phase (``probes_s``,
    ``models_s``, ``graphs_s``, ``comparison_s``, ``analysis_s``, ``tables_s``), ``busy``
    (share of the time of the workers that were ready in which they computed), and
    ``read_bytes`` and ``written_bytes`` of all processes. What an older version did not record is
    null.

    Raises:
        StoreError: the storage does not answer.
    """
    rows = [_times(manifest) for manifest in finished_manifests(Storage(output), tolerant=True)]
    phases = [f"{name}_s" for name in _PHASES]
    columns = ["scan_id", "finished_at", "seconds", *phases, "busy", "read_bytes", "written_bytes"]
    kinds = dict.fromkeys(columns[2:-2], "Float64") | dict.fromkeys(columns[-2:], "Int64")
    return pd.DataFrame(rows, columns=columns).astype(kinds)


def _times(manifest: dict[str, Any]) -> dict[str, Any]:
    phases, workers = manifest.get("phases", {}), manifest.get("workers", {})
    ready_s = workers.get("busy", 0) + workers.get("idle", 0)
    traffic = manifest.get("bytes", {}).values()
    moved = {
        f"{what}_bytes": sum(process[what] for process in traffic) if traffic else None
        for what in ("read", "written")
    }
    return {
        "scan_id": manifest["scan_id"],
        "finished_at": manifest.get("finished_at"),
        "seconds": manifest.get("seconds"),
        **{f"{name}_s": phases.get(name) for name in _PHASES},
        "busy": workers["busy"] / ready_s if ready_s else None,
        **moved,
    }
