"""What a tile task returns, and what of it a part of the tables takes.

``A`` sources, ``B`` targets of a tile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cluster.compare.chosen import ChosenModels
from cluster.pool.tasks import TaskFailure
from depara.types import Float32, Float64


@dataclass(frozen=True)
class TileResult:
    """All scores of one tile by column name: ``(A, B)`` each, float64, their z float32.

    ``rows`` and ``columns`` are the tile's places in the matrix. ``mirrored`` is None where the
    pairs with exchanged roles are not wanted, else it holds those scores that are not symmetric,
    ``(B, A)``; the others are transposed.
    """

    rows: tuple[int, ...]
    columns: tuple[int, ...]
    scores: dict[str, Float64 | Float32]
    mirrored: dict[str, Float64 | Float32] | None


@dataclass(frozen=True, eq=False)
class PairsResult:
    """All scores of some ``R`` pairs of one tile, by column name; places as `TileResult` has them.

    What a tile of chosen pairs holds beside them stays in its task.
    """

    source_R: NDArray[np.int64]
    target_R: NDArray[np.int64]
    scores: dict[str, Float64 | Float32]

    def of(self, rows: NDArray[np.bool_]) -> PairsResult:
        """Returns the same of some of the pairs."""
        scores = {name: score_R[rows] for name, score_R in self.scores.items()}
        return PairsResult(self.source_R[rows], self.target_R[rows], scores)


def pairs_of_tile(tile: TileResult, chosen: ChosenModels) -> PairsResult:
    """Returns the scores of the chosen pairs of a tile."""
    source_R, column_R = chosen.pairs_of(tile.columns)
    rows = np.array(tile.rows)
    row_R = np.searchsorted(rows, source_R)
    row_R[row_R == len(rows)] = 0
    is_here_R = rows[row_R] == source_R
    row_R, column_R = row_R[is_here_R], column_R[is_here_R]
    scores = {name: score_AB[row_R, column_R] for name, score_AB in tile.scores.items()}
    return PairsResult(source_R[is_here_R], np.array(tile.columns)[column_R], scores)


def slice_tile(
    targets: Sequence[int], tile: TileResult | PairsResult | TaskFailure
) -> tuple[TileResult, ...] | tuple[PairsResult, ...] | TaskFailure:
    """Returns what a tile holds of some targets, which is all that the task of a part takes.

    Pairs with exchanged roles become a result of their own.
    """
    if isinstance(tile, TaskFailure):
        return tile
    if isinstance(tile, PairsResult):
        return (tile.of(np.isin(tile.target_R, targets)),)
    wanted = set(targets)
    found = []
    columns = [place for place, target in enumerate(tile.columns) if target in wanted]
    if columns:
        scores = {name: score_AB[:, columns] for name, score_AB in tile.scores.items()}
        found.append(TileResult(tile.rows, _some(tile.columns, columns), scores, None))
    rows = [place for place, target in enumerate(tile.rows) if target in wanted]
    if rows and tile.mirrored is not None:
        scores = {
            name: tile.mirrored.get(name, score_AB.T)[:, rows]
            for name, score_AB in tile.scores.items()
        }
        found.append(TileResult(tile.columns, _some(tile.rows, rows), scores, None))
    return tuple(found)


def _some(values: Sequence[int], places: Sequence[int]) -> tuple[int, ...]:
    return tuple(values[place] for place in places)
