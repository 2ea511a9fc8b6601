"""Graphs before they are committed: unusable ones are refused by name, meaningless ones marked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.distance import pdist

from depara.attribution import FeatureBank
from depara.errors import ModelError, NonFiniteError
from depara.extraction.graph_checks import (
    checked_edges,
    feature_notes,
    feature_variation,
    map_notes,
)
from depara.grams import GraphGrams
from depara.store.artifacts import NodeFacts
from depara.types import LayerInfo
from tests.oracle.grams import grams_of

FEATURES = np.random.default_rng(0).normal(size=(6, 10))


def bank_of(features: np.ndarray, magnitude: float = 1.0) -> FeatureBank:
    layer = LayerInfo("conv", 0, 1.0, features.shape[1], features.shape[1:])
    bank = FeatureBank(len(features), [layer], memory_bytes=2**26)
    bank.write("conv", 0, (magnitude * features).astype(np.float32))
    return bank


def graph_of(features: np.ndarray) -> tuple[GraphGrams, np.ndarray]:
    return checked_edges("m", "conv", bank_of(features), "zscore")


def test_sound_grams_give_edges_and_no_notes() -> None:
    grams, edges = graph_of(FEATURES)
    assert edges.shape == (15,)
    assert feature_notes("conv", edges) == ()
    facts = NodeFacts((2.0, 3.0), has_maps=True)
    assert map_notes("conv", facts, feature_variation(grams.raw_NN)) == ()


@pytest.mark.parametrize("normalize", ["zscore", "center", "none"])
def test_edges_are_of_the_normalised_features(normalize: str) -> None:
    _, edges = checked_edges("m", "conv", bank_of(FEATURES), normalize)
    shown = FEATURES if normalize == "none" else FEATURES - FEATURES.mean(axis=0)
    shown = shown / FEATURES.std(axis=0) if normalize == "zscore" else shown
    np.testing.assert_allclose(edges, 1 - pdist(shown, "cosine"), atol=1e-5)


def test_grams_that_no_features_have_are_refused_with_model_and_layer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def wrong(bank: FeatureBank, layer: str) -> GraphGrams:
        return replace(grams_of(FEATURES), raw_NN=np.zeros((6, 6)))

    monkeypatch.setattr(FeatureBank, "grams", wrong)
    with pytest.raises(ModelError, match=r"model 'm', layer 'conv': .* which no features have.*"):
        graph_of(FEATURES)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_refused_with_model_and_layer(value: float) -> None:
    features = FEATURES.copy()
    features[1, 2] = value
    with (
        np.errstate(invalid="ignore"),
        pytest.raises(NonFiniteError, match=r"model 'm', layer 'conv': its features over") as it,
    ):
        graph_of(features)
    assert it.value.layer == "conv"


def test_features_of_lost_digits_are_refused_with_their_size() -> None:
    """Below float32's normal numbers a value has few bits or one: cosines of it are rounding."""
    with pytest.raises(ModelError, match=r"layer 'conv': .*they are about 3e-44, and below 1e-38"):
        checked_edges("m", "conv", bank_of(np.sign(FEATURES), 2.5e-44), "zscore")
    checked_edges("m", "conv", bank_of(FEATURES, 1e-35), "zscore")


def test_maps_of_an_output_that_magnifies_rounding_are_marked() -> None:
    (note,) = map_notes("conv", NodeFacts((4000.0, 3000.0, 5000.0), has_maps=True), 0.5)
    assert note.kind == "conditioning"
    assert "its output changes 4000 times as much as the canvas does" in note.message
    assert map_notes("conv", NodeFacts((900.0,), has_maps=True), 0.5) == ()


def test_constant_features_and_zero_maps_are_marked() -> None:
    for flat in (np.ones((6, 10)), np.zeros((6, 10))):
        (note,) = feature_notes("conv", graph_of(flat)[1])
        assert (note.kind, note.layer) == ("constant", "conv")
    (note,) = map_notes("conv", NodeFacts((np.nan, np.nan), has_maps=False), 0.0)
    assert note.message.startswith("its maps are all zero")


def test_maps_are_noise_where_the_norm_varies_less_than_the_features() -> None:
    facts = NodeFacts((1e-5, np.nan, 3e-5, 9.0, 1e-5), has_maps=True)
    assert facts.median_conditioning == pytest.approx(2e-5)
    variation = feature_variation(graph_of(FEATURES)[0].raw_NN)
    assert variation == pytest.approx(
        np.sqrt(np.square(FEATURES - FEATURES.mean(axis=0)).sum() / np.square(FEATURES).sum())
    )
    (note,) = map_notes("conv", facts, variation)
    assert note.kind == "conditioning"
    near = feature_variation(graph_of(1 + 1e-3 * FEATURES)[0].raw_NN)
    assert map_notes("conv", facts, near) == ()
