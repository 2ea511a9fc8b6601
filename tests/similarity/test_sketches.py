"""Sketches against the definition, and how far their estimates are off."""

from __future__ import annotations

import math

import numpy as np
import pytest

from depara.similarity.condensed import condense
from depara.similarity.sketches import (
    CUT_CELLS,
    MAP_CELLS,
    PAIR_CELLS,
    cut_cells,
    cut_maps,
    cut_vector,
    map_cosines,
    map_places,
    node_variance,
    pair_places,
    probe_groups,
    probe_seeds,
    product_variance,
    sketch_maps,
    sketch_vector,
)
from depara.store.sketches import Cells, GraphSketch
from tests.oracle import sketches as oracle
from tests.oracle.similarity import node_similarity, unit_maps

NUM_PROBES, NUM_PIXELS = 24, 700


def ids(trial: int, count: int = NUM_PROBES) -> list[str]:
    return [f"{trial}:{probe}" for probe in range(count)]


def two_graphs(seed: int, share: float = 0.6) -> tuple[np.ndarray, np.ndarray]:
    """Unit maps of two graphs that have something in common."""
    rng = np.random.default_rng(seed)
    shared, *own = rng.normal(size=(3, NUM_PROBES, NUM_PIXELS))
    one, other = (unit_maps(share * shared + (1 - share) * mine) for mine in own)
    return one, other


def sketched(maps_NP: np.ndarray, names: list[str]) -> GraphSketch:
    places_NP = map_places(probe_seeds(names), maps_NP.shape[1])
    return GraphSketch(Cells.of(sketch_maps(maps_NP, places_NP)), {}, {}, {})


def test_cells_are_those_of_the_definition() -> None:
    names, (maps_NP, _) = ids(0, 5), two_graphs(0)
    maps_NP = maps_NP[:5]
    got = sketch_maps(maps_NP, map_places(probe_seeds(names), NUM_PIXELS))
    due = [
        oracle.map_sketch(map_P, name, MAP_CELLS)
        for map_P, name in zip(maps_NP, names, strict=True)
    ]
    np.testing.assert_allclose(got, due, atol=1e-12)
    matrix_NN = np.random.default_rng(1).normal(size=(5, 5)).astype(np.float32)
    edges_E = matrix_NN[np.triu_indices(5, 1)]
    places_E = pair_places(probe_seeds(names), with_diagonal=False)
    got_Q = sketch_vector(edges_E, places_E)
    np.testing.assert_allclose(got_Q, oracle.pair_sketch(matrix_NN, names, PAIR_CELLS), atol=1e-12)


def test_rounding_to_int8_is_a_hundredth_of_the_deviation() -> None:
    cells = np.random.default_rng(0).normal(size=(50, MAP_CELLS)) / math.sqrt(MAP_CELLS)
    rounded = Cells.of(cells)
    assert rounded.values.dtype == np.int8
    tops = np.abs(cells).max(axis=1, keepdims=True)
    assert (np.abs(rounded.floats() - cells) <= tops / 127 / 2 * 1.001).all()
    off_n = np.einsum("nk,nk->n", rounded.floats() - cells, np.roll(cells, 1, axis=0))
    assert off_n.std() < 0.015 / math.sqrt(MAP_CELLS)
    nothing = Cells.of(np.zeros((2, MAP_CELLS)))
    assert not nothing.floats().any()


def test_the_node_similarity_is_estimated_without_bias_and_as_near_as_is_said() -> None:
    one, other = two_graphs(2)
    exact = node_similarity(one, other)
    pairs = [(sketched(one, ids(t)), sketched(other, ids(t))) for t in range(150)]
    cosines = np.array([map_cosines(a, b) for a, b in pairs])
    off = cosines.mean(axis=1) - exact
    rows = list(zip(one, other, strict=True))
    variance = sum(oracle.variance(a, b, MAP_CELLS) for a, b in rows) / NUM_PROBES**2
    deviation = math.sqrt(variance)
    assert abs(off.mean()) < 4 * deviation / math.sqrt(len(off))
    assert off.std() == pytest.approx(deviation, rel=0.2)  # 4 of its own deviations
    rho = np.array([float(a.astype(float) @ b.astype(float)) for a, b in rows])
    bound = math.sqrt((1 + (rho**2).mean()) / (NUM_PROBES * MAP_CELLS))
    assert deviation < bound
    said = np.sqrt([node_variance(cosines_N) for cosines_N in cosines])
    assert said.mean() > 0.99 * bound
    assert (np.abs(said / bound - 1) < 0.05).all()


def test_the_errors_of_probes_are_independent() -> None:
    one, other = two_graphs(3)
    exact_N = np.einsum("np,np->n", one.astype(float), other.astype(float))
    trials = 300
    off = np.array(
        [map_cosines(sketched(one, ids(t)), sketched(other, ids(t))) for t in range(trials)]
    )
    correlation_NN = np.corrcoef((off - exact_N).T)
    np.fill_diagonal(correlation_NN, 0)
    assert abs(correlation_NN.mean()) < 4 / math.sqrt(trials * NUM_PROBES**2 / 2)
    assert np.abs(correlation_NN).max() < 5 / math.sqrt(trials)


@pytest.mark.parametrize("with_diagonal", [False, True])
def test_vectors_of_pairs_are_estimated_without_bias(with_diagonal: bool) -> None:
    rng = np.random.default_rng(4)
    count = 40
    shared, *own = rng.normal(size=(3, count, count))
    vectors = []
    for mine in own:
        matrix_NN = shared + mine + (shared + mine).T
        if with_diagonal:
            vector_V = condense(matrix_NN)
        else:
            vector_V = matrix_NN[np.triu_indices(count, 1)].astype(np.float32)
        vectors.append(vector_V / np.linalg.norm(vector_V))
    exact = float(vectors[0] @ vectors[1])
    off, cut = [], []
    for trial in range(400):
        places_V = pair_places(probe_seeds(ids(trial, count)), with_diagonal=with_diagonal)
        a, b = (sketch_vector(vector_V, places_V) for vector_V in vectors)
        off.append(float(a @ b) - exact)
        cut.append(float(cut_vector(a) @ cut_vector(b)) - exact)
    for errors, cells in ((off, PAIR_CELLS), (cut, CUT_CELLS)):
        bound = math.sqrt(product_variance(1.0, 1.0, exact, cells))
        assert abs(np.mean(errors)) < 4 * bound / math.sqrt(len(errors))
        assert np.std(errors) < 1.15 * bound
        assert np.std(errors) > 0.7 * bound


@pytest.mark.parametrize("count", [5, 16, 24])
def test_the_first_cut_is_a_sketch_of_all_maps_as_one_vector(count: int) -> None:
    one, other = (maps[:count] for maps in two_graphs(5))
    exact, off = node_similarity(one, other), []
    for trial in range(200):
        names = ids(trial, count)
        groups_N = probe_groups(names)
        a, b = (cut_maps(sketched(maps, names).maps.floats(), groups_N) for maps in (one, other))
        off.append(float(a @ b) - exact)
    cells = cut_cells(groups_N)
    assert cells <= CUT_CELLS
    # Probes of one group share no hash: only what is of one probe has the term <a, b>^2.
    bound = math.sqrt(product_variance(1.0, 1.0, exact, cells))
    assert abs(np.mean(off)) < 4 * bound / math.sqrt(len(off))
    assert np.std(off) < 1.2 * bound
    assert np.std(off) > 0.7 * bound


def test_the_order_of_probes_does_not_matter() -> None:
    names, (maps_NP, _) = ids(7), two_graphs(7)
    order = np.random.default_rng(0).permutation(NUM_PROBES)
    mixed_names, mixed_NP = [names[place] for place in order], maps_NP[order]
    whole, mixed = sketched(maps_NP, names).maps, sketched(mixed_NP, mixed_names).maps
    np.testing.assert_array_equal(whole.values[order], mixed.values)
    groups, mixed_groups = probe_groups(names), probe_groups(mixed_names)
    np.testing.assert_array_equal(groups[order], mixed_groups)
    np.testing.assert_allclose(
        cut_maps(whole.floats(), groups), cut_maps(mixed.floats(), mixed_groups), atol=1e-6
    )
    matrix_NN = np.random.default_rng(1).normal(size=(NUM_PROBES, NUM_PROBES))
    matrix_NN += matrix_NN.T
    for skip in (0, 1):
        found = []
        for where, these in ((np.arange(NUM_PROBES), names), (order, mixed_names)):
            values = matrix_NN[np.ix_(where, where)][np.triu_indices(NUM_PROBES, skip)]
            places_V = pair_places(probe_seeds(these), with_diagonal=not skip)
            found.append(sketch_vector(values.astype(np.float32), places_V))
        np.testing.assert_allclose(found[0], found[1], atol=1e-5)
