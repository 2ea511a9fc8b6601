"""Uncertainty as tidy tables, one row per fact, from the blocks that were computed.

``A`` source graphs, ``B`` target graphs, ``T`` rows of a table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from depara.store.schemas import TABLES
from depara.uncertainty.block import BlockUncertainty
from depara.uncertainty.candidates import RANKINGS, GraphLabel, Ranking
from depara.uncertainty.intervals import RankIntervals
from depara.uncertainty.stability import Stability, summarize_stability

Columns = dict[str, NDArray[Any]]


def uncertainty_tables(blocks: Sequence[BlockUncertainty]) -> dict[str, pa.Table]:
    """Returns the tables of uncertainty, by name, from the blocks of a scan, in any order.

    The first two join to the scan's rankings on the models and layers: ``source_layer`` is
    ``layer`` in ``layer_ranking``.

    Pairs of graphs of one model are left out, as in the rankings. A pair that is in two blocks, as
    output graphs are in the plan, is taken from the one that ranks layers.

    Raises:
        ValueError: blocks differ in probes or in subsets.
    """
    # False sorts first; labels then make the order of the blocks irrelevant.
    ordered = sorted(blocks, key=lambda block: (block.layer_ranks is None, _names(block)))
    return {
        "uncertainty": _score_table(ordered),
        "rank_uncertainty": _rank_table(ordered),
        "stability": stability_table([one.model.stability for one in ordered if one.model]),
    }


class _Graphs:
    """Codes of the graphs of all blocks, in order of model and layer."""

    def __init__(self, blocks: Sequence[BlockUncertainty]) -> None:
        labels = {_key(label) for block in blocks for label in (*block.sources, *block.targets)}
        self.keys = sorted(labels)
        self._codes = {key: code for code, key in enumerate(self.keys)}
        models = sorted({model for model, _ in self.keys})
        places = {model: place for place, model in enumerate(models)}
        self._model_codes = np.array([places[model] for model, _ in self.keys], dtype=np.int64)

    def codes(self, labels: Sequence[GraphLabel]) -> NDArray[np.int64]:
        """Returns each label's code."""
        return np.array([self._codes[_key(label)] for label in labels], dtype=np.int64)

    def models(self, codes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Returns codes of the graphs' models, in order of their names."""
        return self._model_codes[codes]

    def texts(self, codes: NDArray[np.int64]) -> tuple[pa.Array, pa.Array]:
        """Returns the graphs' models and layers as string columns."""
        index = pa.array(codes)
        models, layers = ([key[part] for key in self.keys] for part in (0, 1))
        return (
            pa.array(models, type=pa.string()).take(index),
            pa.array(layers, type=pa.string()).take(index),
        )


def _score_table(blocks: Sequence[BlockUncertainty]) -> pa.Table:
    graphs = _Graphs(blocks)
    names = sorted(blocks[0].scores) if blocks else []
    parts: list[Columns] = []
    for block in blocks:
        sources_A, targets_B = graphs.codes(block.sources), graphs.codes(block.targets)
        is_pair_AB = graphs.models(sources_A)[:, None] != graphs.models(targets_B)[None, :]
        if block.wanted_AB is not None:
            is_pair_AB &= block.wanted_AB
        rows, columns = np.nonzero(is_pair_AB)
        scores = [block.scores[name] for name in names]
        parts.append(
            {
                "target": targets_B[columns],
                "source": sources_A[rows],
                "num_resamples": np.full(len(rows), block.num_resamples, dtype=np.int32),
                "value": np.stack([score.value_AB[rows, columns] for score in scores], axis=1),
                "low": np.stack([score.low_AB[rows, columns] for score in scores], axis=1),
                "high": np.stack([score.high_AB[rows, columns] for score in scores], axis=1),
            }
        )
    if not parts:
        return TABLES["uncertainty"].empty_table()
    rows_T = _joined(parts)
    # np.unique keeps the first of each pair, and sorts by target, then by source.
    pair = rows_T["target"] * len(graphs.keys) + rows_T["source"]
    kept = np.unique(pair, return_index=True)[1]
    target_model, target_layer = graphs.texts(np.repeat(rows_T["target"][kept], len(names)))
    source_model, source_layer = graphs.texts(np.repeat(rows_T["source"][kept], len(names)))
    columns_T = {
        "target_model": target_model,
        "target_layer": target_layer,
        "source_model": source_model,
        "source_layer": source_layer,
        "score": pa.array(names).take(pa.array(np.tile(np.arange(len(names)), len(kept)))),
        "num_resamples": np.repeat(rows_T["num_resamples"][kept], len(names)),
        **{name: rows_T[name][kept].ravel() for name in ("value", "low", "high")},
    }
    return pa.table(columns_T, schema=TABLES["uncertainty"])


def _rank_table(blocks: Sequence[BlockUncertainty]) -> pa.Table:
    graphs = _Graphs(blocks)
    tables = [TABLES["rank_uncertainty"].empty_table()]
    for ranking in sorted(RANKINGS):
        parts = [
            _rank_rows(block, intervals, graphs)
            for block in blocks
            if (intervals := _ranks_of(block, ranking)) is not None
        ]
        if parts:
            tables.append(_one_ranking(_joined(parts), ranking, graphs))
    return pa.concat_tables(tables)


def _ranks_of(block: BlockUncertainty, ranking: Ranking) -> RankIntervals | None:
    if ranking == "layer":
        return block.layer_ranks
    return None if block.model is None else block.model.ranks


def _rank_rows(block: BlockUncertainty, intervals: RankIntervals, graphs: _Graphs) -> Columns:
    """Returns the candidates of one block, in columns."""
    rows, columns = np.nonzero(intervals.rank_AB)
    return {
        "target": graphs.codes(block.targets)[columns],
        "source": graphs.codes(block.sources)[rows],
        "rank": intervals.rank_AB[rows, columns],
        "rank_low": intervals.low_AB[rows, columns],
        "rank_high": intervals.high_AB[rows, columns],
        "p_first": intervals.p_first_AB[rows, columns],
        "num_resamples": np.full(len(rows), block.num_resamples, dtype=np.int32),
    }


def _one_ranking(rows_T: Columns, ranking: Ranking, graphs: _Graphs) -> pa.Table:
    """Returns the rows of one ranking in the order of the table that they join."""
    source_T = graphs.models(rows_T["source"]) * (ranking == "layer")
    order = np.lexsort((rows_T["rank"], source_T, graphs.models(rows_T["target"])))
    rows_T = {name: column[order] for name, column in rows_T.items()}
    source_model, source_layer = graphs.texts(rows_T.pop("source"))
    columns_T = {
        "ranking": pa.repeat(ranking, len(order)),
        "target_model": graphs.texts(rows_T.pop("target"))[0],
        "source_model": source_model,
        "source_layer": source_layer,
        **rows_T,
    }
    return pa.table(columns_T, schema=TABLES["rank_uncertainty"])


def stability_table(stabilities: Sequence[Stability]) -> pa.Table:
    """Returns the table of stability, from what each block that ranks models says of it.

    Raises:
        ValueError: blocks differ in probes or in subsets.
    """
    rows = summarize_stability(list(stabilities))
    return pa.Table.from_pylist([asdict(row) for row in rows], schema=TABLES["stability"])


def _joined(parts: Sequence[Columns]) -> Columns:
    """Returns the parts' rows below each other."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _key(label: GraphLabel) -> tuple[str, str]:
    return label.model_id, label.layer


def _names(block: BlockUncertainty) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    return [_key(label) for label in block.targets], [_key(label) for label in block.sources]
