"""What units should take, s: for the order of work and for deadlines, never to promise."""

from __future__ import annotations

import os

from depara.catalog import METHODS
from depara.config import AttributionConfig, ModelConfig
from depara.errors import ConfigError
from depara.extraction.jobs import ModelJob
from depara.locations import is_remote, local_path
from depara.types import ModelCard

FETCH_S = 600.0
"""What it may take to fetch what has a size that is not known before."""

_BACKWARD_COST = 1.3  # of an input-only backward pass, in forward passes of the same depth
_READ_BYTES_PER_S = 10e6
_SPILL_BYTES_PER_S = 1e9
_FLOPS_PER_S = 20e9
_RANDOM = "random:"


def extraction_seconds(
    card: ModelCard, keys: dict[str, str], num_probes: int, attribution: AttributionConfig
) -> float:
    """Returns a rough time of one model's extraction, from its measured forward pass."""
    backwards = sum(
        layer.depth_fraction * _BACKWARD_COST for layer in card.layers if layer.name in keys
    )
    repeated = METHODS[attribution.method].repeats
    repeats = getattr(attribution, repeated) if repeated else 1
    return card.seconds_per_probe * num_probes * repeats * (1 + backwards)


def edge_seconds(job: ModelJob) -> float:
    """Returns a rough time of the edges of a model's missing graphs."""
    num_probes = job.ranges[-1].stop
    num_features = sum(
        layer.num_features for layer in job.card.layers if layer.name in job.graph_keys
    )
    products_s = 6 * num_probes**2 * num_features / _FLOPS_PER_S
    return products_s + 4 * num_probes * num_features / _SPILL_BYTES_PER_S


def weights_seconds(card: ModelCard) -> float:
    """Returns what reading a known model's weights may take."""
    return 4 * card.num_parameters / _READ_BYTES_PER_S


def opening_seconds(model: ModelConfig) -> float:
    """Returns what reading a model's weights may take: by their size, where that can be told."""
    weights = model.weights
    is_own_code = model.source.startswith("python:")
    if weights is None:
        return 0.0 if is_own_code else FETCH_S
    if weights.startswith(_RANDOM):
        return 0.0
    if is_remote(weights):
        return FETCH_S
    try:
        return os.path.getsize(local_path(weights)) / _READ_BYTES_PER_S
    except (ConfigError, OSError):  # on another node, or a name that a package knows
        return FETCH_S
