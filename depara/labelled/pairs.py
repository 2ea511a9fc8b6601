"""Scores from pairs of probes: are probes of one class each other's nearest, and the most alike?

``N`` labelled probes, ``K`` classes, ``E = N(N-1)/2`` pairs.
"""

from __future__ import annotations

import numpy as np
import scipy

from depara.grams import ROUNDING
from depara.labelled.features import LabelledFeatures
from depara.similarity.grams import cosine_matrix, pearson_matrix
from depara.types import Float64

NEIGHBOURS = 5
"""``k``, the neighbours that vote on a probe's class, count."""


def knn(features: LabelledFeatures) -> float:
    """Returns the leave-one-out accuracy of the ``k = 5`` nearest neighbours, 0 to 1.

    Neighbours are the other probes of the highest cosine of raw features; the class with most of
    the votes wins. What is tied is not settled by order: probes that tie for the last places (to
    1e-6) share them, and a tie of ``c`` classes counts ``1/c`` where the true one is among them, so
    that neither the probes' order nor the labels' names matter. A class of one probe can only be
    missed.
    """
    cosine_NN = cosine_matrix(features.raw_NN)
    np.fill_diagonal(cosine_NN, -np.inf)
    last = features.num_probes - NEIGHBOURS
    last_N = np.partition(cosine_NN, last, axis=1)[:, last]
    is_sure_NN = cosine_NN > last_N[:, None] + ROUNDING
    is_tied_NN = np.abs(cosine_NN - last_N[:, None]) <= ROUNDING
    places_N = NEIGHBOURS - is_sure_NN.sum(axis=1)
    votes_NN = is_sure_NN + is_tied_NN * (places_N / is_tied_NN.sum(axis=1))[:, None]
    votes_NK = votes_NN @ features.indicators_NK
    wins_NK = votes_NK >= votes_NK.max(axis=1, keepdims=True) - ROUNDING
    return float(np.mean((wins_NK * features.indicators_NK).sum(axis=1) / wins_NK.sum(axis=1)))


def lfc(features: LabelledFeatures) -> float:
    """Returns the correlation of the features' inner products with being of one class, -1 to 1.

    Pearson's, over all ``N^2`` entries of the raw Gram matrix and of the matrix that is 1 for two
    probes of one class and -1 for two others (Deshpande et al., "A linearized framework and a new
    benchmark for model selection for fine-tuning", 2021, with the features' kernel; their other
    one is the gradients'). 1 for features that are the one-hot labels. NaN when all inner products
    are equal.
    """
    same_NN = features.indicators_NK @ features.indicators_NK.T
    same_NN = same_NN - same_NN.mean()
    gram_NN = features.raw_NN - features.raw_NN.mean()
    scale = float(np.sqrt(np.square(gram_NN).sum() * np.square(same_NN).sum()))
    if scale <= ROUNDING * float(np.square(features.raw_NN).sum()) ** 0.5:
        return float("nan")
    return float(np.clip((gram_NN * same_NN).sum() / scale, -1.0, 1.0))


def parc(features: LabelledFeatures) -> float:
    """Returns the rank correlation of the features' and the labels' pairwise dissimilarities.

    Spearman's rho over the ``E`` pairs of ``1 - Pearson`` of two probes' raw features with ``1 -
    Pearson`` of their one-hot labels (Bolya et al., NeurIPS 2021), -1 to 1. The latter has two
    values and rho is free of monotone maps, so "of the same class" stands for it. NaN when all
    pairs are equally alike. Free of each probe's own shift and positive scale.
    """
    return _rank_agreement(
        features, pearson_matrix(features.raw_NN, features.raw_sums_N, features.num_features)
    )


def parc_zscore(features: LabelledFeatures) -> float:
    """Returns the same as `parc` of z-scored features, as in the authors' code.

    Means and deviations are those of all the graph's probes, labelled or not. Their code can first
    reduce features to principal components; that is left out, since correlations over components
    depend on their arbitrary signs.
    """
    return _rank_agreement(
        features,
        pearson_matrix(features.zscored_NN, features.zscored_sums_N, features.num_features),
    )


def _rank_agreement(features: LabelledFeatures, likeness_NN: Float64) -> float:
    """Returns Spearman's rho of likeness with being of the same class, over all pairs."""
    first_E, second_E = np.triu_indices(features.num_probes, k=1)
    is_same_E = features.class_N[first_E] == features.class_N[second_E]
    # Single precision makes equal what only rounding parts.
    ranks_E = scipy.stats.rankdata(likeness_NN[first_E, second_E].astype(np.float32))
    deviation = float(ranks_E.std())
    share = float(is_same_E.mean())
    if deviation == 0.0 or share in (0.0, 1.0):
        return float("nan")
    gap = ranks_E[is_same_E].mean() - ranks_E[~is_same_E].mean()
    return float(np.clip(gap / deviation * np.sqrt(share * (1 - share)), -1.0, 1.0))
