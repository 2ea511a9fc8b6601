"""Graphs before they are committed: unusable ones are refused by name, meaningless ones marked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cluster.extract.graph_checks import (
    checked_edges,
    feature_notes,
    feature_variation,
    map_notes,
)
from depara.attribution import LayerGrams
from depara.errors import ModelError, NonFiniteError
from depara.similarity import FeatureGrams
from depara.store.artifacts import NodeFacts

FEATURES = np.random.default_rng(0).normal(size=(6, 10))


def grams_of(features: np.ndarray) -> LayerGrams:
    grams = FeatureGrams.from_features(features)
    return LayerGrams(grams.raw_NN, grams.zscored_NN, grams.raw_sums_N, grams.zscored_sums_N)


def edges_of(grams: LayerGrams) -> np.ndarray:
    return checked_edges("m", "conv", grams.zscored_NN, grams, 10)


def test_sound_grams_give_edges_and_no_notes() -> None:
    grams = grams_of(FEATURES)
    assert edges_of(grams).shape == (15,)
    assert feature_notes("conv", edges_of(grams)) == ()
    facts = NodeFacts((2.0, 3.0), has_maps=True)
    assert map_notes("conv", facts, feature_variation(grams.raw_NN)) == ()


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
    for flat in (np.ones((6, 10)), np.zeros((6, 10))):
        (note,) = feature_notes("conv", edges_of(grams_of(flat)))
        assert (note.kind, note.layer) == ("constant", "conv")
    (note,) = map_notes("conv", NodeFacts((np.nan, np.nan), has_maps=False), 0.0)
    assert note.message.startswith("its maps are all zero")


def test_maps_are_noise_where_the_norm_varies_less_than_the_features() -> None:
    facts = NodeFacts((1e-5, np.nan, 3e-5, 9.0, 1e-5), has_maps=True)
    assert facts.median_conditioning == pytest.approx(2e-5)
    variation = feature_variation(grams_of(FEATURES).raw_NN)
    assert variation == pytest.approx(
        np.sqrt(np.square(FEATURES - FEATURES.mean(axis=0)).sum() / np.square(FEATURES).sum())
    )
    (note,) = map_notes("conv", facts, variation)
    assert note.kind == "conditioning"
    near = feature_variation(grams_of(1 + 1e-3 * FEATURES).raw_NN)
    assert map_notes("conv", facts, near) == ()
