"""Node similarity probe by probe, so that any weighting of the probes is one matrix product.

``A`` source graphs, ``B`` target graphs, ``n`` probes of a range, ``N`` probes in all, ``P`` map
pixels, ``R`` resamples.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from depara.errors import StoreError
from depara.similarity.engine.panel import PANEL_COLUMNS, Panel
from depara.similarity.engine.preflight import MAX_COSINE
from depara.types import Float16, Float32, ProbeRange


def node_cosines(maps_A: Sequence[Float16], maps_B: Sequence[Float16]) -> Float32:
    """Returns the cosine of every source's and every target's map of each probe of one range.

    ``c_abi = <a_i, b_i>`` of unit-norm maps: float32 ``(A, B, n)``; an all-zero map gives 0. Its
    mean over all probes is the node similarity ``s_V`` (Song et al., CVPR 2020, Eq. 5).

    Args:
        maps_A: unit-norm maps ``(n, P)`` of each source, all float16 or all float32.
        maps_B: likewise of each target, over the same probes.

    Raises:
        ValueError: graphs differ in probes or pixels.
    """
    shapes = {maps.shape for maps in (*maps_A, *maps_B)}
    if len(shapes) != 1:
        raise ValueError(
            f"maps of a probe range must have one shape (probes, pixels), got {sorted(shapes)}"
        )
    num_probes, num_pixels = shapes.pop()
    cosines_ABn = np.empty((len(maps_A), len(maps_B), num_probes), dtype=np.float32)
    columns = min(PANEL_COLUMNS, num_pixels)
    panel_A, panel_B = Panel(len(maps_A), columns), Panel(len(maps_B), columns)
    product_AB = np.empty(cosines_ABn.shape[:2], dtype=np.float32)
    sums_AB = np.empty(product_AB.shape, dtype=np.float64)
    for probe in range(num_probes):
        rows_A, rows_B = [maps[probe] for maps in maps_A], [maps[probe] for maps in maps_B]
        sums_AB.fill(0.0)
        for start in range(0, num_pixels, columns):
            stop = min(start + columns, num_pixels)
            left_AK, right_BK = (
                panel_A.fill(rows_A, start, stop),
                panel_B.fill(rows_B, start, stop),
            )
            np.matmul(left_AK, right_BK.T, out=product_AB)
            sums_AB += product_AB
        cosines_ABn[:, :, probe] = sums_AB
    return cosines_ABn


def add_weighted_cosines(out_BAR: Float32, cosines_ABn: Float32, shares_Rn: Float32) -> None:
    """Adds to each resample's node similarity the share of one probe range, in place.

    Args:
        out_BAR: float32, ``sum_i share_ri c_abi`` of the ranges before.
        cosines_ABn: `node_cosines` of this range.
        shares_Rn: weights of the range's probes over the resample's sum of weights.
    """
    shares_nR = np.ascontiguousarray(shares_Rn.T)
    for target, out_AR in enumerate(out_BAR):
        out_AR += cosines_ABn[:, target] @ shares_nR


def check_cosines(cosines_ABn: Float32, probes: ProbeRange) -> None:
    """Refuses cosines beyond what float16 rounding explains: maps not of unit norm.

    Raises:
        StoreError: names the pair and the probe.
    """
    bad = np.argwhere(~(np.abs(cosines_ABn) <= MAX_COSINE))
    if bad.size:
        source, target, probe = bad[0].tolist()
        raise StoreError(
            f"source {source} and target {target} of the block have cosine "
            f"{cosines_ABn[source, target, probe]:.3g} at probe {probes.start + probe}, beyond 1: "
            "maps of one of them are not of unit norm or not finite; its node files are damaged, "
            "write the graph again"
        )
