"""One block from end to end: against explicit resampling, the scan's rankings, and itself."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from depara.similarity.centre import Centre, map_sums, products_with
from depara.similarity.gulp import gulp_source, gulp_target
from depara.types import ProbeRange
from depara.uncertainty import (
    BlockCentre,
    BlockUncertainty,
    UncertaintySettings,
    block_uncertainty,
    uncertainty_tables,
)
from depara.uncertainty.weights import probe_weights
from tests.oracle import uncertainty as oracle
from tests.similarity.engine.array_block import ArrayBlock, random_block
from tests.uncertainty.zoo import Label, labels

PLENTY_BYTES = 1 << 30
NUM_PROBES = 16
SETTINGS = UncertaintySettings(num_resamples=40, num_subsets=3, seed=2)
LABELS = labels(4, 3)
OUTPUTS = [place for place, label in enumerate(LABELS) if label.is_output]


@pytest.fixture(scope="module")
def block() -> ArrayBlock:
    return random_block(len(LABELS), NUM_PROBES, 20)


def analyse(
    block: ArrayBlock,
    sources: list[int] | None = None,
    targets: list[int] | None = None,
    **options: Any,
) -> BlockUncertainty:
    sources = list(range(len(LABELS))) if sources is None else sources
    targets = OUTPUTS if targets is None else targets
    arguments: dict[str, Any] = {
        "num_probes": NUM_PROBES,
        "terms": {"node": 1.0, "edge": 2.0},
        "memory_bytes": PLENTY_BYTES,
        "settings": SETTINGS,
        "sources": [LABELS[place] for place in sources],
        "targets": [LABELS[place] for place in targets],
        **options,
    }
    return block_uncertainty(block.part(sources), block.part(targets), **arguments)


def centre_of(block: ArrayBlock) -> Centre:
    """The zoo's mean map is that of its output graphs."""
    whole = ProbeRange(0, NUM_PROBES)
    mean_NP = map_sums(block.part(OUTPUTS), whole) / np.float32(len(OUTPUTS))
    return Centre.of_zoo(
        *products_with(block, whole, mean_NP), [label.is_output for label in LABELS]
    )


@pytest.mark.parametrize(
    ("centred_weight", "directed_weight", "gulp_weight"), [(0.0, 0.0, 0.0), (1.5, 3.0, 2.0)]
)
def test_intervals_and_ranks_are_those_of_explicit_resamples(
    block: ArrayBlock, centred_weight: float, directed_weight: float, gulp_weight: float
):
    centre, columns = centre_of(block), OUTPUTS[:2]
    result = analyse(
        block,
        targets=columns,
        terms={
            "node": 1.0,
            "node_centred": centred_weight,
            "edge": 2.0,
            "directed": directed_weight,
            "gulp": gulp_weight,
        },
        centre=BlockCentre(centre, centre.rows(columns)),
    )
    mean_NP = block.maps_GNP[OUTPUTS].astype(np.float64).mean(axis=0)
    weights = probe_weights(NUM_PROBES, num_resamples=40, seed=2).weights_RN
    for place, target in enumerate(columns):
        node = np.empty((len(weights), len(LABELS)))
        centred, edge, directed, gulp = (np.empty_like(node) for _ in range(4))
        for r, weights_N in enumerate(weights):
            for a in range(len(LABELS)):
                maps = block.maps_GNP[a], block.maps_GNP[target]
                node[r, a] = oracle.resampled_node_similarity(*maps, weights_N)
                centred[r, a] = oracle.resampled_node_centred(*maps, mean_NP, weights_N)
                edges = block.edges_GE[a], block.edges_GE[target]
                edge[r, a] = oracle.resampled_edge_similarity(*edges, weights_N)
                features = block.features_GND[a], block.features_GND[target]
                directed[r, a] = oracle.resampled_directed(*features, weights_N)
                gulp[r, a] = oracle.resampled_gulp(*features, weights_N)
        similarity = node + centred_weight * centred + 2.0 * edge
        similarity += directed_weight * directed + gulp_weight * gulp
        if not directed_weight:
            assert not {"directed", "gulp"} & set(result.scores)
        for samples, name in (
            (node, "node_similarity"),
            (centred, "node_centred"),
            (edge, "edge_similarity"),
            (directed, "directed"),
            (gulp, "gulp"),
            (similarity, "similarity"),
        ):
            if name not in result.scores:
                continue
            low, high = np.quantile(samples[1:], (0.05, 0.95), axis=0)
            expected = {"value_AB": samples[0], "low_AB": low, "high_AB": high}
            for field, values in expected.items():
                found = getattr(result.scores[name], field)[:, place]
                # With itself, a node similarity is cut off at 1 before it is centred.
                atol = np.where(np.arange(len(LABELS)) == target, 5e-4, 1e-5)
                assert (np.abs(found - values) <= atol).all(), (name, field)
        others = [p for p in OUTPUTS if p != target]
        ranks = [
            oracle.ranks_by_name({LABELS[p].model_id: row[p] for p in others})
            for row in similarity.tolist()
        ]
        assert result.model is not None
        for p in others:
            found = [row[LABELS[p].model_id] for row in ranks]
            assert result.model.ranks.rank_AB[p, place] == found[0]
            low, high = np.quantile(found[1:], 0.05), np.quantile(found[1:], 0.95)
            assert result.model.ranks.low_AB[p, place] == np.floor(low)
            assert result.model.ranks.high_AB[p, place] == np.ceil(high)
            p_first = np.mean([rank == 1 for rank in found[1:]])
            assert result.model.ranks.p_first_AB[p, place] == pytest.approx(p_first)


def test_gulp_of_all_probes_is_the_score_itself(block: ArrayBlock):
    found = analyse(block, terms={"gulp": 1.0}).scores["gulp"].value_AB
    for source in range(len(LABELS)):
        for place, target in enumerate(OUTPUTS):
            grams = block.read_grams(source), block.read_grams(target)
            own = float(gulp_source(grams[0]) @ gulp_target(grams[1]))
            assert found[source, place] == pytest.approx(own, abs=2e-6)


def test_layers_are_ranked_by_their_own_sum_and_models_as_before(block: ArrayBlock):
    terms, layer_terms = {"node": 1.0, "edge": 2.0}, {"edge": 1.0, "gulp": 3.0}
    alone, both = analyse(block, terms=terms), analyse(block, terms=terms, layer_terms=layer_terms)
    other = analyse(block, terms=layer_terms)
    assert "layer_similarity" not in alone.scores
    for field in ("value_AB", "low_AB", "high_AB"):
        of_layers = getattr(both.scores["layer_similarity"], field)
        np.testing.assert_allclose(of_layers, getattr(other.scores["similarity"], field), rtol=1e-5)
        of_models = getattr(both.scores["similarity"], field)
        np.testing.assert_array_equal(of_models, getattr(alone.scores["similarity"], field))
    assert both.model is not None
    assert alone.model is not None
    assert both.layer_ranks is not None
    assert other.layer_ranks is not None
    assert alone.layer_ranks is not None
    for field in ("rank_AB", "low_AB", "high_AB", "p_first_AB"):
        of_models = getattr(both.model.ranks, field)
        np.testing.assert_array_equal(of_models, getattr(alone.model.ranks, field))
        of_layers = getattr(both.layer_ranks, field)
        np.testing.assert_array_equal(of_layers, getattr(other.layer_ranks, field))
    assert (both.layer_ranks.rank_AB != alone.layer_ranks.rank_AB).any()


def test_a_weight_of_the_centred_term_needs_the_centre(block: ArrayBlock):
    with pytest.raises(ValueError, match="give the centre of the zoo"):
        analyse(block, terms={"node_centred": 1.0})
    with pytest.raises(ValueError, match="give the centre of the zoo"):
        analyse(block, layer_terms={"node_centred": 1.0})
    assert "node_centred" not in analyse(block).scores


def test_exactly_one_candidate_is_first_in_every_resample(block: ArrayBlock):
    result = analyse(block)
    assert result.model is not None
    assert result.layer_ranks is not None
    np.testing.assert_allclose(result.model.ranks.p_first_AB.sum(axis=0), 1)
    np.testing.assert_allclose(result.layer_ranks.p_first_AB.sum(axis=0), 3)  # three other models
    for ranks in (result.model.ranks, result.layer_ranks):
        assert (ranks.low_AB <= ranks.high_AB).all()
        np.testing.assert_array_equal(ranks.rank_AB > 0, ranks.low_AB > 0)
    own = np.array([[a.model_id == LABELS[b].model_id for b in OUTPUTS] for a in LABELS])
    np.testing.assert_array_equal(result.layer_ranks.rank_AB == 0, own)


def test_a_seed_fixes_the_result_and_another_moves_it(block: ArrayBlock):
    first, again = analyse(block), analyse(block)
    np.testing.assert_array_equal(
        first.scores["similarity"].low_AB, again.scores["similarity"].low_AB
    )
    assert first.model is not None
    assert again.model is not None
    np.testing.assert_array_equal(first.model.ranks.p_first_AB, again.model.ranks.p_first_AB)
    np.testing.assert_array_equal(
        first.model.stability.correlation_FDB, again.model.stability.correlation_FDB
    )
    other = analyse(block, settings=replace(SETTINGS, seed=3))
    assert (first.scores["similarity"].low_AB != other.scores["similarity"].low_AB).any()
    np.testing.assert_array_equal(
        first.scores["similarity"].value_AB, other.scores["similarity"].value_AB
    )


def test_blocks_order_and_memory_change_nothing(block: ArrayBlock):
    whole = analyse(block)
    assert whole.model is not None
    assert whole.layer_ranks is not None
    order = np.random.default_rng(0).permutation(len(LABELS)).tolist()
    shuffled = analyse(block, order, OUTPUTS[::-1], memory_bytes=256 << 10)
    assert shuffled.model is not None
    assert shuffled.layer_ranks is not None
    np.testing.assert_allclose(
        shuffled.scores["similarity"].low_AB,
        whole.scores["similarity"].low_AB[order][:, ::-1],
        atol=1e-5,
    )
    for found, expected in (
        (shuffled.model.ranks, whole.model.ranks),
        (shuffled.layer_ranks, whole.layer_ranks),
    ):
        np.testing.assert_array_equal(found.rank_AB, expected.rank_AB[order][:, ::-1])
        np.testing.assert_allclose(found.p_first_AB, expected.p_first_AB[order][:, ::-1], atol=0.03)
    one_model = [place for place, label in enumerate(LABELS) if label.model_id == "m1"]
    part = analyse(block, one_model, OUTPUTS[:2], rankings=("layer",))
    assert part.model is None
    assert part.layer_ranks is not None
    np.testing.assert_array_equal(
        part.layer_ranks.rank_AB, whole.layer_ranks.rank_AB[one_model][:, :2]
    )


def test_wrong_labels_are_refused(block: ArrayBlock):
    with pytest.raises(ValueError, match="12 sources and 4 targets need as many labels, got 11"):
        block_uncertainty(
            block,
            block.part(OUTPUTS),
            sources=LABELS[:-1],
            targets=[LABELS[place] for place in OUTPUTS],
            num_probes=NUM_PROBES,
            terms={"node": 1.0, "edge": 2.0},
            memory_bytes=PLENTY_BYTES,
        )
    with pytest.raises(ValueError, match="'layer3' of model 'm3' is no output graph"):
        analyse(block, targets=[0])


def test_a_zoo_of_one_model_has_scores_but_no_rankings(block: ArrayBlock):
    own = [place for place, label in enumerate(LABELS) if label.model_id == "m3"]
    result = analyse(block, own, own[-1:])
    assert result.model is not None
    assert result.layer_ranks is not None
    assert not result.model.ranks.rank_AB.any()
    assert not result.layer_ranks.rank_AB.any()
    assert np.isnan(result.model.stability.correlation_FDB).all()
    assert np.isfinite(result.scores["similarity"].low_AB).all()


def test_the_summary_stays_within_the_limit():
    zoo = [Label(f"m{place:03}", "output", 0, True) for place in range(120)]
    block = random_block(120, 12, 4)
    settings = UncertaintySettings(num_resamples=400, num_subsets=5)
    arguments: dict[str, Any] = {
        "num_probes": 12,
        "terms": {"node": 1.0, "edge": 2.0},
        "settings": settings,
        "sources": zoo,
        "targets": zoo[:5],
    }
    cosines = np.random.default_rng(0).random((120, 12), np.float32)
    centre = Centre.of_zoo(cosines, np.ones_like(cosines), [True] * 120)
    arguments["centre"] = BlockCentre(centre, centre.rows(range(5)))
    arguments["terms"] = {"node": 1.0, "edge": 1.0, "directed": 1.0}
    limit_bytes = int(2 * 4 * 120 * 5 * 411 * 1.0) + 40 * 120 * 411 + (256 << 10)
    tracemalloc.start()
    block_uncertainty(block, block.part(slice(5)), memory_bytes=limit_bytes, **arguments)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert limit_bytes / 2 < peak < limit_bytes


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"num_resamples": 0}, "at least 1 resample"),
        ({"fractions": (0.5, 1.0)}, "between 0 and 1"),
        ({"num_subsets": -1}, "at least 0"),
        ({"seed": -1}, "at least 0"),
    ],
)
def test_settings_out_of_range_are_refused(fields: dict[str, Any], match: str):
    with pytest.raises(ValueError, match=match):
        UncertaintySettings(**fields)


def test_of_chosen_pairs_each_target_ranks_its_own_candidates(block: ArrayBlock) -> None:
    """As if each target were alone with them; the others are in no ranking and no table."""
    models = [label.model_id for label in LABELS]
    names = sorted(set(models))
    chosen = {0: names[1:3], 1: names[2:], 2: names[:2], 3: [names[0]]}
    wanted_AB = np.array([[model in chosen[b] for b in range(len(OUTPUTS))] for model in models])
    whole = analyse(block, wanted_AB=wanted_AB)
    assert whole.model is not None
    assert whole.layer_ranks is not None
    for column, target in enumerate(OUTPUTS):
        rows = [place for place in range(len(LABELS)) if wanted_AB[place, column]]
        alone = analyse(block, rows, [target])
        assert alone.model is not None
        assert alone.layer_ranks is not None
        for found, expected in (
            (whole.model.ranks, alone.model.ranks),
            (whole.layer_ranks, alone.layer_ranks),
        ):
            for name in ("rank_AB", "low_AB", "high_AB", "p_first_AB"):
                one, other = getattr(found, name)[:, column], getattr(expected, name)[:, 0]
                np.testing.assert_array_equal(one[rows], other)
            assert not found.rank_AB[~wanted_AB[:, column], column].any()
        for name, score in alone.scores.items():
            np.testing.assert_allclose(
                whole.scores[name].low_AB[rows, column], score.low_AB[:, 0], atol=1e-6
            )
    target = LABELS[OUTPUTS[2]].model_id
    some = whole.of_targets([target])
    assert some is not None
    tables = uncertainty_tables([some])
    for name in ("uncertainty", "rank_uncertainty"):
        assert set(tables[name]["source_model"].to_pylist()) == set(chosen[2]) - {target}
