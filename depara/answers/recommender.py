"""Recommendations from the tables of a scan, each of which is read once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from depara.answers.recommendation import Candidate, Costs, Recommendation, standings
from depara.errors import ConfigError
from depara.evaluation.record import TABLE_FILE
from depara.evaluation.schema import EVALUATION_SCHEMA, HYBRID
from depara.results import ScanResults
from depara.similarity.general import generally_best
from depara.store.artifacts import decode_table
from depara.store.layout import evaluation_folder
from depara.store.storage import Storage

SAFE = 0.9
"""Share of resamples in which a first choice must be first for no warning."""
_FEW_PROBES = 100
_UNSTABLE = 0.8


@dataclass(frozen=True)
class Recommender:
    """Says what to start from, for any target of one scan.

    Args:
        scan: an open scan.
    """

    scan: ScanResults

    def all(self) -> Iterator[Recommendation]:
        """Yields the recommendation of every target, in the order of the scan file."""
        for target in self.scan.models():
            if target in self._rows:
                yield self.of(target)

    def of(self, target: str) -> Recommendation:
        """Returns the recommendation for one target.

        Raises:
            ConfigError: the target is no model of this scan that worked, or has no sources.
            StoreError: a table is missing or damaged.
        """
        self.scan.require_model(target, "target")
        if target not in self._rows:
            raise ConfigError(
                f"scan {self.scan.scan_id} ranks no source for {target!r}: it has no other model "
                "that worked; add models to the scan file and run it again"
            )
        rows = self._ranking.iloc[self._rows[target]]
        ranks = self._of_target(self._ranks, target)
        intervals = self._of_target(self._intervals, target)
        cuts = self._of_target(self._cuts, target)
        cut_ranks = self._of_target(self._cut_ranks, target)
        sources = rows["source_model"].tolist()
        sure = [ranks.get((source,), {}) for source in sources]
        standing = standings(
            rows["rank"].tolist(),
            [one.get("p_first") for one in sure],
            [one.get("rank_low") for one in sure],
        )
        candidates = []
        for row, stands, one in zip(rows.itertuples(index=False), standing, sure, strict=True):
            source = str(row.source_model)
            cut = str(cuts.get((source,), {}).get("layer", row.source_layer))
            ends = intervals.get((source, row.source_layer), {})
            candidates.append(
                Candidate(
                    model=source,
                    cut=cut,
                    rank=int(row.rank),
                    similarity=float(row.similarity),
                    standing=stands,
                    low=ends.get("low"),
                    high=ends.get("high"),
                    rank_low=one.get("rank_low"),
                    rank_high=one.get("rank_high"),
                    p_first=one.get("p_first"),
                    cut_p_first=cut_ranks.get((source, cut), {}).get("p_first"),
                    costs=self._costs(source, cut),
                )
            )
        null = rows["null_similarity"].iloc[0]
        return Recommendation(
            target=target,
            target_layer=str(rows["target_layer"].iloc[0]),
            candidates=tuple(candidates),
            general=self._general[target],
            null_similarity=None if pd.isna(null) else float(null),
            warnings=tuple(self._warnings(target, candidates, null)),
            regret=self._regret,
        )

    @cached_property
    def _ranking(self) -> pd.DataFrame:
        return self.scan.table("model_ranking")

    @cached_property
    def _rows(self) -> dict[str, Any]:
        return _places(self._ranking)

    @cached_property
    def _cuts(self) -> _Indexed:
        table = self.scan.arrow_table("layer_ranking")
        best = table.filter(pc.equal(table["rank"], 1))
        return _Indexed.of(best, ["source_model"], ["layer"])

    @cached_property
    def _ranks(self) -> _Indexed:
        return self._rank_intervals("model", ["source_model"])

    @cached_property
    def _cut_ranks(self) -> _Indexed:
        return self._rank_intervals("layer", ["source_model", "source_layer"])

    def _rank_intervals(self, ranking: str, keys: list[str]) -> _Indexed:
        table = self.scan.arrow_table("rank_uncertainty")
        kept = table.filter(pc.equal(table["ranking"], ranking))
        return _Indexed.of(kept, keys, ["rank_low", "rank_high", "p_first"])

    @cached_property
    def _intervals(self) -> _Indexed:
        table = self.scan.arrow_table("uncertainty")
        outputs = pa.array(self._ranking["source_layer"].unique())
        kept = table.filter(
            pc.and_(
                pc.equal(table["score"], "similarity"),
                pc.is_in(table["source_layer"], value_set=outputs),
            )
        )
        return _Indexed.of(kept, ["source_model", "source_layer"], ["low", "high"])

    def _of_target(self, table: _Indexed, target: str) -> Mapping[tuple[str, ...], dict[str, Any]]:
        return table.rows(target)

    @cached_property
    def _models(self) -> pd.DataFrame:
        return self.scan.table("models").set_index("model_id")

    @cached_property
    def _gflop(self) -> dict[tuple[str, str], float]:
        layers = self.scan.table("layers")
        names = zip(layers["model_id"], layers["layer"], strict=True)
        return dict(zip(names, layers["gflop"], strict=True))

    @cached_property
    def _noisy(self) -> set[tuple[str, str]]:
        notes = self.scan.table("notes")
        kept = notes[(notes["stage"] == "extract") & (notes["kind"] == "conditioning")]
        return set(zip(kept["model_id"], kept["layer"].fillna(""), strict=True))

    @cached_property
    def _general(self) -> dict[str, str]:
        return generally_best(self._ranking)

    def _costs(self, model: str, cut: str) -> Costs:
        row = self._models.loc[model]
        return Costs(
            num_parameters=_known(row["num_parameters"], int),
            gflop=_known(self._gflop.get((model, cut)), float),
            seconds_per_probe=_known(row["seconds_per_probe"], float),
            bytes_per_probe=_known(row["bytes_per_probe"], int),
            licence=_known(row["licence"], str),
        )

    def _warnings(self, target: str, candidates: list[Candidate], null: object) -> Iterator[str]:
        first = candidates[0]
        if first.p_first is None and len(candidates) > 1:
            yield "how sure this is is not known: the scan has no resamples (uncertainty.resamples)"
        elif first.p_first is not None and first.p_first < SAFE:
            yield (
                f"the first choice is not safe: first in {first.p_first:.0%} of resamples; more "
                "probes (probes.count) would tell, or try those that are as good"
            )
        if isinstance(null, float) and first.similarity <= null:
            yield (
                f"the first choice is no closer than its own random-weights twin ({null:.3f}): no "
                "source of this zoo is related to the target, as far as these probes show"
            )
        layer = str(self._ranking.iloc[self._rows[target]]["target_layer"].iloc[0])
        noisy = [(target, layer), (first.model, self._output_of(first.model))]
        for model, name in noisy:
            if (model, name) in self._noisy:
                yield (
                    f"maps of {model} at {name} are rounding noise: go by edge_similarity "
                    "(see notes)"
                )
        yield from self._scan_warnings

    def _output_of(self, model: str) -> str:
        return self._outputs.get(model, "")

    @cached_property
    def _outputs(self) -> dict[str, str]:
        pairs = self._ranking[["source_model", "source_layer"]].drop_duplicates()
        return dict(zip(pairs["source_model"], pairs["source_layer"], strict=True))

    @cached_property
    def _scan_warnings(self) -> tuple[str, ...]:
        found = []
        num_probes = int(self.scan.manifest.get("num_probes") or 0)
        if 0 < num_probes < _FEW_PROBES:
            found.append(f"{num_probes} probes are few: 200 and more are usual (probes.count)")
        stability = self.scan.table("stability")
        if len(stability) and stability["correlation"].iloc[0] < _UNSTABLE:
            half = stability.iloc[0]
            found.append(
                f"half of the probes give the same ranking to a rank correlation of "
                f"{half['correlation']:.2f} only: take more probes"
            )
        return tuple(found)

    @cached_property
    def _regret(self) -> tuple[tuple[int, float], ...]:
        storage = Storage(self.scan.output)
        path = f"{evaluation_folder(self.scan.scan_id)}/{TABLE_FILE}"
        data = storage.read_or_none(path)
        if data is None:
            return ()
        table = decode_table(data, EVALUATION_SCHEMA, path).to_pandas()
        one_by_similarity = (table["score"] == "similarity") & (table["k"] == 1)
        more_by_hybrid = (table["score"] == HYBRID) & (table["k"] > 1)
        kept = table[
            (one_by_similarity | more_by_hybrid)
            & (table["metric"] == "regret")
            & table["target"].isna()
            & table["source"].isna()
        ]
        return tuple(sorted(zip(kept["k"].astype(int), kept["value"].astype(float), strict=True)))


@dataclass(frozen=True)
class _Indexed:
    """Some columns of a table, found by target and then by keys."""

    frame: pd.DataFrame
    places: Mapping[str, Any]
    keys: list[str]
    values: list[str]

    @classmethod
    def of(cls, table: pa.Table, keys: list[str], values: list[str]) -> _Indexed:
        frame = table.select(["target_model", *keys, *values]).to_pandas()
        return cls(frame, _places(frame), keys, values)

    def rows(self, target: str) -> Mapping[tuple[str, ...], dict[str, Any]]:
        """Returns the values of a target's rows, by their keys."""
        if target not in self.places:
            return {}
        part = self.frame.iloc[self.places[target]]
        keys = zip(*(part[name] for name in self.keys), strict=True)
        return dict(zip(keys, part[self.values].to_dict("records"), strict=True))


def _places(frame: pd.DataFrame) -> dict[str, Any]:
    """Returns the rows of each target."""
    codes, names = pd.factorize(frame["target_model"])
    order = np.argsort(codes, kind="stable")
    parts = np.split(order, np.cumsum(np.bincount(codes, minlength=len(names)))[:-1])
    return dict(zip(names, parts, strict=True)) if len(names) else {}


def _known(value: Any, kind: type[Any]) -> Any:
    return None if value is None or pd.isna(value) else kind(value)


def recommend(scan: ScanResults, target: str) -> Recommendation:
    """Returns what to start from for a target of a scan; see `Recommender.of`."""
    return Recommender(scan).of(target)
