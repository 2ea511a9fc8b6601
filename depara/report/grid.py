"""A scan's model ranking with all that belongs to it, as dense arrays of target by source.

Each table is read once, as Arrow, and put in place by integer codes: a zoo of 1,000 models has
millions of rows. Legend: ``M`` models, ``G`` graphs (all layers of all models); first axis targets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from depara.answers.standings import standings
from depara.catalog import SCORES, TERMS
from depara.results import ScanResults
from depara.similarity.general import means_of_others
from depara.types import Float32, Float64

Int32 = NDArray[np.int32]
COLUMNS = tuple(term.column for term in TERMS.values())
STANDINGS = ("first", "as good", "behind", "out")


@dataclass(frozen=True)
class Layers:
    """The graphs of a scan, by model in its order and then by depth.

    ``start_M`` to ``start_M + count_M`` are the graphs of a model, ``names_G`` their layers,
    ``depth_fraction_G`` from 0 to 1.
    """

    start_M: Int32
    count_M: Int32
    names_G: tuple[str, ...]
    depth_fraction_G: Float64
    output_M: Int32


class Grid:
    """One scan as arrays.

    Args:
        scan: an open scan; its tables are read when they are first needed.
    """

    def __init__(self, scan: ScanResults) -> None:
        self.scan = scan
        columns = ["target_model", "source_model", "rank", "similarity", "null_similarity"]
        ranking = scan.arrow_columns("model_ranking", columns)
        ranked = set(pc.unique(ranking["target_model"]).to_pylist())
        ranked |= set(pc.unique(ranking["source_model"]).to_pylist())
        self.models: tuple[str, ...] = tuple(name for name in scan.models() if name in ranked)
        self._names = pa.array(self.models, pa.string())
        self._place(ranking)

    @property
    def size(self) -> int:
        """Number of models, M."""
        return len(self.models)

    def _place(self, ranking: pa.Table) -> None:
        target, source = (self._codes(ranking[f"{one}_model"]) for one in ("target", "source"))
        self._pairs = target, source
        self.rank_MM = self._filled(target, source, ranking["rank"])
        self.similarity_MM: Float64 = np.full((self.size, self.size), np.nan)
        self.similarity_MM[target, source] = ranking["similarity"].to_numpy()
        self.null_MM = self._filled(target, source, ranking["null_similarity"])

    def _codes(self, column: pa.ChunkedArray, names: pa.Array | None = None) -> Int32:
        """Returns the places of a column's texts in a list, -1 for those that are not in it."""
        known = self._names if names is None else names
        if not pa.types.is_dictionary(column.type):
            column = column.dictionary_encode()
        found: list[Int32] = [np.zeros(0, np.int32)]
        for chunk in column.chunks:
            codes = pc.fill_null(pc.index_in(chunk.dictionary, value_set=known), -1)
            table = np.append(codes.to_numpy(zero_copy_only=False), -1).astype(np.int32)
            found.append(table[pc.fill_null(chunk.indices, -1).to_numpy(zero_copy_only=False)])
        return np.concatenate(found)

    def _filled(self, target: Int32, source: Int32, column: pa.ChunkedArray) -> Float32:
        values_MM = np.full((self.size, self.size), np.nan, np.float32)
        values_MM[target, source] = column.to_numpy().astype(np.float32)
        return values_MM

    @cached_property
    def layers(self) -> Layers:
        """The graphs of the scan's models."""
        table = self.scan.table("layers")
        place = {name: code for code, name in enumerate(self.models)}
        table = table.assign(code=table["model_id"].map(place)).dropna(subset=["code"])
        table = table.sort_values(["code", "depth"]).reset_index(drop=True)
        codes = table["code"].to_numpy().astype(np.int64)
        count = np.bincount(codes, minlength=self.size).astype(np.int32)
        start = np.concatenate([[0], np.cumsum(count)[:-1]]).astype(np.int32)
        output = np.full(self.size, -1, np.int32)
        is_output = table["is_output"].to_numpy(dtype=bool)
        output[codes[is_output]] = np.flatnonzero(is_output)
        names = tuple(str(name) for name in table["layer"])
        return Layers(start, count, names, table["depth_fraction"].to_numpy(np.float64), output)

    def graph_codes(self, models: Int32, layers: pa.ChunkedArray) -> Int32:
        """Returns the graph of each (model code, layer name), -1 where the scan has none."""
        table = self.layers
        unique = sorted(set(table.names_G))
        place = {name: code for code, name in enumerate(unique)}
        lookup = np.full((self.size + 1, len(unique) + 1), -1, np.int32)  # -1: the last ones
        model_G = np.repeat(np.arange(self.size), table.count_M)
        lookup[model_G, [place[name] for name in table.names_G]] = np.arange(len(table.names_G))
        return lookup[models, self._codes(layers, pa.array(unique, pa.string()))]

    @property
    def parts(self) -> tuple[str, ...]:
        """The columns that ``similarity`` is made of at any weight of the edges."""
        weights = {**self.scan.terms, "edge": 1.0}
        return tuple(TERMS[name].column for name in TERMS if weights.get(name))

    @cached_property
    def scores(self) -> dict[str, Float32]:
        """Each score between the output graphs, ``M M``, NaN on the diagonal; DEPARA's terms first.

        Those that the scan did not compute are left out.
        """
        names = list(dict.fromkeys((*COLUMNS, *SCORES)))
        keys = ["target_model", "target_layer", "source_model", "source_layer"]
        output_M = np.append(self.layers.output_M, -2)
        shape = (self.size, self.size)
        filled: dict[str, Float32] = {name: np.full(shape, np.nan, np.float32) for name in names}
        for table in self.scan.arrow_parts("similarity", [*keys, *names]):
            target, source = (self._codes(table[f"{one}_model"]) for one in ("target", "source"))
            kept = (target >= 0) & (source >= 0) & (target != source)
            for codes, side in ((target, "target"), (source, "source")):
                kept &= self.graph_codes(codes, table[f"{side}_layer"]) == output_M[codes]
            rows, place = table.filter(pa.array(kept)), (target[kept], source[kept])
            for name, values_MM in filled.items():
                values_MM[place] = rows[name].to_numpy().astype(np.float32)
        return {name: one for name, one in filled.items() if np.isfinite(one).any()}

    @cached_property
    def sure(self) -> dict[str, Float32]:
        """What resampling says of the model ranking: ``rank_low``, ``rank_high``, ``p_first``."""
        table = self._sure_table.filter(pc.equal(self._sure_table["ranking"], "model"))
        target, source = (self._codes(table[f"{one}_model"]) for one in ("target", "source"))
        kept = (target >= 0) & (source >= 0)
        table = table.filter(pa.array(kept))
        return {
            name: self._filled(target[kept], source[kept], table[name])
            for name in ("rank_low", "rank_high", "p_first")
        }

    @cached_property
    def _sure_table(self) -> pa.Table:
        keys = ["ranking", "target_model", "source_model", "source_layer"]
        return self.scan.arrow_columns(
            "rank_uncertainty", [*keys, "rank_low", "rank_high", "p_first"]
        )

    @cached_property
    def standing_MM(self) -> NDArray[np.int8]:
        """How each source stands, a place in `STANDINGS`; -1 where there is no pair."""
        target, source = self._pairs
        table = pd.DataFrame(
            {
                "target_model": target,
                "rank": self.rank_MM[target, source].astype(np.int32),
                "p_first": self.sure["p_first"][target, source],
                "rank_low": self.sure["rank_low"][target, source],
            }
        )
        codes = pd.Categorical(standings(table), categories=list(STANDINGS)).codes
        found = np.full((self.size, self.size), -1, np.int8)
        found[target, source] = codes
        return found

    @cached_property
    def interval(self) -> tuple[Float32, Float32]:
        """Low and high ends of the similarity between output graphs, ``M M`` each."""
        target, source, graph, low, high = self._intervals_of("similarity")
        output = graph == self.layers.output_M[source]
        ends = []
        for values in (low, high):
            values_MM = np.full((self.size, self.size), np.nan, np.float32)
            values_MM[target[output], source[output]] = values[output]
            ends.append(values_MM)
        return ends[0], ends[1]

    def _intervals_of(self, score: str) -> tuple[Int32, Int32, Int32, Float32, Float32]:
        """Target, source and source graph of every interval of a score, low and high."""
        columns = ["target_model", "source_model", "source_layer", "score", "low", "high"]
        table = self.scan.arrow_columns("uncertainty", columns)
        table = table.filter(pc.equal(table["score"], score))
        target, source = (self._codes(table[f"{one}_model"]) for one in ("target", "source"))
        graph = self.graph_codes(source, table["source_layer"])
        kept = (target >= 0) & (source >= 0) & (graph >= 0)
        low, high = (table[end].to_numpy().astype(np.float32)[kept] for end in ("low", "high"))
        return target[kept], source[kept], graph[kept], low, high

    @cached_property
    def _curves(self) -> tuple[Int32, Int32, Int32, Float32, Int32]:
        """Target, source, source graph, similarity and rank of every row of the layer ranking."""
        columns = ["target_model", "source_model", "layer", "rank", "similarity"]
        table = self.scan.arrow_columns("layer_ranking", columns)
        target, source = (self._codes(table[f"{one}_model"]) for one in ("target", "source"))
        graph = self.graph_codes(source, table["layer"])
        kept = (target >= 0) & (source >= 0) & (graph >= 0)
        similarity = table["similarity"].to_numpy().astype(np.float32)[kept]
        rank: Int32 = table["rank"].to_numpy().astype(np.int32)[kept]
        return target[kept], source[kept], graph[kept], similarity, rank

    @cached_property
    def cut_MM(self) -> Int32:
        """The best cut of each source for each target, as a graph; -1 where there is no pair."""
        target, source = self._pairs
        found = np.full((self.size, self.size), -1, np.int32)
        found[target, source] = self.layers.output_M[source]
        target, source, graph, _, rank = self._curves
        first = rank == 1
        found[target[first], source[first]] = graph[first]
        return found

    @cached_property
    def cut_p_first_MM(self) -> Float32:
        """The share of resamples in which that cut is first among its model's, ``M M``."""
        table = self._sure_table.filter(pc.equal(self._sure_table["ranking"], "layer"))
        target, source = (self._codes(table[f"{one}_model"]) for one in ("target", "source"))
        graph = self.graph_codes(source, table["source_layer"])
        kept = (target >= 0) & (source >= 0)
        kept &= self.cut_MM[target, source] == graph
        found = np.full((self.size, self.size), np.nan, np.float32)
        found[target[kept], source[kept]] = table["p_first"].to_numpy()[kept]
        return found

    def curves(self, targets: Int32, sources: Int32) -> dict[str, Float32]:
        """Returns what ranks every layer of some (target, source), and its interval.

        One after another: ``value``, ``low`` and ``high`` of the layers of each pair by depth.
        """
        layers = self.layers
        count = layers.count_M[sources]
        start = np.concatenate([[0], np.cumsum(count)]).astype(np.int64)
        place_MM = np.full((self.size, self.size), -1, np.int64)
        place_MM[targets, sources] = start[:-1]

        def filled(target: Int32, source: Int32, graph: Int32, values: Float32) -> Float32:
            found: Float32 = np.full(int(start[-1]), np.nan, np.float32)
            base = place_MM[target, source]
            kept = base >= 0
            depth = graph[kept] - layers.start_M[source[kept]]
            found[base[kept] + depth] = values[kept]
            return found

        target, source, graph, similarity, _ = self._curves
        of = self._intervals_of(self.scan.layer_score)
        return {
            "value": filled(target, source, graph, similarity),
            "low": filled(*of[:3], of[3]),
            "high": filled(*of[:3], of[4]),
        }

    def ranked(self, target: int) -> NDArray[np.intp]:
        """Returns the sources of a target, best first."""
        ranks = self.rank_MM[target]
        order = np.argsort(np.where(np.isnan(ranks), np.inf, ranks), kind="stable")
        return order[: int(np.isfinite(ranks).sum())]

    def means(self, axis: int) -> Float64:
        """Returns the mean similarity of each model, as a source (0) or a target (1); NaN: none."""
        values_MM = self.similarity_MM
        is_known = np.isfinite(values_MM)
        count = is_known.sum(axis=axis)
        total = np.where(is_known, values_MM, 0).sum(axis=axis)
        means: Float64 = np.where(count > 0, total / np.maximum(count, 1), np.nan)
        return means

    @cached_property
    def targets(self) -> NDArray[np.intp]:
        """The models that have sources."""
        return np.flatnonzero(np.isfinite(self.rank_MM).any(axis=1))


def first_of(values_MM: Float32 | Float64, names: Sequence[str]) -> Int32:
    """Returns the source of the highest value for each target, ties by name; -1 without any."""
    order = np.argsort(np.array(names, dtype=object), kind="stable")
    by_name = np.where(np.isnan(values_MM), -np.inf, values_MM)[:, order]
    best: Int32 = order[np.argmax(by_name, axis=1)].astype(np.int32)
    best[~np.isfinite(values_MM).any(axis=1)] = -1
    return best


def popular(values_MM: Float64, names: Sequence[str]) -> Int32:
    """Returns the generally best source for each target, as `depara.similarity.general` has it."""
    return first_of(means_of_others(values_MM), names)
