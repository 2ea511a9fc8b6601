"""Resampled scores against explicit resampling, their invariances, memory and refusals."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from depara.errors import ConfigError, NonFiniteError, StoreError
from depara.similarity import similarity_tile
from depara.types import Float32
from depara.uncertainty import ResampledScores, node_cosines, resampled_scores
from depara.uncertainty.edge_batch import active_edges
from depara.uncertainty.footprint import ResamplingFootprint
from depara.uncertainty.weights import probe_weights
from tests.oracle import uncertainty as oracle
from tests.similarity.engine.array_block import ArrayBlock, random_block
from tests.uncertainty.zoo import tied_block

PLENTY_BYTES = 1 << 30
NUM_PROBES = 18
WEIGHTS = probe_weights(NUM_PROBES, num_resamples=20, subset_probes=(9,), num_subsets=3).weights_RN


@pytest.fixture(scope="module")
def block() -> ArrayBlock:
    return tied_block(9, NUM_PROBES)


def footprint(source: ArrayBlock, target: ArrayBlock, weights_RN: Float32) -> ResamplingFootprint:
    return ResamplingFootprint(
        num_sources=source.num_graphs,
        num_targets=target.num_graphs,
        num_probes=weights_RN.shape[1],
        num_pixels=source.num_pixels,
        active_edges=tuple(sorted(active_edges(weights_RN).tolist(), reverse=True)),
    )


def assert_same(scores: ResampledScores, expected: ResampledScores) -> None:
    np.testing.assert_allclose(scores.node_BAR, expected.node_BAR, atol=1e-6)
    np.testing.assert_allclose(scores.edge_BAR, expected.edge_BAR, atol=2e-6)


def test_scores_agree_with_explicit_resampling(block: ArrayBlock):
    source, target = block.part(slice(0, 6)), block.part(slice(4, 9))
    scores = resampled_scores(source, target, WEIGHTS, memory_bytes=PLENTY_BYTES)
    assert scores.node_BAR.shape == scores.edge_BAR.shape == (5, 6, 24)
    for b in range(5):
        for a in range(6):
            for r in range(0, 24, 5):
                maps = source.maps_GNP[a], target.maps_GNP[b]
                node = oracle.resampled_node_similarity(*maps, WEIGHTS[r])
                assert scores.node_BAR[b, a, r] == pytest.approx(node, abs=1e-6)
                edges = source.edges_GE[a], target.edges_GE[b]
                edge = oracle.resampled_edge_similarity(*edges, WEIGHTS[r])
                assert scores.edge_BAR[b, a, r] == pytest.approx(edge, abs=2e-6)


def test_the_first_row_is_the_scans_own_score(block: ArrayBlock):
    scores = resampled_scores(block, block, WEIGHTS, memory_bytes=PLENTY_BYTES)
    tile = similarity_tile(block, block, num_probes=NUM_PROBES, memory_bytes=PLENTY_BYTES)
    np.testing.assert_allclose(scores.node_BAR[:, :, 0].T, tile.node_AB, atol=1e-6)
    np.testing.assert_allclose(scores.edge_BAR[:, :, 0].T, tile.edge_AB, atol=2e-6)


def test_zero_maps_and_constant_edges_score_zero(block: ArrayBlock):
    blank = ArrayBlock(np.zeros_like(block.maps_GNP[:1]), block.edges_GE[:1])
    scores = resampled_scores(blank, block, WEIGHTS, memory_bytes=PLENTY_BYTES)
    np.testing.assert_array_equal(scores.node_BAR, 0)
    np.testing.assert_array_equal(scores.edge_BAR, 0)


def test_permuting_probes_with_their_weights_changes_nothing(block: ArrayBlock):
    order = np.random.default_rng(3).permutation(NUM_PROBES)
    upper = np.triu_indices(NUM_PROBES, k=1)
    squares = np.zeros((9, NUM_PROBES, NUM_PROBES), dtype=np.float32)
    squares[:, upper[0], upper[1]] = block.edges_GE
    squares += squares.transpose(0, 2, 1)
    permuted = ArrayBlock(
        block.maps_GNP[:, order], squares[:, order][:, :, order][:, upper[0], upper[1]]
    )
    weights = np.ascontiguousarray(WEIGHTS[:, order])
    assert_same(
        resampled_scores(permuted, permuted, weights, memory_bytes=PLENTY_BYTES),
        resampled_scores(block, block, WEIGHTS, memory_bytes=PLENTY_BYTES),
    )


def test_known_cosines_give_the_same_scores_without_any_map():
    block = tied_block(9, NUM_PROBES)
    source, target = block.part(slice(9), [5, 6]), block.part(slice(4))
    expected = resampled_scores(block, target, WEIGHTS, memory_bytes=PLENTY_BYTES)
    target.maps_read.clear()
    cosines = node_cosines(list(source.maps_GNP), list(target.maps_GNP))
    scores = resampled_scores(
        source, target, WEIGHTS, memory_bytes=PLENTY_BYTES, cosines_ABN=cosines
    )
    assert_same(scores, expected)
    assert source.maps_read == target.maps_read == []
    with pytest.raises(AssertionError):
        resampled_scores(
            source, target, WEIGHTS, memory_bytes=PLENTY_BYTES, cosines_ABN=cosines[:, :3]
        )


def test_permuting_graphs_permutes_scores(block: ArrayBlock):
    order = np.random.default_rng(4).permutation(9)
    expected = resampled_scores(block, block.part(slice(3)), WEIGHTS, memory_bytes=PLENTY_BYTES)
    scores = resampled_scores(
        block.part(order), block.part(slice(3)), WEIGHTS, memory_bytes=PLENTY_BYTES
    )
    permuted = ResampledScores(expected.node_BAR[:, order], expected.edge_BAR[:, order])
    assert_same(scores, permuted)


@pytest.mark.parametrize("cuts", [None, [1], [5, 6, 17]])
@pytest.mark.parametrize("spare", [0.0, 0.1, 0.5])
def test_memory_and_ranges_change_the_steps_but_not_the_scores(
    block: ArrayBlock, cuts: list[int] | None, spare: float
):
    source, target = block.part(slice(9), cuts), block.part(slice(4))
    expected = resampled_scores(block, block.part(slice(4)), WEIGHTS, memory_bytes=PLENTY_BYTES)
    shape = footprint(source, target, WEIGHTS)
    limit_bytes = int(shape.min_bytes * (1 + spare))
    steps = shape.edge_steps(limit_bytes)
    assert steps != shape.edge_steps(PLENTY_BYTES)
    assert_same(resampled_scores(source, target, WEIGHTS, memory_bytes=limit_bytes), expected)
    assert sorted(source.edges_read) == list(range(9))
    assert sorted(target.edges_read) == list(range(4))


def peak_bytes(source: ArrayBlock, target: ArrayBlock, weights: Float32, limit_bytes: int) -> int:
    tracemalloc.start()
    scores = resampled_scores(source, target, weights, memory_bytes=limit_bytes)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.isfinite(scores.edge_BAR).all()
    return peak


@pytest.mark.parametrize("kind", ["distinct", "pairs", "constant"])
def test_edges_stay_within_the_limit(kind: str):
    edges = np.random.default_rng(0).random((30, 4950)).astype(np.float32)
    if kind == "pairs":
        edges[:, 1::2] = edges[:, :-1:2]
    elif kind == "constant":
        edges[:] = 0.5
    graphs = ArrayBlock(np.zeros((30, 100, 2), dtype=np.float16), edges)
    target = graphs.part(slice(3))
    weights = probe_weights(100, num_resamples=20).weights_RN
    least_bytes = footprint(graphs, target, weights).min_bytes
    for limit_bytes in (least_bytes, 2 << 20):
        peak = peak_bytes(graphs, target, weights, limit_bytes)
        assert limit_bytes / 2.5 < peak < limit_bytes
    assert footprint(graphs, target, weights).edge_steps(2 << 20).chunk < 30


def test_maps_stay_within_the_limit():
    rng = np.random.default_rng(0)
    maps = (rng.standard_normal((40, 40, 3000), dtype=np.float32) / 80).astype(np.float16)
    graphs = ArrayBlock(maps, np.zeros((40, 780), dtype=np.float32))
    target = graphs.part(slice(5))
    weights = probe_weights(40, num_resamples=50).weights_RN
    limit_bytes = 4 << 20
    assert maps.nbytes > 2 * limit_bytes
    peak = peak_bytes(graphs, target, weights, limit_bytes)
    assert limit_bytes / 3 < peak < limit_bytes


def test_a_block_that_does_not_fit_says_what_it_needs(block: ArrayBlock):
    least = footprint(block, block, WEIGHTS).min_bytes
    with pytest.raises(ConfigError, match=f"24 resamples of 9 x 9 .* {least:,} bytes.*fewer tar"):
        resampled_scores(block, block, WEIGHTS, memory_bytes=least - 1)


def test_damaged_graphs_are_refused(block: ArrayBlock):
    def refused(broken: ArrayBlock, error: type[Exception], match: str) -> None:
        with pytest.raises(error, match=match):
            resampled_scores(broken, block, WEIGHTS, memory_bytes=PLENTY_BYTES)

    maps, edges = block.maps_GNP, block.edges_GE
    refused(
        ArrayBlock(maps[:, :, 1:], edges), ConfigError, "source maps have 29 px, target maps 30"
    )
    refused(ArrayBlock(maps[:, 1:], edges), StoreError, "do not cover probes 0 to 18")
    refused(ArrayBlock(maps.astype(np.float32), edges), StoreError, "expected float16 .* float32")
    refused(ArrayBlock(maps, edges[:, 1:]), StoreError, r"edges of graph 0 .* \(153,\), got .*152")
    bad_maps, bad_edges = maps.copy(), edges.copy()
    bad_maps[4, 7, 3], bad_edges[5, 3] = 30, np.nan
    refused(ArrayBlock(bad_maps, edges), StoreError, "source 4 .* probe 7.* not of unit norm")
    refused(ArrayBlock(maps, bad_edges), NonFiniteError, "graph 5 of the block: 1 of 153 edges")


def test_an_error_of_a_reader_reaches_the_caller():
    class Broken(ArrayBlock):
        def read_edges(self, graph):
            if graph == 2:
                raise OSError("gone")
            return super().read_edges(graph)

    block = random_block(4, NUM_PROBES, 5)
    broken = Broken(block.maps_GNP, block.edges_GE)
    with pytest.raises(OSError, match="gone"):
        resampled_scores(broken, block, WEIGHTS, memory_bytes=PLENTY_BYTES)
