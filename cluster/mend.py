"""What a scan does about damage that it meets: the damaged is made anew, or left out by name."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from cluster.extract.probes import prepare_probes
from cluster.pool.context import ScanContext
from cluster.pool.loop import WorkerPool
from cluster.stages import Extraction
from depara.config import ScanFile
from depara.errors import (
    DamagedCanvasesError,
    DamagedGraphError,
    UnreadableScanError,
    UnusableGraphError,
)
from depara.store.graphs import discard_graph
from depara.store.scans import remove_unfinished
from depara.types import Failure

MAX_MENDS = 3
"""How often one scan makes anew what it finds damaged before it gives up."""

Damage = DamagedCanvasesError | DamagedGraphError | UnreadableScanError
DAMAGE = (DamagedCanvasesError, DamagedGraphError, UnreadableScanError)


def mend(
    damage: Damage,
    graphs: Extraction,
    file: ScanFile,
    pool: WorkerPool,
    scan_id: str,
    context: ScanContext,
) -> Extraction:
    """Returns what the scan goes on with after it met something damaged.

    Raises:
        StoreError: the damage itself, after too many others. Graphs that cannot be compared do not
            count: each is computed anew once, and then left out.
    """
    if graphs.num_mends >= MAX_MENDS and not isinstance(damage, UnusableGraphError):
        raise damage
    graphs = replace(graphs, num_mends=graphs.num_mends + 1)
    if isinstance(damage, DamagedCanvasesError):
        context.reporter.note(f"damaged: {damage}")
        prepare_probes(file, pool, context, fresh=True, keep=True)
        return graphs
    if isinstance(damage, UnreadableScanError):
        context.reporter.note(f"{damage}; all pairs are compared anew")
        remove_unfinished(context.storage, scan_id)
        return replace(graphs, previous=None)
    keys = set(damage.graph_keys)
    if isinstance(damage, UnusableGraphError):
        # Computed anew once: an older version may have written it.
        again = {key: why for key, why in damage.reasons.items() if key in graphs.healed}
        lost = _left_out(graphs, again)
        context.metrics.add("depara_failures", len(lost), stage="reduce")
        graphs = replace(graphs, left_out=(*graphs.left_out, *lost))
        keys -= again.keys()
    context.reporter.note(f"damaged: {damage}")
    remove_unfinished(context.storage, scan_id)
    return _without(graphs, keys, context) if keys else graphs


def _without(graphs: Extraction, keys: Collection[str], context: ScanContext) -> Extraction:
    """Takes damaged graphs back; they are to be computed anew."""
    context.reporter.note(f"{len(keys)} damaged graphs are computed anew")
    for key in keys:
        discard_graph(context.storage, key)
    todo = graphs.prepared.plan.with_missing(keys)
    return replace(graphs, todo=todo, rank=0, healed=graphs.healed.union(keys))


def _left_out(graphs: Extraction, unusable: Mapping[str, str]) -> tuple[Failure, ...]:
    """The failures of the models of graphs that cannot be compared."""
    return tuple(
        Failure(
            model_id=model.card.model_id,
            stage="reduce",
            layer=graph.layer.name,
            error_type=UnusableGraphError.__name__,
            message=unusable[graph.key],
        )
        for model in graphs.prepared.plan.models
        for graph in model.graphs
        if graph.key in unusable
    )
