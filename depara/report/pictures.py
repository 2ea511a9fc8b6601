"""Attributions and graphs of some models as small pictures, within a size limit.

Legend: ``n`` probes of a picture, ``S`` side of a tile, px.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from depara.errors import DeparaError
from depara.pictures.choice import spread_probes
from depara.pictures.layout import (
    apart,
    layout_stress,
    mds_positions,
    procrustes,
    strongest_edges,
)
from depara.pictures.overlay import colour_scale, encode, in_cells, overlay, thumbnail
from depara.report.columns import real_column, whole_column
from depara.results import ScanResults
from depara.store.graphs import open_graph
from depara.store.storage import Storage
from depara.texts import shown_line
from depara.types import Float32, Float64, UInt8

MOST_MODELS = 40
MOST_READ_BYTES = 256 << 20
"""Most bytes of graph files that are read for the pictures."""
GRAPH_PROBES = 30
_PROBES, _TILE, _NODE, _CELLS = 8, 80, 40, 32
_EDGES_PER_PROBE = 2
_GAP = 0.115
"""Side of the room of a node, in shares of the picture's."""
_QUALITY = 72


@dataclass(frozen=True)
class Gallery:
    """Pictures of some models, as JSON; ``reason`` says why there are none."""

    models: tuple[str, ...] = ()
    num_models: int = 0
    tree: Mapping[str, Any] = field(default_factory=dict)
    reason: str | None = None

    @property
    def num_bytes(self) -> int:
        """Characters of the pictures."""
        texts = (self.tree.get("probes"), self.tree.get("nodes"), *self.tree.get("strips", ()))
        return sum(len(text or "") for text in texts)

    def record(self, places: Mapping[str, int]) -> dict[str, Any] | None:
        """Returns the pictures for the page, None without any; models by their places."""
        if not self.models:
            return None
        return {**self.tree, "models": [places[name] for name in self.models]}


def make_gallery(scan: ScanResults, order: Sequence[str], count: int | None) -> Gallery:
    """Returns the pictures of ``count`` models, evenly from their order.

    None is as many as can be drawn from 256 MiB of graph files, at most 40. What is missing,
    damaged or cannot be drawn is a reason, not an error.
    """
    if count == 0:
        return Gallery(reason="left out as asked")
    try:
        models = _models(scan, order, count)
        return Gallery(models, len(order), _pictures(scan, models))
    except DeparaError as error:
        return Gallery(reason=shown_line(str(error)))


def _models(scan: ScanResults, order: Sequence[str], count: int | None) -> tuple[str, ...]:
    if count is None:
        marker = open_graph(Storage(scan.output), scan.graph_key(order[0])).marker
        first = len(marker.ranges[0]) if marker.ranges else 0
        read = 2 * first * marker.num_pixels + 12 * marker.num_probes**2 // 2
        count = max(1, min(MOST_MODELS, MOST_READ_BYTES // max(read, 1)))
    places = np.unique(np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int))
    return tuple(order[place] for place in places)


def _pictures(scan: ScanResults, models: Sequence[str]) -> dict[str, Any]:
    probes = scan.probes()
    sample = list(range(min(GRAPH_PROBES, len(probes))))  # the first of a random order
    edges = [scan.edges(model)[np.ix_(sample, sample)] for model in models]
    chosen = spread_probes(np.mean(edges, axis=0), _PROBES)
    canvases = scan.canvases(sample)
    seen = canvases[chosen]
    strips = [_strip(scan.attributions(model, None, chosen), seen) for model in models]
    nodes = [thumbnail(canvas, _NODE) for canvas in canvases]
    return {
        "tile": _TILE,
        "names": [_probe_name(probes[index].uri, probes[index].label) for index in chosen],
        "probes": _text([thumbnail(canvas, _TILE) for canvas in seen]),
        "strips": strips,
        "nodes": _text(nodes),
        "node": _NODE,
        "num_probes": len(probes),
        "graphs": _graphs(edges),
    }


def _probe_name(uri: str, label: str | None) -> str:
    name = shown_line(uri.rpartition("/")[2])
    return name if label is None else f"{name}, label {shown_line(label)}"


def _strip(maps_nMM: Float32, canvases_nSS3: UInt8) -> str:
    """Returns the attributions of one model side by side, at one scale of colours."""
    shown = [in_cells(one, _CELLS) for one in maps_nMM]
    scale = colour_scale(*shown)
    tiles = zip(canvases_nSS3, shown, strict=True)
    return _text([overlay(canvas, one, _TILE, scale) for canvas, one in tiles])


def _text(tiles: Sequence[UInt8]) -> str:
    image = np.concatenate(list(tiles), axis=1)
    return base64.b64encode(encode(image, "webp", _QUALITY)).decode("ascii")


def _graphs(edges: Sequence[Float32]) -> dict[str, Any]:
    """Returns where the probes stand for each model, turned onto the first, and strongest edges."""
    places: list[Float64] = []
    pairs, cosines, stress = [], [], []
    for edges_nn in edges:
        found = mds_positions(edges_nn)
        stress.append(round(layout_stress(found, 1 - edges_nn), 3))
        places.append(_fitted(procrustes(found, places[0]) if places else found))
        pair, cosine = strongest_edges(edges_nn, _EDGES_PER_PROBE * len(edges_nn))
        pairs.append(pair)
        cosines.append(cosine)
    return {
        "places": real_column(np.stack(places), 2),
        "pairs": whole_column(np.stack(pairs)),
        "cosines": real_column(np.stack(cosines), 2),
        "num_probes": len(places[0]),
        "num_edges": len(pairs[0]),
        "stress": stress,
    }


def _fitted(places_n2: Float64) -> Float64:
    """Returns places in the square from 0 to 1, moved apart where nodes would overlap."""
    low, high = places_n2.min(axis=0), places_n2.max(axis=0)
    span = float((high - low).max()) or 1.0
    return apart((places_n2 - (low + high) / 2) / span, _GAP)
