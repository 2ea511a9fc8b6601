"""Content keys: two graphs share a key exactly when they are the same computation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from depara.catalog import METHODS, shared_by_all_methods
from depara.config import ScanConfig
from depara.identity import short_hash
from depara.types import LayerInfo, ModelCard

METHOD_VERSION = 1
"""Raised when the numbers of a graph change for equal settings: old graphs are then not reused."""


COMPARISON_VERSION = 1
"""Raised when a score of two graphs changes: pairs of older scans are then not reused."""


def comparison_settings(config: ScanConfig, probe_set_key: str, num_probes: int) -> dict[str, Any]:
    """Returns what the scores of two given models depend on: two scans with equal settings may
    share their graphs, pairs and label scores."""
    return {
        "comparison_version": COMPARISON_VERSION,
        "probe_set": probe_set_key,
        "num_probes": num_probes,
        **method_settings(config),
    }


def method_settings(config: ScanConfig) -> dict[str, Any]:
    """Returns the settings that a graph's numbers depend on, beside model, layer and probes."""
    attribution = config.attribution.model_dump(mode="json")
    attribution["map_side"] = config.map_side
    own = METHODS[config.attribution.method].parameters
    return {
        "method_version": METHOD_VERSION,
        "canvas_side": config.canvas.side,
        "attribution": {
            field: value
            for field, value in attribution.items()
            if field in own or shared_by_all_methods(field)
        },
        "edges": config.edges.model_dump(mode="json"),
        "precision": config.compute.precision,
    }


def maps_per_node(settings: Mapping[str, Any]) -> int:
    """Returns how many maps of equal size lie end to end in a node, by a graph's settings."""
    attribution = settings.get("attribution", {})
    method = METHODS.get(attribution.get("method", ""))
    return int(attribution[method.maps]) if method and method.maps else 1


def graph_key(
    card: ModelCard, layer: LayerInfo, probe_set_key: str, settings: dict[str, Any]
) -> str:
    """Returns the 32-digit key of one graph: model, layer, probe set and method settings hashed."""
    return short_hash(
        {**model_settings(card), "layer": layer.name, "probe_set": probe_set_key, **settings}
    )


def model_settings(card: ModelCard) -> dict[str, Any]:
    """Returns what a graph's numbers depend on of its model."""
    taken = card.input
    # The usual order goes unsaid, as before there were others: keys must not move.
    order = [] if taken.channel_order == "rgb" else [taken.channel_order]
    return {
        "weights_sha256": card.weights_sha256,
        "architecture": card.architecture,
        "input": [taken.side, list(taken.mean), list(taken.std), *order],
    }
