"""What is found of a graph's numbers before it is committed: unusable ones, and meaningless ones.

``N`` probes, ``E`` edges.
"""

from __future__ import annotations

import numpy as np

from depara.attribution import FeatureBank
from depara.errors import ModelError, NonFiniteError
from depara.grams import GraphGrams
from depara.graph import edges_from_gram
from depara.models.conditioning import conditioning_notes
from depara.store.artifacts import NodeFacts
from depara.types import Float32, Float64, Note


def checked_edges(
    model_id: str, layer: str, bank: FeatureBank, normalize: str
) -> tuple[GraphGrams, Float32]:
    """Returns the Grams of a layer, which every score can be computed from, and its edges.

    Args:
        model_id: the model.
        layer: its layer.
        bank: holds the features of all probes.
        normalize: of the edges: ``zscore``, ``center`` or ``none``.

    Raises:
        NonFiniteError: features or edges are not finite.
        ModelError: Grams and sums that no features have.
    """
    try:
        grams = bank.grams(layer)
        if normalize == "center":  # not from the raw one: subtracting there would cost precision
            edge_gram_NN = bank.gram(layer, normalize)
        else:
            edge_gram_NN = grams.zscored_NN if normalize == "zscore" else grams.raw_NN
        return grams, edges_from_gram(edge_gram_NN)
    except NonFiniteError as error:
        failure: ModelError = NonFiniteError(
            f"model {model_id!r}, layer {layer!r}: its features overflow; check the weights and "
            "the input normalisation"
        )
        cause: Exception = error
    except ValueError as error:
        failure = ModelError(
            f"model {model_id!r}, layer {layer!r}: its features cannot be compared: {error}; check "
            "the weights, or leave the layer out of `layers`"
        )
        cause = error
    failure.layer = layer
    raise failure from cause


def feature_notes(layer: str, cosine_E: Float32) -> tuple[Note, ...]:
    """Returns the note on a layer whose features tell no two probes apart.

    Args:
        layer: its name.
        cosine_E: its edges.
    """
    if cosine_E.size < 2 or np.any(cosine_E != cosine_E[0]):
        return ()
    text = (
        "all pairs of probes are equally alike to it, so that edge_similarity is 0 by definition: "
        "its features are zero or the same for every probe; choose another layer, or check the "
        "weights"
    )
    return (Note("constant", text, layer),)


def map_notes(layer: str, facts: NodeFacts, variation: float) -> tuple[Note, ...]:
    """Returns what a user must know of maps that are valid and yet say little.

    Args:
        layer: its name.
        facts: of its maps.
        variation: of its features.
    """
    notes = []
    if not facts.has_maps:
        text = (
            "its maps are all zero, so that node_similarity is 0 by definition: its output is zero "
            "or does not depend on the probe; choose another layer, or check the weights"
        )
        notes.append(Note("constant", text, layer))
    return (*notes, *conditioning_notes(layer, facts.median_conditioning, variation))


def feature_variation(raw_NN: Float64) -> float:
    """Returns the root of the features' total variance over their mean square, 0 to 1."""
    mean_square = float(np.trace(raw_NN)) / len(raw_NN)
    variance = mean_square - float(raw_NN.mean())
    return float(np.sqrt(max(variance, 0.0) / mean_square)) if mean_square > 0 else 0.0
