"""What a tile task returns, and what of it a part of the tables takes.

``A`` sources, ``B`` targets of a tile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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


def slice_tile(
    targets: Sequence[int], tile: TileResult | TaskFailure
) -> tuple[TileResult, ...] | TaskFailure:
    """Returns what a tile holds of some targets, which is all that the task of a part takes.

    Pairs with exchanged roles become a result of their own.
    """
    if isinstance(tile, TaskFailure):
        return tile
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
