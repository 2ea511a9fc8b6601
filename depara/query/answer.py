"""What a query answers: sources and cuts for the model, and where it would serve itself."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from depara.answers import Recommendation, recommend
from depara.results import ScanResults
from depara.store.layout import query_folder
from depara.store.storage import Storage

_DESCRIBING = ("models", "layers", "notes")


@dataclass(frozen=True)
class _ScanWithModel(ScanResults):
    """The scan as if it had the queried model: what the answers about a target need."""

    model_id: str = ""
    tables: Mapping[str, pa.Table] = field(default_factory=dict)

    def arrow_table(self, name: str, targets: Collection[str] | None = None) -> pa.Table:
        """Returns a table; of intervals and cuts only the rows that are about the model."""
        table = self._whole_table(name)
        if targets is None:
            return table
        wanted = pa.array(sorted(targets), pa.string())
        return table.filter(pc.is_in(table["target_model"], value_set=wanted))

    def arrow_parts(
        self, name: str, columns: Sequence[str], targets: Collection[str] | None = None
    ) -> Iterator[pa.Table]:
        """Yields the table, whole."""
        yield self.arrow_table(name, targets).select(list(columns))

    def _whole_table(self, name: str) -> pa.Table:
        mine = self.tables.get(name)
        if mine is None:
            return super().arrow_table(name)
        if name == "model_ranking":
            mine = mine.filter(pc.equal(mine["target_model"], self.model_id))
            theirs = super().arrow_table(name)
            for side in ("source_model", "target_model"):
                theirs = theirs.filter(pc.not_equal(theirs[side], self.model_id))
            return pa.concat_tables([theirs, mine])
        if name in _DESCRIBING:
            theirs = super().arrow_table(name)
            theirs = theirs.filter(pc.not_equal(theirs["model_id"], self.model_id))
            return pa.concat_tables([theirs, mine])
        return mine


@dataclass(frozen=True)
class QueryAnswer:
    """The answer of a scan about one model.

    ``scan`` is the scan that was asked, ``manifest`` the record of the query, ``tables`` what it
    found: tables of the same columns as a scan's, with the rows that the model takes part in;
    ``is_reused`` whether it was found in the output.
    """

    scan: ScanResults
    manifest: Mapping[str, Any]
    tables: Mapping[str, pa.Table]
    is_reused: bool

    @property
    def query_id(self) -> str:
        """Name of its folder below ``queries/``."""
        return str(self.manifest["query_id"])

    @property
    def model_id(self) -> str:
        """The model that was asked about."""
        return str(self.manifest["model_id"])

    @property
    def location(self) -> str:
        """Where the answer is kept."""
        return Storage(self.scan.output).location(query_folder(self.query_id))

    @property
    def left_out(self) -> tuple[str, ...]:
        """The graphs of the scan that could not be used, and why."""
        return tuple(self.manifest["left_out"])

    @property
    def short_list_of(self) -> int | None:
        """How many models the scan has beside this one, where some of them alone were compared."""
        found = self.manifest.get("short_list_of")
        return None if found is None else int(found)

    @cached_property
    def recommendation(self) -> Recommendation:
        """What to start from for the model, as for a target of the scan."""
        whole = _ScanWithModel(**vars(self._bare), model_id=self.model_id, tables=self.tables)
        return recommend(whole, self.model_id)

    @property
    def _bare(self) -> ScanResults:
        return ScanResults(self.scan.output, self.scan.scan_id, self.scan.manifest)

    def table(self, name: str) -> pd.DataFrame:
        """Returns one of the query's tables."""
        frame = self.tables[name].to_pandas()
        assert isinstance(frame, pd.DataFrame)
        return frame

    def sources(self) -> pd.DataFrame:
        """Returns the zoo's models as sources for the model, best first, each with its best cut."""
        return self.recommendation.frame()

    def cuts(self, source: str | None = None) -> pd.DataFrame:
        """Returns the layers of the sources for the model, best cut first (DEPARA, Eq. 6).

        Args:
            source: one source only; None for all, in the order of their names.
        """
        frame = self._layers("target_model").drop(columns="target_model")
        return frame if source is None else _rows(frame, "source_model", source)

    def targets(self) -> pd.DataFrame:
        """Returns where the model would serve as a source, the targets it serves best first.

        Columns: ``target_model``, ``rank`` among ``num_sources`` (the scan's and the model),
        ``similarity`` and its parts, ``rank_low, rank_high, p_first`` (null without resamples), and
        ``cut``, its best layer for the target, with ``cut_p_first``.
        """
        frame = _rows(self.table("model_ranking"), "source_model", self.model_id)
        sure = self.table("rank_uncertainty")
        mine = sure[(sure["source_model"] == self.model_id) & (sure["ranking"] == "model")]
        best = self.own_cuts()
        best = best[best["rank"] == 1][["target_model", "layer", "p_first"]]
        frame = frame.merge(
            mine[["target_model", "rank_low", "rank_high", "p_first"]],
            on="target_model",
            how="left",
        ).merge(
            best.rename(columns={"layer": "cut", "p_first": "cut_p_first"}),
            on="target_model",
            how="left",
        )
        frame.insert(2, "num_sources", int(self.manifest["num_sources"]))
        frame = frame.drop(columns=["source_model", "source_layer", "null_similarity"])
        order = ["rank", "similarity", "target_model"]
        frame = frame.sort_values(order, ascending=[True, False, True])
        return frame.astype(dict.fromkeys(("rank_low", "rank_high"), "Int32")).reset_index(
            drop=True
        )

    def own_cuts(self, target: str | None = None) -> pd.DataFrame:
        """Returns the layers of the model for the zoo's targets, best cut first (DEPARA, Eq. 6).

        Args:
            target: one target only; None for all, in the order of their names.
        """
        frame = self._layers("source_model").drop(columns="source_model")
        return frame if target is None else _rows(frame, "target_model", target)

    def record(self, budget: int | None = None) -> dict[str, Any]:
        """Returns everything as JSON-ready values."""
        return {
            "query_id": self.query_id,
            "scan_id": self.scan.scan_id,
            "location": self.location,
            "reused": self.is_reused,
            "model": self.manifest["model"],
            "left_out": list(self.left_out),
            "short_list_of": self.short_list_of,
            "notes": self.table("notes").to_dict("records"),
            "seconds": self.manifest["seconds"],
            "recommendation": self.recommendation.record(budget),
            "cuts": self.cuts().to_dict("records"),
            "targets": self.targets().to_dict("records"),
            "own_cuts": self.own_cuts().to_dict("records"),
        }

    def _layers(self, side: str) -> pd.DataFrame:
        """The layer ranking in which the model is on one side, with how sure each rank is."""
        frame = _rows(self.table("layer_ranking"), side, self.model_id)
        sure = self.table("rank_uncertainty")
        sure = sure[sure["ranking"] == "layer"].rename(columns={"source_layer": "layer"})
        keys = ["target_model", "source_model", "layer"]
        sure = sure[[*keys, "rank_low", "rank_high", "p_first"]]
        merged = frame.merge(sure, on=keys, how="left")
        return merged.astype(dict.fromkeys(("rank_low", "rank_high"), "Int32"))

    def _repr_html_(self) -> str:
        return self.recommendation._repr_html_()


def _rows(frame: pd.DataFrame, column: str, value: str) -> pd.DataFrame:
    return frame[frame[column] == value].reset_index(drop=True)
