"""Maps less the zoo's mean map: against stacked vectors, and what must not change it."""

from __future__ import annotations

import numpy as np
import pytest

from depara.similarity.centre import Centre, centred_matrix, map_sums, products_with
from depara.similarity.centre_table import centre_of_table, centre_table
from depara.similarity.stored import GraphRef
from depara.types import ProbeRange
from tests.oracle.uncertainty import resampled_node_centred
from tests.similarity.engine.array_block import ArrayBlock, random_block

NUM_PROBES = 12
WHOLE = ProbeRange(0, NUM_PROBES)
RANKED = [True, False, True, True, False, True]
PLACES = [place for place, is_ranked in enumerate(RANKED) if is_ranked]


def centre_of(block: ArrayBlock, is_ranked: list[bool]) -> Centre:
    places = [place for place, ranked in enumerate(is_ranked) if ranked]
    mean_NP = map_sums(block.part(places), WHOLE) / np.float32(len(places))
    return Centre.of_zoo(*products_with(block, WHOLE, mean_NP), is_ranked)


def node_matrix(block: ArrayBlock) -> np.ndarray:
    stacked = block.maps_GNP.reshape(block.num_graphs, -1).astype(np.float64)
    return stacked @ stacked.T / NUM_PROBES


def test_it_is_the_cosine_of_the_stacked_maps_less_their_mean():
    block = random_block(6, NUM_PROBES, 20)
    centre = centre_of(block, RANKED)
    found_AB = centred_matrix(node_matrix(block)[:, PLACES], centre, centre.rows(PLACES))
    mean_NP = block.maps_GNP[PLACES].astype(np.float64).mean(axis=0)
    for source in range(6):
        for column, target in enumerate(PLACES):
            maps = block.maps_GNP[source], block.maps_GNP[target]
            expected = resampled_node_centred(*maps, mean_NP, np.ones(NUM_PROBES))
            assert found_AB[source, column] == pytest.approx(expected, abs=2e-6)
    np.testing.assert_allclose(found_AB[PLACES].diagonal(), 1, atol=1e-6)


def test_a_map_that_all_models_share_changes_only_the_plain_term():
    block = random_block(6, NUM_PROBES, 20)
    # Orthogonal pixels that all have in common, each map again of unit norm.
    shared = np.ones((6, NUM_PROBES, 4), np.float16) / 2
    is_there = (block.maps_GNP.astype(np.float64) ** 2).sum(axis=2, keepdims=True) > 0.5
    maps = np.concatenate([block.maps_GNP, shared * is_there], axis=2) / np.sqrt(2)
    with_shared = ArrayBlock(maps.astype(np.float16), block.edges_GE)
    keep = is_there.all(axis=(0, 2))
    plain, mixed = (ArrayBlock(one.maps_GNP[:, keep], one.edges_GE) for one in (block, with_shared))
    probes = ProbeRange(0, int(keep.sum()))
    assert len(probes) > 3
    found = []
    for one in (plain, mixed):
        mean_NP = map_sums(one.part(PLACES), probes) / np.float32(len(PLACES))
        centre = Centre.of_zoo(*products_with(one, probes, mean_NP), RANKED)
        stacked = one.maps_GNP.reshape(6, -1).astype(np.float64)
        node_AB = stacked @ stacked.T / len(probes)
        found.append((node_AB, centred_matrix(node_AB, centre, centre)))
    assert (found[1][0] > found[0][0] - 1e-3).all()
    np.testing.assert_allclose(found[1][1], found[0][1], atol=3e-3)  # maps in float16


def test_a_zoo_of_one_model_has_nothing_left():
    block = random_block(3, NUM_PROBES, 20)
    centre = centre_of(block, [False, True, False])
    found_AB = centred_matrix(node_matrix(block), centre, centre)
    assert (found_AB[1] == 0).all()
    assert (found_AB[:, 1] == 0).all()
    assert np.isfinite(found_AB).all()


def test_two_models_are_opposite():
    block = random_block(2, NUM_PROBES, 20)
    centre = centre_of(block, [True, True])
    found_AB = centred_matrix(node_matrix(block), centre, centre)
    np.testing.assert_allclose(found_AB, [[1, -1], [-1, 1]], atol=1e-5)


def test_the_table_keeps_it():
    block = random_block(6, NUM_PROBES, 20)
    centre = centre_of(block, RANKED)
    graphs = [GraphRef(f"m{n}", "code", 0, f"k{n}", ranked) for n, ranked in enumerate(RANKED)]
    again = centre_of_table(centre_table(graphs, centre), RANKED)
    np.testing.assert_array_equal(again.cosines_GN, centre.cosines_GN)
    np.testing.assert_array_equal(again.squares_GN, centre.squares_GN)
    np.testing.assert_array_equal(again.mean_squares_N, centre.mean_squares_N)
