"""The neighbour scores of a tile: the same as pair by pair, whatever the groups."""

from __future__ import annotations

import numpy as np
import pytest

from depara.catalog import SCORES, z_column
from depara.config.similarity import SimilarityConfig
from depara.grams import GraphGrams
from depara.similarity.engine.score_tile import _group_size, score_tile
from depara.similarity.mantel import moments, z_scores
from depara.similarity.scores import find_vectors, score_and_product, score_vectors
from depara.store.schemas import CALIBRATED, NEIGHBOURS, pair_columns
from tests.oracle.grams import grams_of

NUM_PROBES = 24
NAMES = list(SCORES)


@pytest.fixture(scope="module")
def grams() -> list[GraphGrams]:
    rng = np.random.default_rng(0)
    return [grams_of(rng.normal(size=(NUM_PROBES, 20))) for _ in range(5)]


def test_every_pair_has_the_score_of_its_own_vectors(grams: list[GraphGrams]) -> None:
    sources, targets = grams[:3], grams[2:]
    got = score_tile(
        NAMES, sources.__getitem__, 3, targets.__getitem__, 3,
        num_probes=NUM_PROBES, memory_bytes=2**30,
    )  # fmt: skip
    for name in NAMES:
        for row, source in enumerate(sources):
            for column, target in enumerate(targets):
                pair, product = score_and_product(
                    name,
                    score_vectors(name, source, "source")[None],
                    score_vectors(name, target, "target")[None],
                )
                assert got[name][row, column] == pytest.approx(pair[0, 0], abs=1e-6)
                layout = find_vectors(name).layout
                of_source, of_target = (
                    moments(score_vectors(name, one, role)[None], layout, NUM_PROBES)
                    for one, role in ((source, "source"), (target, "target"))
                )
                z = z_scores(product, of_source, of_target)[0, 0]
                assert got[z_column(name)][row, column] == pytest.approx(z, rel=1e-4, abs=1e-3)
        assert got[z_column(name)].dtype == np.float32
        if name != "directed":
            assert got[name][2, 0] == pytest.approx(1, abs=1e-5)
            assert got[z_column(name)][2, 0] > 3  # itself is not there by chance


def test_groups_change_nothing_and_follow_the_memory(grams: list[GraphGrams]) -> None:
    def tile(memory_bytes: int) -> dict[str, np.ndarray]:
        return score_tile(
            NAMES, grams.__getitem__, 5, grams.__getitem__, 5,
            num_probes=NUM_PROBES, memory_bytes=memory_bytes,
        )  # fmt: skip

    small, large = tile(1), tile(2**30)
    for name in NAMES:
        np.testing.assert_allclose(small[name], large[name], atol=1e-6)
        z = z_column(name)
        np.testing.assert_allclose(small[z], large[z], rtol=1e-4, atol=1e-3)
    assert _group_size(NAMES, NUM_PROBES, 1) == 1
    assert _group_size(["rsa", "dds"], 1000, 4 * 2**30) > 400
    halves = _group_size(["rsa"], 1000, 2**30) / _group_size(["lsim"], 1000, 2**30)
    assert halves == pytest.approx(2, rel=0.05)  # a square has twice the values


def test_a_score_with_too_few_probes_is_missing() -> None:
    grams = grams_of(np.random.default_rng(0).normal(size=(3, 5)))
    got = score_tile(
        ["cka", "dds"], lambda graph: grams, 1, lambda graph: grams, 1,
        num_probes=3, memory_bytes=2**20,
    )  # fmt: skip
    assert np.isnan(got["cka"]).all()
    assert np.isnan(got["cka_z"]).all()
    assert np.isfinite(got["dds"]).all()


def test_scan_file_and_table_know_the_same_scores() -> None:
    assert SimilarityConfig().scores == NAMES == list(NEIGHBOURS)
    assert list(CALIBRATED) == [z_column(name) for name in ("edge_similarity", *NAMES)]
    assert set(pair_columns(NAMES)) == {
        "node_similarity", "edge_similarity", *NEIGHBOURS, *CALIBRATED
    }  # fmt: skip
