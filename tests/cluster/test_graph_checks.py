"""Graphs before they are committed: unusable ones are refused by name, meaningless ones marked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cluster.extract.graph_checks import checked_edges, graph_notes
from depara.attribution import LayerGrams
from depara.errors import ModelError, NonFiniteError
from depara.similarity import FeatureGrams

FEATURES = np.random.default_rng(0).normal(size=(6, 10))


def grams_of(features: np.ndarray) -> LayerGrams:
    grams = FeatureGrams.from_features(features)
    return LayerGrams(grams.raw_NN, grams.zscored_NN, grams.raw_sums_N, grams.zscored_sums_N)


def edges_of(grams: LayerGrams) -> np.ndarray:
    return checked_edges("m", "conv", grams.zscored_NN, grams, 10)


def test_sound_grams_give_edges_and_no_notes() -> None:
    grams = grams_of(FEATURES)
    assert edges_of(grams).shape == (15,)
    assert graph_notes("conv", grams, edges_of(grams), True, 2.0) == ()


def test_grams_that_no_features_have_are_refused_with_model_and_layer() -> None:
    grams = replace(grams_of(FEATURES), raw_NN=np.zeros((6, 6)))
    with pytest.raises(ModelError, match=r"model 'm', layer 'conv': .* which no features have.*"):
        edges_of(grams)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_refused_with_model_and_layer(value: float) -> None:
    grams = grams_of(FEATURES)
    grams.raw_NN[1, 2] = value
    with pytest.raises(NonFiniteError, match=r"model 'm', layer 'conv': its features over") as it:
        edges_of(grams)
    assert it.value.layer == "conv"


def test_constant_features_and_zero_maps_are_marked() -> None:
    flat = grams_of(np.ones((6, 10)))
    (note,) = graph_notes("conv", flat, edges_of(flat), True, 0.0)
    assert (note.kind, note.layer) == ("constant", "conv")
    notes = graph_notes("conv", grams_of(np.zeros((6, 10))), edges_of(flat), False, None)
    assert [note.message[:20] for note in notes] == ["all pairs of probes ", "its maps are all zer"]


def test_maps_are_noise_where_the_norm_varies_less_than_the_features() -> None:
    grams = grams_of(FEATURES)
    (note,) = graph_notes("conv", grams, edges_of(grams), True, 1e-6)
    assert note.kind == "conditioning"
    near = grams_of(1 + 1e-3 * FEATURES)
    assert graph_notes("conv", near, edges_of(near), True, 1e-5) == ()
