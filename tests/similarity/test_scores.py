"""The label-free scores: against slow oracles, invariances, and what is not defined."""

from __future__ import annotations

import numpy as np
import pytest

from depara.catalog import SCORES
from depara.grams import GraphGrams
from depara.similarity.neighbourhoods import NEAREST
from depara.similarity.scores import Role, find_vectors, score_block, score_vectors
from tests.oracle import scores as oracle
from tests.oracle.grams import grams_of

N = 40
SYMMETRIC = [name for name in SCORES if name != "directed"]
ONE_VECTOR = [name for name in SYMMETRIC if name != "gulp"]
OF_ZSCORED = ["rsa_zscore", "dds", "directed"]


def zoo(num_probes: int = N) -> list[np.ndarray]:
    """Features of four models that see some of the same ten things, at different widths."""
    rng = np.random.default_rng(0)
    seen = rng.standard_normal((num_probes, 10))
    widths = [(9, slice(0, 4)), (30, slice(0, 8)), (17, slice(3, 10)), (64, slice(8, 10))]
    return [
        np.maximum(seen[:, part] @ rng.standard_normal((part.stop - part.start, width)) + 0.3, -1)
        + 0.2 * rng.standard_normal((num_probes, width))
        for width, part in widths
    ]


def vectors(name: str, features: list[np.ndarray], role: Role) -> np.ndarray:
    return np.stack([score_vectors(name, grams_of(f), role) for f in features])


def scores(name: str, sources: list[np.ndarray], targets: list[np.ndarray]) -> np.ndarray:
    return score_block(name, vectors(name, sources, "source"), vectors(name, targets, "target"))


def random_rotation(size: int) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(5).standard_normal((size, size)))[0]


@pytest.mark.parametrize("name", SCORES)
def test_all_pairs_agree_with_the_paper_one_by_one(name: str):
    values_AB = scores(name, zoo()[:3], zoo())
    expected = [[oracle.SCORES[name](s, t) for t in zoo()] for s in zoo()[:3]]
    np.testing.assert_allclose(values_AB, expected, rtol=0, atol=1e-6)
    assert values_AB.dtype == np.float64
    assert np.ptp(values_AB) > 0.15  # the zoo tells scores apart


@pytest.mark.parametrize("name", SCORES)
def test_vectors_are_float32_of_the_stated_length(name: str):
    grams = grams_of(zoo()[0])
    for role in ("source", "target"):
        vector = score_vectors(name, grams, role)
        assert vector.dtype == np.float32
        assert vector.shape == (find_vectors(name).layout.length(N),)


@pytest.mark.parametrize("name", SYMMETRIC)
def test_a_symmetric_score_of_a_graph_with_itself_is_1(name: str):
    assert find_vectors(name).symmetric
    values_AA = scores(name, zoo(), zoo())
    np.testing.assert_allclose(np.diagonal(values_AA), 1.0, rtol=0, atol=1e-6)
    np.testing.assert_allclose(values_AA, values_AA.T, rtol=0, atol=1e-6)
    assert np.abs(values_AA).max() <= 1.0
    assert values_AA.min() >= SCORES[name].lowest


@pytest.mark.parametrize("name", ONE_VECTOR)
def test_the_same_block_twice_is_what_two_copies_give(name: str):
    one = vectors(name, zoo(), "source")
    np.testing.assert_allclose(
        score_block(name, one, one), score_block(name, one, one.copy()), rtol=0, atol=1e-6
    )


def test_directed_is_high_only_from_the_richer_model():
    rng = np.random.default_rng(0)
    rich = rng.standard_normal((200, 10))
    poor = rich[:, :3]
    values_AB = scores("directed", [rich, poor], [rich, poor])
    assert not find_vectors("directed").symmetric
    assert values_AB[0, 1] > 0.95
    assert values_AB[1, 0] < 0.35


def test_directed_falls_below_0_when_the_source_misleads():
    rng = np.random.default_rng(0)
    few = [rng.standard_normal((12, 3)) for _ in range(2)]
    assert scores("directed", few[:1], few[1:])[0, 0] < -0.05


def test_random_features_are_near_0_for_debiased_cka_and_not_for_the_biased_one():
    rng = np.random.default_rng(0)
    source, target = rng.standard_normal((60, 500)), rng.standard_normal((60, 400))
    assert oracle.biased_cka(source, target) > 0.8
    assert abs(scores("cka", [source], [target])[0, 0]) < 0.05


@pytest.mark.parametrize("name", SCORES)
def test_isotropic_scale_and_order_of_dimensions_do_not_matter(name: str):
    order = np.random.default_rng(2).permutation(zoo()[1].shape[1])
    changed = [0.01 * zoo()[0], 700 * zoo()[1][:, order]]
    np.testing.assert_allclose(
        scores(name, changed, changed), scores(name, zoo()[:2], zoo()[:2]), rtol=0, atol=1e-6
    )


@pytest.mark.parametrize("name", SCORES)
def test_order_of_probes_does_not_matter(name: str):
    order = np.random.default_rng(3).permutation(N)
    moved = [features[order] for features in zoo()]
    np.testing.assert_allclose(
        scores(name, moved, moved), scores(name, zoo(), zoo()), rtol=0, atol=1e-6
    )


@pytest.mark.parametrize("name", ["cka", "rbf_cka", "gulp", "mutual_knn"])
def test_scores_of_centred_raw_features_do_not_see_rotations_or_shifts(name: str):
    turned = [f @ random_rotation(f.shape[1]) + 5 for f in zoo()]
    np.testing.assert_allclose(
        scores(name, turned, zoo()), scores(name, zoo(), zoo()), rtol=0, atol=1e-6
    )


@pytest.mark.parametrize("name", ["dds", "directed"])
def test_scores_of_zscored_features_do_not_see_each_dimensions_scale_or_shift(name: str):
    rng = np.random.default_rng(4)
    changed = [f * rng.uniform(-9, 9, f.shape[1]) + rng.uniform(-9, 9, f.shape[1]) for f in zoo()]
    np.testing.assert_allclose(
        scores(name, changed, zoo()), scores(name, zoo(), zoo()), rtol=0, atol=1e-6
    )


def test_rsa_does_not_see_each_probes_shift_and_scale():
    rng = np.random.default_rng(4)
    changed = [f * rng.uniform(1, 9, (N, 1)) + rng.uniform(-9, 9, (N, 1)) for f in zoo()]
    np.testing.assert_allclose(
        scores("rsa", changed, zoo()), scores("rsa", zoo(), zoo()), rtol=0, atol=1e-6
    )


@pytest.mark.parametrize("name", OF_ZSCORED)
def test_sample_or_population_deviation_does_not_matter(name: str):
    vector = score_vectors(name, grams_of(zoo()[0]), "source")
    grams = grams_of(zoo()[0])
    sample = GraphGrams(
        raw_NN=grams.raw_NN,
        zscored_NN=grams.zscored_NN * (N - 1) / N,
        raw_sums_N=grams.raw_sums_N,
        zscored_sums_N=grams.zscored_sums_N * ((N - 1) / N) ** 0.5,
        num_features=grams.num_features,
    )
    np.testing.assert_allclose(score_vectors(name, sample, "source"), vector, rtol=0, atol=1e-7)


@pytest.mark.parametrize("name", SCORES)
@pytest.mark.parametrize(
    "constant",
    [
        np.zeros((N, 6)),
        np.full((N, 6), 0.1),
        np.tile(np.random.default_rng(0).standard_normal(6), (N, 1)),
    ],
    ids=["zero", "one value", "one probe"],
)
def test_constant_features_score_0_both_ways(name: str, constant: np.ndarray):
    assert (scores(name, [constant], [*zoo(), constant]) == 0).all()
    assert (scores(name, zoo(), [constant]) == 0).all()


@pytest.mark.parametrize("name", SCORES)
def test_grams_summed_in_single_precision_give_the_same_scores(name: str):
    singles, exact = [], []
    for features in zoo():
        grams = grams_of(features)
        singles.append(
            GraphGrams(
                raw_NN=grams.raw_NN.astype(np.float32).astype(np.float64),
                zscored_NN=grams.zscored_NN.astype(np.float32).astype(np.float64),
                raw_sums_N=grams.raw_sums_N.astype(np.float32).astype(np.float64),
                zscored_sums_N=grams.zscored_sums_N.astype(np.float32).astype(np.float64),
                num_features=grams.num_features,
            )
        )
        exact.append(grams)
    blocks = [
        score_block(
            name,
            np.stack([score_vectors(name, one, "source") for one in grams]),
            np.stack([score_vectors(name, one, "target") for one in grams]),
        )
        for grams in (singles, exact)
    ]
    # Equal ranks may part: rsa moves by whole ranks, mutual_knn by whole neighbours.
    moves = {"rsa": 1e-4, "rsa_zscore": 1e-4, "mutual_knn": 2 / (N * NEAREST)}
    np.testing.assert_allclose(*blocks, rtol=0, atol=moves.get(name, 2e-6))


@pytest.mark.parametrize("name", SCORES)
def test_the_fewest_probes_that_define_a_score_are_enough_and_fewer_are_refused(name: str):
    fewest = SCORES[name].min_probes
    assert fewest == {"cka": 4, "rbf_cka": 4, "mutual_knn": NEAREST + 2}.get(name, 2)
    values_AB = scores(name, zoo(fewest), zoo(fewest))
    assert np.isfinite(values_AB).all()
    assert (values_AB <= 1).all()
    if fewest > 2:
        words = f"{name} needs at least {fewest} probes, got {fewest - 1}"
        with pytest.raises(ValueError, match=words):
            score_vectors(name, grams_of(zoo(fewest - 1)[0]), "source")


def test_an_unknown_score_names_the_near_one():
    grams = grams_of(zoo()[0])
    with pytest.raises(ValueError, match=r"no score 'rsa_zscored'.*'rsa_zscore'"):
        score_vectors("rsa_zscored", grams, "source")
    with pytest.raises(ValueError, match=f"known: {', '.join(SCORES)}"):
        score_block("?", np.zeros((1, 3), np.float32), np.zeros((1, 3), np.float32))


def test_blocks_that_do_not_belong_together_are_refused():
    one = vectors("directed", zoo(), "source")
    with pytest.raises(ValueError, match="make both, by their role"):
        score_block("directed", one, one)
    with pytest.raises(ValueError, match="sources have 820 values, of targets 10"):
        score_block("dds", vectors("dds", zoo(), "source"), vectors("dds", zoo(4), "target"))


@pytest.mark.parametrize("name", SCORES)
def test_every_row_says_what_it_is_and_where_it_is_from(name: str):
    score = SCORES[name]
    assert score.meaning
    assert "\n" not in score.meaning
    assert any(character.isdigit() for character in score.reference)
    assert score.lowest in (-1.0, 0.0, -np.inf)
