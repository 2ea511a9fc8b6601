"""Places in the plane: known points are found again, up to what distances cannot tell."""

from __future__ import annotations

import numpy as np
import pytest

from depara.pictures.layout import (
    layout_stress,
    mds,
    mds_positions,
    pairwise_distances,
    procrustes,
    strongest_edges,
)


@pytest.fixture
def points() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(30, 2)) * (3, 1)


def test_known_points_are_found_up_to_rotation_and_mirroring(points: np.ndarray) -> None:
    wanted = pairwise_distances(points)
    places = mds(wanted)
    np.testing.assert_allclose(pairwise_distances(places), wanted, atol=1e-6)
    np.testing.assert_allclose(procrustes(places, points), points, atol=1e-6)
    assert layout_stress(places, wanted) < 1e-6


def test_the_layout_is_turned_the_same_way_each_time(points: np.ndarray) -> None:
    places = mds(pairwise_distances(points))
    turned = mds(pairwise_distances(points @ [[0, 1], [-1, 0]] * [1, -1] + 5))
    np.testing.assert_allclose(turned, places, atol=1e-6)
    np.testing.assert_allclose(places.mean(axis=0), 0, atol=1e-12)
    assert places[:, 0].std() > places[:, 1].std()
    assert (places.max(axis=0) == np.abs(places).max(axis=0)).all()


def test_smacof_lowers_the_stress_of_distances_that_no_plane_has() -> None:
    features = np.random.default_rng(1).normal(size=(40, 12))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    edges = features @ features.T
    places = mds_positions(edges)
    values, vectors = np.linalg.eigh(edges - edges.mean(0) - edges.mean(1)[:, None] + edges.mean())
    classical = vectors[:, -2:] * np.sqrt(values[-2:])
    assert places.shape == (40, 2)
    assert layout_stress(places, 1 - edges) < 0.8 * layout_stress(classical, 1 - edges)


def test_probes_that_are_alike_stand_together() -> None:
    edges = np.full((6, 6), 0.1)
    edges[:3, :3] = edges[3:, 3:] = 0.9
    np.fill_diagonal(edges, 1)
    steps = pairwise_distances(mds_positions(edges))
    assert steps[:3, :3].max() < steps[:3, 3:].min()


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_few_or_equal_probes_have_places_too(count: int) -> None:
    assert np.isfinite(mds_positions(np.ones((count, count)))).all()
    places = mds_positions(np.eye(count))
    assert places.shape == (count, 2)
    if count > 1:
        np.testing.assert_allclose(pairwise_distances(places), 1 - np.eye(count), atol=1e-3)


def test_the_strongest_edges_come_first_and_ties_by_the_pair() -> None:
    edges = np.eye(4, dtype=np.float32)
    for (a, b), value in {(0, 3): 0.9, (1, 2): 0.5, (0, 1): 0.5, (2, 3): -0.7}.items():
        edges[a, b] = edges[b, a] = value
    pairs, cosines = strongest_edges(edges, 3)
    assert pairs.tolist() == [[0, 3], [0, 1], [1, 2]]
    np.testing.assert_allclose(cosines, [0.9, 0.5, 0.5])
    assert len(strongest_edges(edges, 99)[0]) == 6


def test_procrustes_undoes_turn_mirror_scale_and_shift(points: np.ndarray) -> None:
    angle = 0.7
    turn = np.array([[np.cos(angle), np.sin(angle)], [np.sin(angle), -np.cos(angle)]])
    np.testing.assert_allclose(procrustes(3 * points @ turn + 4, points), points, atol=1e-12)
    same = procrustes(np.zeros((30, 2)), points)
    np.testing.assert_allclose(same, np.tile(points.mean(axis=0), (30, 1)))
