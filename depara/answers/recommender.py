"""Recommendations from the tables of a scan, each of which is read once."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from depara.answers.recommendation import Candidate, Costs, Recommendation
from depara.answers.standings import standings
from depara.errors import ConfigError
from depara.evaluation.record import TABLE_FILE
from depara.evaluation.schema import EVALUATION_SCHEMA, HYBRID
from depara.results import ScanResults
from depara.similarity.general import generally_best
from depara.store.artifacts import decode_table, plain_texts
from depara.store.layout import evaluation_folder
from depara.store.storage import Storage

SAFE = 0.9
"""Share of resamples in which a first choice must be first for no warning."""
_FEW_PROBES = 100
UNSTABLE = 0.8
"""Rank correlation of the ranking by half of the probes below which it is warned of."""


@dataclass(frozen=True)
class Recommender:
    """Says what to start from, for any target of one scan.

    Args:
        scan: an open scan.
        targets: of them alone rows are read, where tables are in parts; None is all.
    """

    scan: ScanResults
    targets: Collection[str] | None = None

    def all(self) -> Iterator[Recommendation]:
        """Yields the recommendation of every target, in the order of the scan file."""
        for target in self.scan.models():
            if target in self._places:
                yield self.of(target)

    def of(self, target: str) -> Recommendation:
        """Returns the recommendation for one target.

        Raises:
            ConfigError: the target is no model of this scan that worked, or has no sources.
            StoreError: a table is missing or damaged.
        """
        self.scan.require_model(target, "target")
        if target not in self._places:
            raise ConfigError(
                f"scan {self.scan.scan_id} ranks no source for {target!r}: it has no other model "
                "that worked; add models to the scan file and run it again"
            )
        rows = self.table.iloc[self._places[target]].to_dict("records")
        candidates = tuple(self._candidate(row) for row in rows)
        null = _known(rows[0]["null_similarity"], float)
        return Recommendation(
            target=target,
            target_layer=str(rows[0]["target_layer"]),
            candidates=candidates,
            general=self._general[target],
            null_similarity=null,
            warnings=tuple(self._warnings(rows[0], len(rows))),
            regret=self._regret,
        )

    @cached_property
    def table(self) -> pd.DataFrame:
        """All sources of the targets: the ``model_ranking`` and what is known of each row.

        Beside its columns ``low, high`` (of the similarity), ``rank_low, rank_high, p_first``,
        ``cut`` (the source's best layer), ``cut_p_first`` and ``standing``.
        """
        pair = ["target_model", "source_model"]
        sure = self._frame("rank_uncertainty")
        sure = sure[[*pair, "source_layer", "ranking", "rank_low", "rank_high", "p_first"]]
        layers = sure[sure["ranking"] == "layer"].rename(columns={"p_first": "cut_p_first"})
        intervals = self._rows("uncertainty")
        intervals = intervals.filter(pc.equal(intervals["score"], "similarity")).to_pandas()
        best = self._rows("layer_ranking")
        best = best.filter(pc.equal(best["rank"], 1)).select([*pair, "layer"]).to_pandas()
        table = (
            self._frame("model_ranking")
            .merge(
                sure[sure["ranking"] == "model"].drop(columns=["ranking", "source_layer"]),
                on=pair,
                how="left",
            )
            .merge(
                intervals[[*pair, "target_layer", "source_layer", "low", "high"]],
                on=[*pair, "target_layer", "source_layer"],
                how="left",
            )
            .merge(best.rename(columns={"layer": "cut"}), on=pair, how="left")
        )
        table["cut"] = table["cut"].fillna(table["source_layer"])
        table = table.merge(
            layers[[*pair, "source_layer", "cut_p_first"]].rename(columns={"source_layer": "cut"}),
            on=[*pair, "cut"],
            how="left",
        )
        return table.assign(standing=standings(table))

    def _rows(self, name: str) -> pa.Table:
        return self.scan.arrow_table(name, self.targets)

    def _frame(self, name: str) -> pd.DataFrame:
        frame = self._rows(name).to_pandas()
        assert isinstance(frame, pd.DataFrame)
        return frame

    def _candidate(self, row: Mapping[Any, Any]) -> Candidate:
        return Candidate(
            model=row["source_model"],
            cut=row["cut"],
            rank=row["rank"],
            similarity=row["similarity"],
            standing=row["standing"],
            low=_known(row["low"], float),
            high=_known(row["high"], float),
            rank_low=_known(row["rank_low"], int),
            rank_high=_known(row["rank_high"], int),
            p_first=_known(row["p_first"], float),
            cut_p_first=_known(row["cut_p_first"], float),
            costs=self._costs(row["source_model"], row["cut"]),
        )

    @cached_property
    def _places(self) -> Mapping[str, Any]:
        """The rows of each target."""
        codes, names = pd.factorize(self.table["target_model"])
        order = np.argsort(codes, kind="stable")
        ends = np.cumsum(np.bincount(codes, minlength=len(names)))[:-1]
        return dict(zip(names, np.split(order, ends), strict=True)) if len(names) else {}

    @cached_property
    def _models(self) -> Mapping[Any, Mapping[Any, Any]]:
        return self.scan.table("models").set_index("model_id").to_dict("index")

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
        """Of all targets, whichever are asked for: it depends on the others."""
        if self.targets is None:
            return generally_best(self.table)
        columns = ["target_model", "source_model", "similarity"]
        parts = self.scan.arrow_parts("model_ranking", columns)
        return generally_best(pa.concat_tables(map(plain_texts, parts)).to_pandas())

    def _costs(self, model: str, cut: str) -> Costs:
        row = self._models[model]
        return Costs(
            num_parameters=_known(row["num_parameters"], int),
            gflop=_known(self._gflop.get((model, cut)), float),
            seconds_per_probe=_known(row["seconds_per_probe"], float),
            bytes_per_probe=_known(row["bytes_per_probe"], int),
            licence=_known(row["licence"], str),
        )

    def _warnings(self, first: Mapping[Any, Any], num_candidates: int) -> Iterator[str]:
        p_first, null = _known(first["p_first"], float), _known(first["null_similarity"], float)
        if p_first is None and num_candidates > 1:
            yield "how sure this is is not known: the scan has no resamples (uncertainty.resamples)"
        elif p_first is not None and p_first < SAFE:
            yield (
                f"the first choice is not safe: first in {p_first:.0%} of resamples; more "
                "probes (probes.count) would tell, or try those that are as good"
            )
        if null is not None and first["similarity"] <= null:
            yield (
                f"the first choice is no closer than its own random-weights twin ({null:.3f}): no "
                "source of this zoo is related to the target, as far as these probes show"
            )
        for side in ("target", "source"):
            model, layer = first[f"{side}_model"], first[f"{side}_layer"]
            if (model, layer) in self._noisy:
                yield (
                    f"maps of {model} at {layer} are rounding noise: go by edge_similarity "
                    "(see notes)"
                )
        yield from self.scan_warnings

    @cached_property
    def scan_warnings(self) -> tuple[str, ...]:
        """What is to be distrusted whatever the target, in plain words."""
        found = []
        num_probes = int(self.scan.manifest.get("num_probes") or 0)
        if 0 < num_probes < _FEW_PROBES:
            found.append(f"{num_probes} probes are few: 200 and more are usual (probes.count)")
        nearest = self.scan.manifest.get("nearest")
        if nearest:
            found.append(
                f"each target is compared with its {nearest['models']} nearest models alone "
                "(similarity.pairs: nearest), and means and popularity are of these; "
                f"{nearest['expected_missed']:.2g} of its true nearest are expected to be missed"
            )
        stability = self.scan.table("stability")
        if len(stability) and stability["correlation"].iloc[0] < UNSTABLE:
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


def _known(value: Any, kind: type[Any]) -> Any:
    return None if value is None or pd.isna(value) else kind(value)


def recommend(scan: ScanResults, target: str) -> Recommendation:
    """Returns what to start from for a target of a scan; see `Recommender.of`."""
    return Recommender(scan, {target}).of(target)
