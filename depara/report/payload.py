"""The data of a report, once, as quantised columns: what the page ranks and draws from.

Legend: ``M`` models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depara.catalog import SCORES, TERMS
from depara.report.columns import Column, real_column, whole_column
from depara.report.grid import COLUMNS, Grid
from depara.similarity.combine import describe_terms
from depara.types import Float32

MATRIX_CHARS = 3_550_000
"""Most characters of all matrices: 3 of DEPARA's two parts and three other scores at 1,000."""
PAIR_CHARS = 400_000
CURVE_CHARS = 180_000
_LADDER = ((3, 3, 3), (2, 2, 2), (2, 2, 1), (2, 1, 1))
_PAIR_DIGITS = 19
_SIMPLE = ("rsa", "dds", "cka")
_FEW_MODELS = 40


@dataclass(frozen=True)
class Matrices:
    """Scores as columns; ``left_out`` are those that did not fit."""

    columns: Mapping[str, Column]
    left_out: tuple[str, ...]


def pack_matrices(
    scores: Mapping[str, Float32], parts: Sequence[str], most_chars: int = MATRIX_CHARS
) -> Matrices:
    """Returns the scores as finely as they fit; ``parts``, what ranks, are kept in any case.

    18 bits a value where all fit, else 12, then 12 for the parts and 6 for the others, then 6 for
    parts that are not symmetric too. The last of the others are left out where that does not do. A
    symmetric matrix is its upper triangle, row by row, without the
    diagonal; any other is whole.
    """
    is_symmetric = {name: _is_symmetric(one) for name, one in scores.items()}
    cells = {
        name: one.shape[0] * (one.shape[0] - 1) // 2 if is_symmetric[name] else one.size
        for name, one in scores.items()
    }
    for symmetric, asymmetric, others in _LADDER:
        own = {name: symmetric if is_symmetric[name] else asymmetric for name in parts}
        digits = {name: own.get(name, others) for name in scores}
        if sum(cells[name] * digits[name] for name in scores) <= most_chars:
            break
    kept, chars, left_out = {}, 0, []
    for name in dict.fromkeys((*parts, *_SIMPLE, *SCORES, *COLUMNS)):
        if name not in scores:
            continue
        values_MM = scores[name]
        chars += cells[name] * digits[name]
        if name not in parts and chars > most_chars:
            chars -= cells[name] * digits[name]
            left_out.append(name)
            continue
        upper = np.triu_indices(len(values_MM), 1)
        values = values_MM[upper] if is_symmetric[name] else values_MM
        column = real_column(values, digits[name])
        kept[name] = {**column, "symmetric": is_symmetric[name]}
    return Matrices(kept, tuple(left_out))


def _is_symmetric(values_MM: Float32) -> bool:
    return bool(np.allclose(values_MM, values_MM.T, atol=1e-6, equal_nan=True))


def most_sources(grid: Grid) -> int:
    """Returns how many sources of each target are given with their intervals."""
    most = grid.size - 1
    if grid.size <= _FEW_MODELS:
        return most
    return max(5, min(most, PAIR_CHARS // (_PAIR_DIGITS * max(len(grid.targets), 1))))


def pack_pairs(grid: Grid) -> dict[str, Any]:
    """Returns the first sources of every target: target after target, each best first."""
    most = most_sources(grid)
    ranked = [grid.ranked(int(target))[:most] for target in grid.targets]
    counts = [len(one) for one in ranked]
    target = np.repeat(grid.targets, counts)
    source = np.concatenate(ranked) if ranked else np.zeros(0, np.intp)
    low, high = grid.interval
    return {
        "count": whole_column(counts),
        "source": whole_column(source),
        "similarity": real_column(grid.similarity_MM[target, source], 3),
        "low": real_column(low[target, source], 2),
        "high": real_column(high[target, source], 2),
        "rank_low": whole_column(grid.sure["rank_low"][target, source]),
        "rank_high": whole_column(grid.sure["rank_high"][target, source]),
        "p_first": real_column(grid.sure["p_first"][target, source], 2),
        "cut": whole_column(grid.cut_MM[target, source] - grid.layers.start_M[source]),
        "cut_p_first": real_column(grid.cut_p_first_MM[target, source], 2),
        "standing": whole_column(grid.standing_MM[target, source]),
        "null": real_column(grid.null_MM[target, source], 2),
        "curves": _pack_curves(grid, target, source, counts),
    }


def _pack_curves(
    grid: Grid, target: NDArray[np.intp], source: NDArray[np.intp], counts: list[int]
) -> dict[str, Any]:
    """Returns the layer curves of as many sources of each target as fit, the best first."""
    place = np.concatenate([np.arange(one) for one in counts]) if counts else np.zeros(0, np.intp)
    num_layers = grid.layers.count_M[source]
    with_intervals = np.isfinite(grid.sure["p_first"]).any()
    digits = 6 if with_intervals else 2
    most = 0
    for most in range(max(counts, default=0), 0, -1):
        if digits * int(num_layers[place < most].sum()) <= CURVE_CHARS or most == 1:
            break
    kept = place < most
    curves = grid.curves(target[kept].astype(np.int32), source[kept].astype(np.int32))
    return {"most": most, **{name: real_column(one, 2) for name, one in curves.items()}}


def pack_layers(grid: Grid) -> dict[str, Any]:
    """Returns the layers of every model by depth: their names, each once, and how deep they are."""
    layers = grid.layers
    names = sorted(set(layers.names_G))
    place = {name: code for code, name in enumerate(names)}
    return {
        "count": whole_column(layers.count_M),
        "names": names,
        "name": whole_column([place[name] for name in layers.names_G]),
        "depth": real_column(layers.depth_fraction_G, 2),
    }


def payload(grid: Grid, order: list[int]) -> dict[str, Any]:
    """Returns all that the page needs to rank, as JSON.

    Args:
        grid: the scan.
        order: models with neighbours next to each other.
    """
    matrices = pack_matrices(grid.scores, grid.parts)
    meanings = {name: one.meaning for name, one in SCORES.items()}
    meanings |= {term.column: term.meaning for term in TERMS.values()}
    meanings["similarity"] = f"{describe_terms(grid.scan.terms)}, unitless"
    return {
        "terms": {TERMS[name].column: weight for name, weight in grid.scan.terms.items()},
        "models": list(grid.models),
        "targets": whole_column(grid.targets),
        "order": whole_column(order),
        "scores": dict(matrices.columns),
        "meanings": meanings,
        "left_out": list(matrices.left_out),
        "layers": pack_layers(grid),
        "pairs": pack_pairs(grid),
    }
