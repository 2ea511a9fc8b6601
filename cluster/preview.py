"""The dry run: all that a scan would do, from opened models and earlier scans; computes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

from cluster.compare.choosing import wants_choice
from cluster.compare.pairs import make_reduction, missing_regions, tile_jobs
from cluster.pool.context import ScanContext
from cluster.pool.launcher import Launcher
from cluster.pool.progress import Reporter
from cluster.record.history import Changes, classify, failed_models, known_pairs
from cluster.record.manifest import PreparedScan
from cluster.stages import make_pool, prepare_scan
from depara.config import ScanFile
from depara.store.storage import Storage


@dataclass(frozen=True)
class Preview:
    """A scan before any of it is done: its plan, its pairs, and what became of the models.

    ``num_graph_reads`` is how often the comparison reads a graph: at least once for each that is
    compared, more where they do not fit in one tile. Where pairs are to be chosen, which no dry run
    can, ``num_pairs`` is about how many they are, and none counts as known.
    """

    prepared: PreparedScan
    num_pairs: int
    num_known_pairs: int
    num_graph_reads: int
    changes: Changes

    @property
    def failed_models(self) -> Sequence[str]:
        """Ids of the models that cannot be used."""
        return self.changes.failed


def preview_scan(
    file: ScanFile, launcher: Launcher, storage: Storage, reporter: Reporter, *, fresh: bool = False
) -> Preview:
    """Opens what is not known, writes nothing, and returns what a scan would do.

    Raises:
        ProbeError: too few usable probes.
        ModelError: no model of the zoo can be used.
    """
    context = ScanContext(storage, launcher, reporter)
    with closing(make_pool(file.config, context)) as pool:
        prepared = prepare_scan(file, pool, context, fresh=fresh, keep=False)
    reduction = make_reduction(prepared.plan, prepared.failures)
    changes = classify(reduction.sources, failed_models(prepared.failures), prepared.history)
    if wants_choice(reduction):  # which ones follows from graphs that are not there yet
        num_models = len(reduction.outputs)
        share = (file.config.similarity.nearest + 1) / num_models
        num_pairs = round(reduction.num_pairs * share)
        return Preview(prepared, num_pairs, 0, len(reduction.sources) + num_models, changes)
    known = known_pairs(reduction, prepared.history.previous)
    tiles = tile_jobs(reduction, missing_regions(reduction, known), workers=1)
    reads = sum(len(one.rows) + (0 if one.is_diagonal else len(one.columns)) for one in tiles)
    return Preview(prepared, reduction.num_pairs, known.count if known else 0, reads, changes)
