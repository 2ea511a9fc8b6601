"""What is found of a graph's numbers before it is committed: unusable ones, and meaningless ones.

``N`` probes, ``E`` edges.
"""

from __future__ import annotations

import numpy as np

from depara.attribution import FeatureBank
from depara.errors import ModelError, NonFiniteError
from depara.grams import GraphGrams
from depara.graph import edges_from_gram
from depara.models.conditioning import conditioning_note, is_resolved
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


def graph_notes(
    layer: str, grams: GraphGrams, cosine_E: Float32, has_maps: bool, conditioning: float | None
) -> tuple[Note, ...]:
    """Returns what a user must know of a graph that is valid and yet says little.

    Args:
        layer: its name.
        grams: of its features.
        cosine_E: its edges.
        has_maps: whether any of its maps is not all zero.
        conditioning: of its maps, see `depara.models.conditioning`.
    """
    notes = []
    if cosine_E.size > 1 and np.all(cosine_E == cosine_E[0]):
        notes.append(
            Note(
                "constant",
                "all pairs of probes are equally alike to it, so that edge_similarity is 0 by "
                "definition: its features are zero or the same for every probe; choose another "
                "layer, or check the weights",
                layer,
            )
        )
    if not has_maps:
        notes.append(
            Note(
                "constant",
                "its maps are all zero, so that node_similarity is 0 by definition: its output is "
                "zero or does not depend on the probe; choose another layer, or check the weights",
                layer,
            )
        )
    variation = _variation(grams.raw_NN)
    if conditioning is not None and not is_resolved(conditioning, variation):
        notes.append(conditioning_note(layer, conditioning, variation))
    return tuple(notes)


def _variation(raw_NN: Float64) -> float:
    """Returns the root of the features' total variance over their mean square, 0 to 1."""
    mean_square = float(np.trace(raw_NN)) / len(raw_NN)
    variance = mean_square - float(raw_NN.mean())
    return float(np.sqrt(max(variance, 0.0) / mean_square)) if mean_square > 0 else 0.0
