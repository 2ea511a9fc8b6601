"""What the tables of a scan say of one model and of its layers, as far as its card tells."""

from __future__ import annotations

from typing import Any

from depara.redaction import redact
from depara.types import LayerInfo, ModelCard


def model_columns(card: ModelCard) -> dict[str, Any]:
    """Returns the columns of the ``models`` table that are of the model itself."""
    return {
        "architecture": card.architecture,
        "weights_sha256": card.weights_sha256,
        "num_parameters": card.num_parameters,
        "seconds_per_probe": card.seconds_per_probe,
        "bytes_per_probe": card.activation_bytes,
        "licence": card.licence,
        "input_size": card.input.side,
        "input_channels": card.input.channels,
        "input_mean": ", ".join(f"{value:.6g}" for value in card.input.mean),
        "input_std": ", ".join(f"{value:.6g}" for value in card.input.std),
        "input_from": redact(card.input_from),
    }


def layer_columns(
    card: ModelCard,
    layer: LayerInfo,
    key: str,
    conditioning: float | None,
    computed_in: str | None,
) -> dict[str, Any]:
    """Returns a row of the ``layers`` table.

    Args:
        card: of the model.
        layer: one of its layers.
        key: of its graph.
        conditioning: of its graph.
        computed_in: the arithmetic of its graph.
    """
    return {
        "model_id": card.model_id,
        "layer": layer.name,
        "depth": layer.depth,
        "depth_fraction": layer.depth_fraction,
        "num_features": layer.num_features,
        "gflop": layer.flops and layer.flops / 1e9,
        "is_output": layer.name == card.output_layer,
        "graph_key": key,
        "conditioning": conditioning,
        "precision": computed_in,
    }
