"""A finished scan of random graphs, of any size, as if models had been scanned."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from depara.attribution import FeatureBank
from depara.catalog import TERMS
from depara.config import ScanConfig
from depara.extraction.graph_checks import checked_edges
from depara.graph import edge_index
from depara.identity import pixels_id, probe_set_key, short_hash
from depara.similarity import model_ranking
from depara.similarity.centre import Centre
from depara.similarity.centre_table import centre_table
from depara.similarity.pair_table import similarity_table
from depara.similarity.stored import GraphRef
from depara.store.artifacts import table_of_rows
from depara.store.canvases import ProbeSet, write_canvases, write_probe_set
from depara.store.graphs import GraphWriter
from depara.store.keys import comparison_settings, method_settings
from depara.store.markers import GraphMarker
from depara.store.scans import finish_scan, write_table
from depara.store.schemas import TABLES
from depara.store.storage import Storage
from depara.types import Float32, LayerInfo, NodeMaps, ProbeRange, UInt8

_FEATURES = 64
_NOISES = 6


@dataclass(frozen=True)
class ZooSize:
    """Models, layers of each, probes, and sides of canvas and map in px."""

    models: int
    layers: int
    probes: int
    canvas_side: int
    map_side: int


def make_scan(output: str, size: ZooSize) -> str:
    """Writes canvases, graphs and tables of a scan; returns its id."""
    storage = Storage(output)
    config = ScanConfig.model_validate(
        {
            "output": output,
            "probes": {"source": "made", "count": size.probes},
            "canvas": {"side": size.canvas_side},
            "attribution": {"map_side": size.map_side},
            "models": [{"id": "made", "source": "torchvision:none"}],
        }
    )
    probe_set = _write_probes(storage, size)
    graphs = [
        GraphRef(
            f"m{model:03d}",
            f"layer{layer}",
            layer,
            short_hash(["made", model, layer, size.map_side]),
            layer == size.layers - 1,
        )
        for model in range(size.models)
        for layer in range(size.layers)
    ]
    noise = _Noise(size)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda ref: _write_graph(storage, ref, config, probe_set, noise), graphs))
    return _write_tables(storage, config, probe_set, graphs)


def _write_probes(storage: Storage, size: ZooSize) -> ProbeSet:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (size.probes, 8, 8, 3), dtype=np.uint8)
    repeats = -(-size.canvas_side // 8)
    large: UInt8 = coarse.repeat(repeats, 1).repeat(repeats, 2)
    canvas_NSS3 = np.ascontiguousarray(large[:, : size.canvas_side, : size.canvas_side])
    named = sorted((pixels_id(one.data, one.shape), one) for one in canvas_NSS3)
    ids = tuple(name for name, _ in named)
    chunk = write_canvases(storage, ids, np.stack([one for _, one in named]))
    probe_set = ProbeSet(probe_set_key(ids, size.canvas_side), size.canvas_side, ids, (chunk,))
    write_probe_set(storage, probe_set)
    return probe_set


class _Noise:
    """Maps that correlate somewhat, cheaply: each graph mixes the same few arrays."""

    def __init__(self, size: ZooSize) -> None:
        rng = np.random.default_rng(1)
        shape = (size.probes, size.map_side**2)
        self.parts = [rng.standard_normal(shape, dtype=np.float32) for _ in range(_NOISES)]
        self.features = rng.standard_normal((size.probes, _FEATURES), dtype=np.float32)

    def maps(self, rng: np.random.Generator) -> Float32:
        """Returns the maps of one graph, ``N P``."""
        chosen = rng.choice(_NOISES, 2, replace=False)
        shift = int(rng.integers(1, 1000))
        mixed: Float32 = self.parts[chosen[0]] + np.roll(self.parts[chosen[1]], shift, axis=1)
        return mixed


def _write_graph(
    storage: Storage, ref: GraphRef, config: ScanConfig, probe_set: ProbeSet, noise: _Noise
) -> None:
    rng = np.random.default_rng(int(ref.key[:8], 16))
    count = len(probe_set)
    whole = ProbeRange(0, count)
    maps_NP = noise.maps(rng)
    norms_N = np.linalg.norm(maps_NP, axis=1)
    maps_NP /= norms_N[:, None]
    writer = GraphWriter(storage, ref.key)
    nodes = NodeMaps(maps_NP.astype(np.float16), norms_N)
    writer.write_nodes(whole, list(probe_set.probe_ids), nodes)
    layer = LayerInfo(ref.layer, ref.depth, 1.0, _FEATURES, (_FEATURES,))
    with FeatureBank(count, [layer], memory_bytes=2**26) as bank:
        own = rng.standard_normal((count, _FEATURES), dtype=np.float32)
        bank.write(ref.layer, 0, noise.features + own)
        grams, cosine_E = checked_edges(ref.model_id, ref.layer, bank, config.edges.normalize)
    writer.write_edges(edge_index(count), cosine_E)
    writer.write_grams(grams)
    writer.commit(
        GraphMarker(
            graph_key=ref.key,
            model_id=ref.model_id,
            layer=ref.layer,
            num_probes=count,
            num_pixels=config.map_side**2,
            num_features=_FEATURES,
            probe_set=probe_set.key,
            ranges=(whole,),
            files={},
            settings=method_settings(config),
            seconds=0.0,
            peak_memory_bytes=0,
        )
    )


def _write_tables(
    storage: Storage, config: ScanConfig, probe_set: ProbeSet, graphs: Sequence[GraphRef]
) -> str:
    scan_id, count = "made", len(probe_set)
    outputs = [graph for graph in graphs if graph.is_output]
    rng = np.random.default_rng(2)
    scores = {
        name: rng.uniform(0, 1, (len(outputs), len(outputs)))
        for name in (term.column for term in TERMS.values())
    }
    terms = config.similarity.terms
    pairs = similarity_table(outputs, outputs, scores, terms=terms, num_probes=count)
    cosines = rng.uniform(0, 1, (len(graphs), count)).astype(np.float32)
    centre = Centre.of_zoo(cosines, np.ones_like(cosines), [graph.is_output for graph in graphs])
    layers = [
        {
            "model_id": graph.model_id,
            "layer": graph.layer,
            "depth": graph.depth,
            "depth_fraction": (graph.depth + 1) / len(graphs),
            "num_features": _FEATURES,
            "is_output": graph.is_output,
            "graph_key": graph.key,
        }
        for graph in graphs
    ]
    models = [
        {"model_id": graph.model_id, "source": "made", "status": "computed"} for graph in outputs
    ]
    tables: dict[str, pa.Table] = {name: schema.empty_table() for name, schema in TABLES.items()}
    tables["model_ranking"] = model_ranking(pairs, {one.model_id: one.layer for one in outputs})
    tables["centre"] = centre_table(graphs, centre)
    tables["layers"] = table_of_rows(layers, TABLES["layers"])
    tables["models"] = table_of_rows(models, TABLES["models"])
    facts = {name: write_table(storage, scan_id, name, table) for name, table in tables.items()}
    manifest = {
        "probe_set": probe_set.key,
        "num_probes": count,
        "comparison": comparison_settings(config, probe_set.key, count),
        "config": json.loads(config.model_dump_json(by_alias=True)),
        "tables": facts,
    }
    finish_scan(storage, scan_id, manifest)
    return scan_id
