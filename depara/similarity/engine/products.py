"""Node similarity of two blocks of graphs as one matrix product, streamed in panels of columns.

``A`` source graphs, ``B`` target graphs, ``n`` probes of a range, ``N`` probes in all, ``P`` map
pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from depara.similarity.engine.panel import PANEL_COLUMNS, Panel
from depara.types import Float16, Float32, Float64

Maps = Float16 | Float32 | Sequence[Float16] | Sequence[Float32]
"""Unit-norm maps of a block of graphs: one array ``(graphs, n, P)``, or ``(n, P)`` per graph."""


class NodeProducts:
    """Running sums of the inner products of two blocks' maps: float64 ``sums_AB``.

    Holds the buffers that every range reuses. ``symmetric`` says that both blocks are the same
    graphs: each map is converted once and BLAS computes one triangle (``syrk``), half the work.
    """

    def __init__(self, num_sources: int, num_targets: int, *, symmetric: bool = False) -> None:
        assert not symmetric or num_sources == num_targets
        self.sums_AB: Float64 = np.zeros((num_sources, num_targets), dtype=np.float64)
        self._product_AB: Float32 = np.empty((num_sources, num_targets), dtype=np.float32)
        self._source_panel = Panel(num_sources)
        self._target_panel = self._source_panel if symmetric else Panel(num_targets)
        self._symmetric = symmetric

    def add(self, maps_A: Maps, maps_B: Maps | None = None) -> None:
        """Adds ``sum_i <a_i, b_i>`` over the probes of one range, for every pair of graphs.

        Products are float32 within a panel of at most 16,384 columns and float64 across panels.

        Args:
            maps_A: maps of the source block for a probe range.
            maps_B: maps of the target block for the same range; None when symmetric.

        Raises:
            ValueError: shapes or dtypes that differ between graphs or blocks.
        """
        assert (maps_B is None) == self._symmetric
        rows_A = _rows(maps_A, len(self.sums_AB))
        rows_B = None if maps_B is None else _rows(maps_B, self.sums_AB.shape[1])
        if rows_B is not None and rows_A and rows_B and rows_A[0].size != rows_B[0].size:
            raise ValueError(
                f"source graphs have {rows_A[0].size} map values in this probe range, target "
                f"graphs {rows_B[0].size}: both need the same probes and the same map size"
            )
        for start, stop in _column_cuts(rows_A[0].size if rows_A else 0):
            panel_AK = self._source_panel.fill(rows_A, start, stop)
            panel_BK = panel_AK if rows_B is None else self._target_panel.fill(rows_B, start, stop)
            # numpy sees x @ x.T by its shared memory and calls syrk.
            np.matmul(panel_AK, panel_BK.T, out=self._product_AB)
            np.add(self.sums_AB, self._product_AB, out=self.sums_AB)


def node_similarity(sums_AB: Float64, num_probes: int) -> Float64:
    """Returns ``s_V = (1/N) sum_i cos(a_i, a'_i)``, float64 ``(A, B)`` in [-1, 1], float16 aside.

    Song et al., CVPR 2020, Eq. 5: with unit-norm maps the sum of cosines is the sum of products
    that `NodeProducts` gathers. All-zero maps add 0 and are counted in ``N``. float16 leaves a
    map's norm off 1 by up to 1e-4, and so the mean by as much beyond 1: `similarity_tile` cuts it.

    Args:
        sums_AB: sums of products over all ``num_probes`` probes.
        num_probes: ``N``.
    """
    return sums_AB / num_probes


def _rows(maps: Maps, num_graphs: int) -> list[Float16 | Float32]:
    """Returns every graph's maps as one flat contiguous vector, checked to be alike."""
    if len(maps) != num_graphs:
        raise ValueError(f"got maps of {len(maps)} graphs for a block of {num_graphs}")
    kinds = {(graph.dtype.name, graph.shape) for graph in maps}
    if len(kinds) > 1 or any(name not in ("float16", "float32") for name, _ in kinds):
        raise ValueError(
            "maps of a block must all be float16 or all float32, of one shape (probes, pixels); "
            f"got {', '.join(f'{name} {shape}' for name, shape in sorted(kinds))}"
        )
    return [graph.reshape(-1) for graph in maps]


def _column_cuts(num_columns: int) -> list[tuple[int, int]]:
    """Returns near-equal panels ``(start, stop)`` of at most `PANEL_COLUMNS` columns."""
    count = -(-num_columns // PANEL_COLUMNS)
    cuts = [num_columns * index // count for index in range(count + 1)] if count else []
    return list(pairwise(cuts))
