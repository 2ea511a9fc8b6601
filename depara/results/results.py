"""A finished scan as pandas tables, and the rankings that a user asks of it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import pandas as pd
import pyarrow as pa

from depara.errors import ConfigError, near_names
from depara.results.graphs import read_edges, read_maps
from depara.results.probes import find_probe
from depara.similarity import at_lambda, layer_ranking, model_ranking
from depara.similarity.nulls import without_sources
from depara.store.canvases import read_canvases_of, read_probe_set
from depara.store.scans import (
    read_manifest,
    read_table,
    resolve_scan_id,
    table_parts,
)
from depara.store.schemas import TABLES
from depara.store.storage import Storage
from depara.types import Box, Float32, Probe, UInt8


@dataclass(frozen=True)
class ScanResults:
    """One finished scan, open for reading.

    ``output`` is the location of the store, ``scan_id`` the scan, ``manifest`` its record.
    """

    output: str
    scan_id: str
    manifest: dict[str, Any]

    @property
    def terms(self) -> dict[str, float]:
        """Weights of the terms of ``similarity`` by their names in `depara.catalog.TERMS`."""
        similarity = self.manifest["config"]["similarity"]
        # Scans of older versions have lambda alone, and the paper's sum.
        return dict(similarity.get("terms") or {"node": 1.0, "edge": similarity["lambda"]})

    @property
    def layer_terms(self) -> dict[str, float]:
        """Weights of what ranks the layers of a source, the ``similarity`` of that ranking."""
        # Scans of older versions rank layers by what ranks models.
        return dict(self.manifest["config"]["similarity"].get("layer_terms") or self.terms)

    @property
    def has_layer_terms(self) -> bool:
        """Whether layers are ranked by another sum than models; not so in older versions."""
        if not self.manifest.get("config", {}).get("similarity", {}).get("layer_terms"):
            return False
        given = [{n: w for n, w in one.items() if w} for one in (self.terms, self.layer_terms)]
        return given[0] != given[1]

    @property
    def layer_score(self) -> str:
        """The ``score`` in ``uncertainty`` that ranks layers."""
        return "layer_similarity" if self.has_layer_terms else "similarity"

    @property
    def lambda_(self) -> float:
        """Weight of the edges in ``similarity``."""
        return self.terms.get("edge", 0.0)

    def table(self, name: str) -> pd.DataFrame:
        """Returns one table of the scan; see docs/tables.md for its columns.

        Raises:
            ConfigError: no table has this name.
            StoreError: the table is missing or damaged.
        """
        if name not in TABLES:
            known = ", ".join(TABLES)
            hint = near_names(name, TABLES) or f"the tables are {known}"
            raise ConfigError(f"a scan has no table {name!r}; {hint}")
        return _frame(self.arrow_table(name))

    def rank_models(self, target: str, lambda_: float | None = None) -> pd.DataFrame:
        """Returns the other models as sources for a target, best first (DEPARA, section 3.3).

        Args:
            target: model that stands for the target task.
            lambda_: weight of the edge similarity; None is the scan's own.

        Raises:
            ConfigError: the target is no model of this scan that worked.
        """
        self.require_model(target, "target")
        return self._ranking("model_ranking", target, lambda_)

    def rank_layers(self, target: str, source: str, lambda_: float | None = None) -> pd.DataFrame:
        """Returns the layers of a source for a target, best cut first (DEPARA, Eq. 6).

        Args:
            target: model that stands for the target task.
            source: model to cut.
            lambda_: weight of the edge similarity in what ranks layers; None is the scan's own.

        Raises:
            ConfigError: target or source is no model of this scan that worked, they are equal, or
                they were not compared (``similarity.pairs: nearest``).
        """
        self.require_model(target, "target")
        self.require_model(source, "source")
        if target == source:
            raise ConfigError(f"target and source are the same model, {target!r}: choose another")
        table = self._ranking("layer_ranking", target, lambda_)
        found = table[table["source_model"] == source].reset_index(drop=True)
        if found.empty and self.manifest.get("pairs") == "nearest":
            near = sorted(set(table["source_model"]))
            raise ConfigError(
                f"{source!r} is none of the {len(near)} models nearest to {target!r}, and the scan "
                f"compared no others (similarity.pairs: nearest): choose of {', '.join(near[:10])}"
                f"{' ...' if len(near) > 10 else ''}, or scan with a larger similarity.nearest"
            )
        return found

    def models(self) -> list[str]:
        """Returns the models that worked, in the order of the scan file."""
        return list(self._worked)

    def layers(self, model: str) -> list[str]:
        """Returns the layers of a model at which it was cut, by depth.

        Raises:
            ConfigError: no model of this scan that worked has this name.
        """
        self.require_model(model, "model")
        return [layer for one, layer in self._graph_keys if one == model]

    def output_layer(self, model: str) -> str:
        """Returns the layer that stands for a model as a target.

        Raises:
            ConfigError: no model of this scan that worked has this name.
        """
        self.require_model(model, "model")
        return self._outputs[model]

    def graph_key(self, model: str, layer: str | None = None) -> str:
        """Returns the content key of the graph of a model at a layer, by default its output layer.

        Raises:
            ConfigError: the scan has no such model or layer.
        """
        name = self.output_layer(model) if layer is None else layer
        layers = self.layers(model)
        if name not in layers:
            hint = near_names(name, layers) or f"it has {', '.join(layers[:12])}"
            raise ConfigError(f"model {model!r} has no layer {name!r} in this scan; {hint}")
        return self._graph_keys[model, name]

    def probes(self) -> list[Probe]:
        """Returns the probes of the scan, by index.

        The index follows the ids, which are hashes: the first n are a random sample.
        """
        return list(self._probes)

    def probe(self, name: int | str) -> Probe:
        """Returns one probe, by index, by the beginning of its id, or by the end of its path.

        An integer, or up to 7 digits and nothing else, is an index; ``9f3c`` begins an id;
        ``cat.jpg``, ``animals/cat.jpg`` or ``probes.parquet#12`` ends a path.

        Raises:
            ConfigError: no probe is meant, or several are; they are listed.
        """
        return find_probe(self._probes, name)

    def canvas(self, probe: int | str) -> UInt8:
        """Returns what the models saw of a probe: its canvas (S, S, 3) uint8, RGB.

        Raises:
            ConfigError: no probe is meant, or several are.
            StoreError: the canvas is missing or damaged.
        """
        canvas: UInt8 = self.canvases([probe])[0]
        return canvas

    def canvases(self, probes: Sequence[int | str] | None = None) -> UInt8:
        """Returns the canvases (n, S, S, 3) uint8 of some probes, or of all; see `canvas`."""
        storage = Storage(self.output)
        probe_set = read_probe_set(storage, self.manifest["probe_set"])
        return read_canvases_of(storage, probe_set, self._places(probes))

    def attribution(
        self, model: str, layer: str | None, probe: int | str, *, scaled: bool = False
    ) -> Float32:
        """Returns the attribution map (S', S') of one probe: a node of the DEPARA.

        Signed: how much each cell of the canvas adds to the scalar of the layer's output, by the
        scan's attribution method, at the scan's ``map_side``. As stored, which is float16 of
        Euclidean norm 1 (or all zero): the inner product of two models' maps is their cosine, and
        its mean over the probes is ``node_similarity``. Of ``gradient_field`` it is the map at the
        end of the path, one of the several whose cosines are averaged.

        Args:
            layer: None is the model's output layer.
            probe: see `probe`.
            scaled: times the norm that the map had: its sum is then the whole attribution, in units
                of the layer's scalar, which differ from layer to layer.

        Raises:
            ConfigError: the scan has no such model, layer or probe.
            StoreError: the graph is missing or damaged.
        """
        attribution: Float32 = self.attributions(model, layer, [probe], scaled=scaled)[0]
        return attribution

    def attributions(
        self,
        model: str,
        layer: str | None = None,
        probes: Sequence[int | str] | None = None,
        *,
        scaled: bool = False,
    ) -> Float32:
        """Returns the maps (n, S', S') of some probes, or of all; see `attribution`."""
        key = self.graph_key(model, layer)
        return read_maps(Storage(self.output), key, self._places(probes), scaled=scaled)

    def edges(self, model: str, layer: str | None = None) -> Float32:
        """Returns the edges of a DEPARA: cosines (N, N) of the probes' features at a layer.

        Symmetric, in index order, with ones on the diagonal. The layer is by default the output.

        Raises:
            ConfigError: the scan has no such model or layer.
            StoreError: the graph is missing or damaged.
        """
        return read_edges(Storage(self.output), self.graph_key(model, layer))

    def _places(self, probes: Sequence[int | str] | None) -> list[int]:
        if probes is None:
            return list(range(len(self._probes)))
        return [self.probe(name).index for name in probes]

    @cached_property
    def _worked(self) -> tuple[str, ...]:
        table = self.table("models")
        return tuple(table.loc[table["status"] != "failed", "model_id"].tolist())

    @cached_property
    def _probes(self) -> tuple[Probe, ...]:
        rows = self.arrow_table("probes").sort_by("index").to_pylist()
        names = [field.name for field in fields(Probe)]
        for row in rows:
            if row["boxes"] is not None:
                row["boxes"] = tuple(Box(**box) for box in row["boxes"])
        return tuple(Probe(**{name: row[name] for name in names}) for row in rows)

    @cached_property
    def _graph_keys(self) -> dict[tuple[str, str], str]:
        rows = self.arrow_table("layers").sort_by(
            [("model_id", "ascending"), ("depth", "ascending")]
        )
        return {(row["model_id"], row["layer"]): row["graph_key"] for row in rows.to_pylist()}

    @cached_property
    def _outputs(self) -> dict[str, str]:
        rows = self.arrow_table("layers").to_pylist()
        return {row["model_id"]: row["layer"] for row in rows if row["is_output"]}

    def _ranking(self, name: str, target: str, lambda_: float | None) -> pd.DataFrame:
        if lambda_ is None:
            return _frame(self.arrow_table(name, [target]))
        similarity = self.arrow_table("similarity", [target])
        own, edges = similarity["similarity"], similarity["edge_similarity"]
        scores = at_lambda(own.to_numpy(), edges.to_numpy(), self.lambda_, lambda_)
        place = similarity.schema.get_field_index("similarity")
        similarity = similarity.set_column(place, similarity.field(place), [scores])
        twins = self.table("models").dropna(subset=["null_of"])
        null_of = dict(zip(twins["model_id"], twins["null_of"], strict=True))
        outputs = {name: layer for name, layer in self._outputs.items() if name not in null_of}
        similarity = without_sources(similarity, null_of)
        if name == "model_ranking":
            return _frame(model_ranking(similarity, outputs))
        layers = self.table("layers")
        pairs = zip(layers["model_id"], layers["layer"], strict=True)
        depths = dict(zip(pairs, layers["depth"], strict=True))
        terms = {**self.layer_terms, "edge": lambda_} if self.has_layer_terms else None
        return _frame(layer_ranking(similarity, outputs, depths, terms))

    def arrow_table(self, name: str, targets: Collection[str] | None = None) -> pa.Table:
        """Returns one table of the scan as Arrow, compared with its checksum in the manifest.

        With ``targets`` the rows of these target models alone: of a table in parts, no other part
        is read.

        Raises:
            StoreError: the table is missing or damaged.
        """
        fact = self.manifest.get("tables", {}).get(name)
        return read_table(Storage(self.output), self.scan_id, name, fact, None, targets)

    @property
    def tables_in_parts(self) -> frozenset[str]:
        """The tables that are a folder of files, one for each block of targets."""
        tables = self.manifest.get("tables", {})
        return frozenset(name for name, fact in tables.items() if "parts" in fact)

    def arrow_columns(
        self, name: str, columns: Sequence[str], targets: Collection[str] | None = None
    ) -> pa.Table:
        """Returns some columns of a table, texts as dictionaries; otherwise as `arrow_table`."""
        fact = self.manifest.get("tables", {}).get(name)
        return read_table(Storage(self.output), self.scan_id, name, fact, columns, targets)

    def arrow_parts(
        self, name: str, columns: Sequence[str], targets: Collection[str] | None = None
    ) -> Iterator[pa.Table]:
        """Yields `arrow_columns` of a table part by part: never more than one is in memory."""
        fact = self.manifest.get("tables", {}).get(name)
        yield from table_parts(Storage(self.output), self.scan_id, name, fact, columns, targets)

    def require_model(self, name: str, role: str) -> None:
        """Raises ConfigError unless a model worked in this scan: why not, or near names."""
        models = self.models()
        if name not in models:
            failed = self.table("failures")
            reasons = failed.loc[failed["model_id"] == name, "message"].tolist()
            why = f"it failed: {reasons[0]}" if reasons else near_names(name, models)
            why = why or f"it has {', '.join(models[:10])}"
            raise ConfigError(f"scan {self.scan_id} has no {role} {name!r}; {why}")


def _frame(table: pa.Table) -> pd.DataFrame:
    frame = table.to_pandas()
    assert isinstance(frame, pd.DataFrame)
    return frame


def open_scan(output: str, scan_id: str | None = None) -> ScanResults:
    """Returns a finished scan of an output location; the latest one by default.

    Args:
        output: local folder or URI that scans were written to.
        scan_id: name of the scan; None is the latest finished one.

    Raises:
        StoreError: there is no such finished scan.
    """
    storage = Storage(output)
    found = resolve_scan_id(storage, scan_id)
    manifest = read_manifest(storage, found)
    assert manifest is not None
    return ScanResults(output, found, manifest)
