"""A tile against the pair loop of the paper, its invariances, its memory and its refusals."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from scipy.stats import rankdata

from depara.errors import ConfigError, NonFiniteError, StoreError
from depara.graph import edges_from_gram
from depara.similarity import Footprint, TileScores, edge_tile, similarity_tile
from depara.similarity.engine import footprint
from tests.oracle import similarity as oracle
from tests.oracle.mantel import over_all_orders
from tests.oracle.similarity import unit_maps
from tests.similarity.engine.array_block import ArrayBlock, random_block

PLENTY_BYTES = 1 << 30
NUM_PROBES = 24


@pytest.fixture(scope="module")
def block() -> ArrayBlock:
    return random_block(9, NUM_PROBES, 50)


def tile(source: ArrayBlock, target: ArrayBlock, memory_bytes: int = PLENTY_BYTES) -> TileScores:
    return similarity_tile(
        source, target, num_probes=source.maps_GNP.shape[1], memory_bytes=memory_bytes
    )


def assert_same(scores: TileScores, expected: TileScores, tolerance: float = 1e-6) -> None:
    np.testing.assert_allclose(scores.node_AB, expected.node_AB, atol=tolerance, rtol=0)
    np.testing.assert_allclose(scores.edge_AB, expected.edge_AB, atol=tolerance, rtol=0)
    np.testing.assert_allclose(scores.edge_z_AB, expected.edge_z_AB, atol=1e4 * tolerance)


@pytest.mark.parametrize("symmetric", [True, False])
def test_scores_agree_with_the_pair_loop(block: ArrayBlock, symmetric: bool):
    source, target = (
        (block, block) if symmetric else (block.part(slice(4)), block.part(slice(4, 9)))
    )
    scores = tile(source, target)
    for a in range(source.num_graphs):
        for b in range(target.num_graphs):
            # Rounding to float16 leaves norms that differ from 1; cosines divide by them.
            node = oracle.node_similarity(source.maps_GNP[a], target.maps_GNP[b])
            assert scores.node_AB[a, b] == pytest.approx(node, abs=1e-4)
            sums = source.maps_GNP[a].astype(np.float64) * target.maps_GNP[b].astype(np.float64)
            mean = min(sums.sum() / NUM_PROBES, 1.0)
            assert scores.node_AB[a, b] == pytest.approx(mean, abs=1e-6)
            edge = oracle.edge_similarity(source.edges_GE[a], target.edges_GE[b])
            assert scores.edge_AB[a, b] == pytest.approx(edge, abs=1e-6)


@pytest.mark.parametrize("symmetric", [True, False])
def test_the_edges_of_a_tile_alone_are_the_same_and_read_no_maps(symmetric: bool):
    both = random_block(9, NUM_PROBES, 50)
    source, target = (both, both) if symmetric else (both.part(slice(4)), both.part(slice(4, 9)))
    edge_AB, z_AB = edge_tile(source, target, num_probes=NUM_PROBES, memory_bytes=PLENTY_BYTES)
    assert not source.maps_read
    assert not target.maps_read
    np.testing.assert_array_equal(edge_AB, tile(source, target).edge_AB)
    np.testing.assert_array_equal(z_AB, tile(source, target).edge_z_AB)


def test_the_edges_of_a_tile_alone_must_fit(block: ArrayBlock):
    with pytest.raises(ConfigError, match=r"9 x 4 graphs and 24 probes needs .* smaller tiles"):
        edge_tile(block, block.part(slice(4)), num_probes=NUM_PROBES, memory_bytes=1000)


def test_float16_costs_less_than_1e_4():
    """Scores of the stored maps against those of the float64 maps they came from."""
    rng = np.random.default_rng(5)
    raw = rng.standard_normal((4, 10, 400)) + rng.standard_normal((10, 400))
    features = rng.standard_normal((4, 10, 30))
    maps = np.stack([unit_maps(graph) for graph in raw])
    edges = np.stack([edges_from_gram(graph @ graph.T) for graph in features])
    scores = tile(graphs := ArrayBlock(maps, edges), graphs)
    for a in range(4):
        for b in range(4):
            exact = oracle.node_similarity(raw[a], raw[b])
            assert scores.node_AB[a, b] == pytest.approx(exact, abs=1e-4)
            exact = oracle.edge_similarity(oracle.edges(features[a]), oracle.edges(features[b]))
            assert scores.edge_AB[a, b] == pytest.approx(exact, abs=1e-4)


def test_symmetric_tile_equals_the_full_one_and_reads_once(block: ArrayBlock):
    source = block.part(slice(9))
    scores = tile(source, source)
    np.testing.assert_array_equal(scores.node_AB, scores.node_AB.T)
    np.testing.assert_allclose(scores.edge_AB, scores.edge_AB.T, atol=1e-12)
    assert source.maps_read == [(probes, graph) for probes in source.ranges() for graph in range(9)]
    assert source.edges_read == list(range(9))
    assert_same(tile(block, block.part(slice(9))), scores)


def test_swapping_source_and_target_transposes(block: ArrayBlock):
    few, many = block.part(slice(2)), block.part(slice(2, 9))
    forward, backward = tile(few, many), tile(many, few)
    assert_same(TileScores(*(each.T.copy() for each in vars(backward).values())), forward)


@pytest.mark.parametrize("source_cuts", [None, [1], [5, 6, 23], list(range(1, 24))])
@pytest.mark.parametrize("target_cuts", [None, [12], [5, 7]])
def test_ranges_do_not_change_scores_or_order(
    block: ArrayBlock, source_cuts: list[int] | None, target_cuts: list[int] | None
):
    expected = tile(block, block)
    source, target = block.part(slice(9), source_cuts), block.part(slice(9), target_cuts)
    scores = tile(source, target)
    assert_same(scores, expected)
    order = [np.argsort(s.node_AB + 2 * s.edge_AB, axis=0) for s in (scores, expected)]
    np.testing.assert_array_equal(*order)
    for probes, _ in source.maps_read:
        assert any(r.start <= probes.start and probes.stop <= r.stop for r in source.ranges())


def test_block_sizes_do_not_change_scores(block: ArrayBlock):
    expected = tile(block, block)
    for size in (1, 2, 4):
        for a in range(0, 9, size):
            for b in range(0, 9, size):
                rows, columns = slice(a, a + size), slice(b, b + size)
                part = tile(block.part(rows), block.part(columns))
                cut = TileScores(*(each[rows, columns] for each in vars(expected).values()))
                assert_same(part, cut)


@pytest.mark.parametrize("shape", [(9, 9), (3, 9), (9, 3)])
def test_memory_limit_changes_the_steps_but_not_the_scores(
    block: ArrayBlock, shape: tuple[int, int]
):
    source, target = block.part(slice(shape[0])), block.part(slice(shape[1]))
    least = Footprint(*shape, num_probes=NUM_PROBES, num_pixels=50).min_bytes
    scores = tile(source, target, least)
    assert len(source.maps_read) == NUM_PROBES * shape[0]
    assert sorted(source.edges_read) == list(range(shape[0]))
    assert sorted(target.edges_read) == list(range(shape[1]))
    assert_same(scores, tile(source, target))


@pytest.mark.parametrize("group", [1, 4])
@pytest.mark.parametrize("shape", [(3, 9), (9, 3)])
def test_groups_of_passing_graphs_do_not_change_scores(
    block: ArrayBlock, shape: tuple[int, int], group: int, monkeypatch: pytest.MonkeyPatch
):
    source, target = block.part(slice(shape[0])), block.part(slice(shape[1]))
    expected = tile(source, target)
    monkeypatch.setattr(footprint, "MAX_EDGE_GROUP", group)
    assert_same(tile(source, target), expected)


def test_permuting_probes_changes_nothing(block: ArrayBlock):
    order = np.random.default_rng(3).permutation(NUM_PROBES)
    upper = np.triu_indices(NUM_PROBES, k=1)
    squares = np.zeros((9, NUM_PROBES, NUM_PROBES), dtype=np.float32)
    squares[:, upper[0], upper[1]] = block.edges_GE
    squares += squares.transpose(0, 2, 1)
    edges = squares[:, order][:, :, order][:, upper[0], upper[1]]
    permuted = ArrayBlock(block.maps_GNP[:, order], edges)
    assert_same(tile(permuted, permuted), tile(block, block))


def test_scaling_attributions_changes_nothing():
    rng = np.random.default_rng(4)
    raw = rng.standard_normal((3, 6, 40)).astype(np.float32)
    edges = rng.random((3, 15)).astype(np.float32)
    scores = []
    for scales in (np.ones((3, 6, 1)), 10.0 ** rng.integers(-20, 20, (3, 6, 1))):
        maps = np.stack([unit_maps(g) for g in raw * scales.astype(np.float32)])
        scores.append(tile(graphs := ArrayBlock(maps, edges), graphs))
    assert_same(scores[0], scores[1], tolerance=1e-4)


def test_zero_maps_and_constant_edges_count_as_zero():
    maps = np.zeros((2, 3, 4), dtype=np.float16)
    maps[:, :2, 1] = 1  # probe 2 has zero maps in both graphs
    edges = np.array([[0.1, 0.2, 0.3], [0.5, 0.5, 0.5]], dtype=np.float32)
    scores = tile(graphs := ArrayBlock(maps, edges), graphs)
    np.testing.assert_allclose(scores.node_AB, 2 / 3)
    np.testing.assert_allclose(scores.edge_AB, [[1, 0], [0, 0]], atol=1e-6)


def test_ties_share_their_ranks():
    maps = np.ones((2, 3, 1), dtype=np.float16)
    edges = np.array([[1, 1, 2], [1, 2, 3]], dtype=np.float32) / 4
    scores = tile(graphs := ArrayBlock(maps, edges), graphs)
    assert scores.edge_AB[0, 1] == pytest.approx(3**0.5 / 2, abs=1e-6)


def test_hand_made_graphs_come_in_the_papers_order():
    """Attending to the same pixels beats half of them, which beats others; likewise for edges."""
    maps = np.zeros((4, 4, 6))
    maps[0, :, :2] = maps[1, :, :2] = 1  # the target, and one that attends alike
    maps[2, :2, :2] = maps[2, 2:, 2:4] = 1  # alike on half of the probes
    maps[3, :, 4:] = 1  # elsewhere
    edges = np.array(
        [[1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 6, 5], [2, 1, 4, 3, 6, 5], [6, 5, 4, 3, 2, 1]],
        dtype=np.float32,
    )
    unit = np.stack([unit_maps(graph) for graph in maps])
    graphs = ArrayBlock(unit, edges / 8)
    scores = tile(graphs, graphs.part(slice(1)))
    np.testing.assert_allclose(scores.node_AB[:, 0], [1, 1, 0.5, 0], atol=1e-3)
    np.testing.assert_allclose(scores.edge_AB[:, 0], [1, 33 / 35, 29 / 35, -1], atol=1e-6)
    assert np.argsort(-(scores.node_AB + 2 * scores.edge_AB)[:, 0]).tolist() == [0, 1, 2, 3]


def test_edges_are_as_far_from_chance_as_all_orders_of_the_probes_say():
    rng = np.random.default_rng(0)
    edges = rng.uniform(-1, 1, (3, 10)).astype(np.float32)
    graphs = ArrayBlock(np.ones((3, 5, 1), dtype=np.float16), edges)
    for targets in (slice(0, 1), slice(3)):  # the resident block is that of targets, of sources
        scores = tile(graphs, graphs.part(targets))
        for a in range(3):
            for b in range(*targets.indices(3)):
                matrices = [np.zeros((5, 5)), np.zeros((5, 5))]
                for matrix, graph in zip(matrices, (a, b), strict=True):
                    matrix[np.triu_indices(5, 1)] = rankdata(edges[graph]) - 5.5
                    matrix += matrix.T
                mean, deviation = over_all_orders(*matrices)
                value = np.sum(matrices[0] * matrices[1])
                expected = (value - mean) / deviation
                assert scores.edge_z_AB[a, b] == pytest.approx(expected, abs=1e-4)


def peak_bytes(source: ArrayBlock, target: ArrayBlock, limit_bytes: int) -> int:
    tracemalloc.start()
    tile(source, target, limit_bytes)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


@pytest.mark.parametrize("symmetric", [True, False])
def test_maps_stream_within_the_limit(symmetric: bool):
    rng = np.random.default_rng(0)
    maps = (rng.standard_normal((60, 40, 3000), dtype=np.float32) / 55).astype(np.float16)
    graphs = ArrayBlock(maps, np.zeros((60, 780), dtype=np.float32))
    source, target = (
        (graphs, graphs) if symmetric else (graphs.part(slice(30)), graphs.part(slice(30, 60)))
    )
    limit_bytes = 6 << 20
    assert maps.nbytes > 2 * limit_bytes
    peak = peak_bytes(source, target, limit_bytes)
    assert limit_bytes / 3 < peak < limit_bytes


@pytest.mark.parametrize("shape", [(80, 80), (8, 80), (80, 8)])
def test_ranks_pass_by_within_the_limit(shape: tuple[int, int]):
    edges = np.random.default_rng(0).random((80, 44_850)).astype(np.float32)
    graphs = ArrayBlock(np.zeros((80, 300, 2), dtype=np.float16), edges)
    source, target = (graphs.part(slice(size)) for size in shape)
    if shape[0] == shape[1]:
        target = source
    symmetric = shape[0] == shape[1]
    least = Footprint(*shape, num_probes=300, num_pixels=2, symmetric=symmetric).min_bytes
    limit_bytes = least + 8 * 4 * edges.shape[1]
    assert peak_bytes(source, target, limit_bytes) < limit_bytes
    if shape[0] != shape[1]:
        assert limit_bytes < edges.nbytes


def test_a_tile_that_does_not_fit_says_what_it_needs(block: ArrayBlock):
    least = Footprint(9, 9, NUM_PROBES, 50, symmetric=True).min_bytes
    tile(block, block, least)
    with pytest.raises(ConfigError, match=f"needs {least:,} bytes.*compute.memory"):
        tile(block, block, least - 1)


def test_maps_of_another_size_are_refused(block: ArrayBlock):
    with pytest.raises(ConfigError, match="50 px, target maps 49"):
        tile(block, ArrayBlock(block.maps_GNP[:, :, :49], block.edges_GE))


@pytest.mark.parametrize("probes", [slice(0, 23), slice(1, 24)])
def test_missing_probes_are_refused(block: ArrayBlock, probes: slice):
    class Gap(ArrayBlock):
        def ranges(self):
            return [
                r for r in super().ranges() if r.start >= probes.start and r.stop <= probes.stop
            ]

    broken = Gap(block.maps_GNP, block.edges_GE, cuts=[1, 23])
    with pytest.raises(StoreError, match="do not cover probes 0 to 24"):
        tile(block, broken)


def test_damaged_arrays_are_named(block: ArrayBlock):
    short = ArrayBlock(block.maps_GNP, block.edges_GE[:, :-1])
    with pytest.raises(StoreError, match=r"edges of graph 0 .* \(276,\), got float32 .* \(275,\)"):
        tile(short, short)
    wide = ArrayBlock(block.maps_GNP.astype(np.float32), block.edges_GE)
    with pytest.raises(StoreError, match=r"expected float16 .* got float32"):
        tile(wide, wide)
    bad = ArrayBlock(block.maps_GNP, block.edges_GE.copy())
    bad.edges_GE[5, 3] = np.nan
    with pytest.raises(NonFiniteError, match=r"graph 5 .* 1 of 276 edges"):
        tile(bad, bad)


@pytest.mark.parametrize("value", [np.inf, np.nan, 30.0])
def test_maps_that_are_not_of_unit_norm_are_refused(block: ArrayBlock, value: float):
    damaged = ArrayBlock(block.maps_GNP.copy(), block.edges_GE)
    damaged.maps_GNP[4, 7, 3] = value
    with pytest.raises(StoreError, match=r"(source|target) 4 .* not of unit norm"):
        tile(damaged, damaged)


def test_maps_of_too_few_graphs_are_refused(block: ArrayBlock):
    class Short(ArrayBlock):
        def read_maps(self, probes, graphs):
            return super().read_maps(probes, graphs)[:-1]

    short = Short(block.maps_GNP, block.edges_GE)
    with pytest.raises(StoreError, match=r"8 graphs .* from graph 0 on, .* got 7"):
        tile(short, short)


def test_an_error_of_a_reader_reaches_the_caller(block: ArrayBlock):
    class Broken(ArrayBlock):
        def read_maps(self, probes, graphs):
            if probes.start:
                raise OSError("gone")
            return super().read_maps(probes, graphs)

    broken = Broken(block.maps_GNP, block.edges_GE, cuts=[8, 16])
    with pytest.raises(OSError, match="gone"):
        tile(block, broken)
