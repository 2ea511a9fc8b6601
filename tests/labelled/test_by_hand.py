"""The scores with labels on cases small enough to work out on paper."""

from __future__ import annotations

import math

import numpy as np
import pytest

from depara.labelled import LabelledFeatures
from depara.labelled.centres import margins, ncti
from depara.labelled.evidence import logme
from depara.labelled.fisher import sfda
from depara.labelled.mixture import nleep
from depara.labelled.pairs import knn, lfc, parc, parc_zscore
from depara.labelled.scatter import gbc, h_score, ledoit_wolf_shrinkage, transrate
from tests.oracle.grams import grams_of


def labelled(features: list[list[float]] | np.ndarray, labels: str) -> LabelledFeatures:
    """One letter per probe is its label."""
    return LabelledFeatures.select(grams_of(np.asarray(features, dtype=np.float64)), list(labels))


def directions(*degrees: float) -> list[list[float]]:
    return [[math.cos(math.radians(d)), math.sin(math.radians(d))] for d in degrees]


def test_knn_counts_probes_whose_five_nearest_are_mostly_of_their_class():
    # Each of the first seven has four or five of its own among its five nearest; the stray b at 4
    # degrees has none.
    features = directions(0, 1, 2, 3, 5, 80, 81, 83, 86, 88, 4)
    assert knn(labelled(features, "aaaaabbbbbb")) == pytest.approx(10 / 11)


def test_knn_draws_lots_between_classes_of_equal_votes():
    # The five neighbours of each of six probes are the five others.
    six = directions(0, 1, 3, 6, 10, 15)
    # Each sees two probes of either other class and one of its own.
    assert knn(labelled(six, "aabbcc")) == 0.0
    # An a sees three a and two b, a b sees four a.
    assert knn(labelled(six, "aaaabb")) == pytest.approx(4 / 6)
    # A b sees two a, two b and the c: half of the lots. An a and the c see three b.
    assert knn(labelled(six, "aabbbc")) == pytest.approx(3 * 0.5 / 6)


def test_knn_lets_probes_that_tie_for_the_last_places_share_them():
    # Four equal probes each: 3 of one's own are nearest, the other four share 2 places.
    features = [[1.0, 0.0]] * 4 + [[0.0, 1.0]] * 4
    assert knn(labelled(features, "aaaabbbb")) == 1.0
    # Of three equal probes, 2 of one's own and 3 places for the others.
    features = [[1.0, 0.0]] * 3 + [[0.0, 1.0]] * 4
    assert knn(labelled(features, "aaabbbb")) == pytest.approx(4 / 7)


def test_knn_compares_directions_not_distances():
    features = [[s * x, s * y] for s, (x, y) in enumerate(directions(*range(6)), 1)]
    features += [[100 * x, 100 * y] for x, y in directions(*range(80, 86))]
    assert knn(labelled(features, "aaaaaabbbbbb")) == 1.0


def test_logme_of_orthonormal_features_is_that_of_white_noise():
    # y ~ N(0, s I) whatever the weights: s = n_c / N, log p / N = -(log(2 pi s) + 1) / 2.
    expected = np.mean([-(math.log(2 * math.pi * share) + 1) / 2 for share in (0.5, 0.25, 0.25)])
    assert logme(labelled(np.eye(8), "aaaabbcc")) == pytest.approx(expected, abs=1e-4)


def test_logme_of_one_dimension_parts_what_it_explains_from_noise():
    # Along the unit feature y has 4 / sqrt(8), squared 2, of squared norm 4: the other 2 are noise
    # in 7 dimensions. Each part has its variance as in maximum likelihood: 2, and 2/7.
    along, across = math.log(2 * math.pi * 2) + 1, 7 * (math.log(2 * math.pi * 2 / 7) + 1)
    features = labelled([[1.0]] * 4 + [[-1.0]] * 4, "aaaabbbb")
    assert logme(features) == pytest.approx(-(along + across) / 16, abs=1e-4)


def test_h_score_of_one_dimension_is_the_between_class_share_of_variance():
    # Means 0.5 and 3.5 around 2: between 2.25, in all (4 + 1 + 1 + 4) / 4.
    features = labelled([[0.0], [1.0], [3.0], [4.0]], "aabb")
    assert ledoit_wolf_shrinkage(features) == 0.0
    assert h_score(features) == pytest.approx(2.25 / 2.5)


def test_h_score_shrinks_towards_the_identity():
    # x = (2, 0), (-2, 0), (0, 1), (0, -1): S = diag(2, 1/2), m = 5/4,
    # d2 = (9/16 + 9/16) / 2 = 9/16; b2 = (16 + 16 + 1 + 1 - 4 (4 + 1/4)) / 16 / 2 = 17/32.
    features = labelled([[2.0, 0.0], [-2.0, 0.0], [0.0, 1.0], [0.0, -1.0]], "abcc")
    shrinkage = (17 / 32) / (9 / 16)
    assert ledoit_wolf_shrinkage(features) == pytest.approx(shrinkage)
    # Class means (2, 0), (-2, 0), (0, 0): B = diag(2, 0).
    expected = (1 - shrinkage) * 2 / ((1 - shrinkage) * 2 + shrinkage * 5 / 4)
    assert h_score(features) == pytest.approx(expected)


def test_transrate_of_three_orthogonal_classes():
    # Centred and at total variance 1, two directions hold 1/2 each; a class is one point of norm 1.
    expected = math.log(1 + 0.5e4) - 0.5 * math.log(1 + 1e4)
    features = labelled(np.repeat(np.eye(3), 2, axis=0), "aabbcc")
    assert transrate(features) == pytest.approx(expected, rel=1e-9)
    assert expected == pytest.approx(3.9122, abs=1e-4)


def test_transrate_weighs_classes_by_their_probes():
    # In one dimension: -1, -1, -1, 3 has variance 3.
    features = labelled([[-1.0], [-1.0], [-1.0], [3.0]], "aaab")
    rates = [0.5 * math.log(1 + 1e4 * square / 3) for square in (3, 1, 9)]
    assert transrate(features) == pytest.approx(
        rates[0] - 0.75 * rates[1] - 0.25 * rates[2], rel=1e-9
    )


def test_nleep_is_the_purity_of_far_clusters():
    # Eight probes: two clusters. In the first, half and half; in the second, one a and three b.
    features = [[-1.0], [-1.01], [-1.02], [-1.03], [1.0], [1.01], [1.02], [1.03]]
    expected = (4 * math.log(0.5) + math.log(0.25) + 3 * math.log(0.75)) / 8
    assert nleep(labelled(features, "aabbabbb")) == pytest.approx(expected, abs=1e-6)
    assert nleep(labelled(features, "aaaabbbb")) == pytest.approx(0.0, abs=1e-6)


def test_nleep_of_equal_probes_in_fewer_clusters_than_asked_for():
    features = [[0.0, 0.0]] * 8 + [[1.0, 0.0]] * 8 + [[0.0, 2.0]] * 8
    assert nleep(labelled(features, "a" * 8 + "b" * 8 + "c" * 8)) == pytest.approx(0.0, abs=1e-6)
    assert nleep(labelled(features, "a" * 16 + "b" * 4 + "c" * 4)) == pytest.approx(
        8 * math.log(0.5) / 24, abs=1e-6
    )


def correlated(ranked_pairs: list[float]) -> LabelledFeatures:
    """Four probes ``aabb`` of unit variance whose six pairs correlate as given."""
    matrix_NN = np.eye(4)
    matrix_NN[np.triu_indices(4, k=1)] = ranked_pairs
    matrix_NN = np.maximum(matrix_NN, matrix_NN.T)
    return LabelledFeatures(
        raw_NN=matrix_NN,
        zscored_NN=-matrix_NN,
        raw_sums_N=np.zeros(4),
        zscored_sums_N=np.zeros(4),
        num_features=10,
        class_N=np.array([0, 0, 1, 1]),
        class_names=("a", "b"),
    )


def test_parc_is_the_correlation_of_ranks_with_being_of_one_class():
    # Pairs 01 02 03 12 13 23; of one class: 01 and 23, of ranks 6 and 4 among 1 to 6.
    features = correlated([0.9, 0.1, 0.2, 0.3, 0.6, 0.5])
    ranks, same = np.array([6, 1, 2, 3, 5, 4]), np.array([1, 0, 0, 0, 0, 1])
    assert parc(features) == pytest.approx(np.corrcoef(ranks, same)[0, 1])
    assert parc(features) == pytest.approx(0.62106, abs=1e-5)


def test_parc_gives_equal_pairs_their_mean_rank():
    # Ranks 5.5, 2, 2, 2, 4, 5.5.
    features = correlated([0.9, 0.1, 0.1, 0.1, 0.2, 0.9])
    ranks, same = np.array([5.5, 2, 2, 2, 4, 5.5]), np.array([1, 0, 0, 0, 0, 1])
    assert parc(features) == pytest.approx(np.corrcoef(ranks, same)[0, 1])


def test_parc_zscore_is_of_the_zscored_gram():
    grams = grams_of(np.random.default_rng(0).standard_normal((6, 5)))
    features = LabelledFeatures.select(grams, list("aabbcc"))
    swapped = LabelledFeatures(
        raw_NN=grams.zscored_NN,
        zscored_NN=grams.raw_NN,
        raw_sums_N=grams.zscored_sums_N,
        zscored_sums_N=grams.raw_sums_N,
        num_features=5,
        class_N=features.class_N,
        class_names=features.class_names,
    )
    assert parc_zscore(features) == parc(swapped)
    assert parc_zscore(features) != pytest.approx(parc(features), abs=0.01)


def test_gbc_is_the_overlap_of_bells():
    # Means 1 and 5, variances 1: D_B = 16 / 8.
    assert gbc(labelled([[0.0], [2.0], [4.0], [6.0]], "aabb")) == pytest.approx(-2 * math.exp(-2))
    # Means 0 and 5, variances 1 and 4, mean 5/2: D_B = 25 / 20 + log(5/2 / 2) / 2.
    expected = -2 * math.exp(-1.25) / math.sqrt(1.25)
    assert gbc(labelled([[-1.0], [1.0], [3.0], [7.0]], "aabb")) == pytest.approx(expected)


def test_gbc_counts_the_ratio_of_variances_in_every_dimension():
    # Same mean, two dimensions: variances 1/2 and 2 in each, mean 5/4: D_B = log(5/4).
    cross = [[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]
    features = labelled([*cross, *(2 * np.array(cross)).tolist()], "aaaabbbb")
    assert gbc(features) == pytest.approx(-2 / 1.25)


def test_gbc_of_classes_that_are_points_is_no_overlap():
    value = gbc(labelled([[0.0, 1.0]] * 3 + [[1.0, 0.0]] * 3, "aaabbb"))
    assert value == 0.0
    assert math.copysign(1, value) == 1


def test_lfc_is_the_correlation_of_products_with_signs():
    # Features 1, 1, -1 of classes a, a, b: products are 1 and -1 just where the signs are.
    assert lfc(labelled([[1.0], [1.0], [-1.0]], "aab")) == pytest.approx(1.0)
    # Classes a, b, a: products 1 1 -1 / 1 1 -1 / -1 -1 1 against signs 1 -1 1 / -1 1 -1 / 1 -1 1:
    # means 1/9 both, of their product 1/9, variance 1 - 1/81 of both.
    expected = (1 / 9 - 1 / 81) / (1 - 1 / 81)
    assert lfc(labelled([[1.0], [1.0], [-1.0]], "aba")) == pytest.approx(expected)


def test_margins_take_a_probe_out_of_its_own_centre():
    # To the other a at 2, against the b at 10; the b are 1 apart, 9 and 10 from the centre 1 of a.
    found = margins(labelled([[0.0], [2.0], [10.0], [11.0]], "aabb"))
    np.testing.assert_allclose(found, [2 - 10.5, 2 - 8.5, 1 - 9, 1 - 10])
    assert margins(labelled([[0.0], [2.0], [10.0]], "aab"))[2] == np.inf


def test_sfda_of_one_dimension_mixes_and_asks_again():
    # In one dimension the ridge is the variance within classes itself: log odds 2 x m / w.
    def s(value: float) -> float:
        return 1 / (1 + math.exp(-value))

    far, near = 1.5, 0.5  # class b; class a is its mirror image; means 1, variance within 1/4
    sure_far, sure_near = (s(s(8 * x) - s(-8 * x)) for x in (far, near))
    far, near = (p * x - (1 - p) for x, p in ((far, sure_far), (near, sure_near)))
    mean, within = (far + near) / 2, (far - near) ** 2 / 4
    expected = (s(2 * far * mean / within) + s(2 * near * mean / within)) / 2
    assert sfda(labelled([[-1.5], [-0.5], [0.5], [1.5]], "aabb")) == pytest.approx(expected)
    assert 0.6 < expected < 0.9


def test_ncti_of_a_line_of_three_classes():
    # In one dimension a class is one direction; the means 0, 4, 8 are no simplex: 1 / sqrt(2).
    features = labelled([[-1.0], [1.0], [3.0], [5.0], [7.0], [9.0]], "aabbcc")
    assert ncti(features) == pytest.approx(1 + 1 / math.sqrt(2) + 1)
