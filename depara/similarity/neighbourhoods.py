"""Scores that compare each probe's neighbourhood by itself, and then take the mean over the probes.

``N`` probes, ``k`` nearest neighbours.

A vector holds an ``N x N`` matrix, row by row: row ``i`` is what a graph says of probe ``i`` and
the others. Neither matrix is symmetric, though the score is: both graphs have the same vector as a
source and as a target.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from depara.grams import GraphGrams
from depara.similarity.grams import cosine_matrix
from depara.similarity.layouts import SQUARE
from depara.types import Float32, Float64

COSINES = replace(SQUARE, own=1)
"""Rows of cosines less their mean off the diagonal, and that mean behind them."""

NEAREST = 20
"""``k``. The score needs ``k + 2`` probes: with fewer all others are neighbours of each."""


def mutual_knn_vector(grams: GraphGrams) -> Float32:
    """Returns the mask of each probe's ``k`` nearest others over ``sqrt(N k)``: ``N N``.

    The inner product of two masks counts the neighbours that both graphs name, hence over ``N k``
    their mean share (Huh et al., "The Platonic Representation Hypothesis", ICML 2024).
    Near is what has a high cosine of raw features less their mean over the probes; theirs are
    not centred, and one direction that all probes share would then decide. Free of rotations,
    shift and isotropic scale. Every row has ``k`` ones, so that a random order of one graph's
    probes gives ``k / (N - 1)`` on average, whatever the graphs.
    """
    gram_NN = grams.centred_NN
    if not gram_NN.any():
        return np.zeros(gram_NN.size, dtype=np.float32)
    is_near_NN = nearest(cosine_matrix(gram_NN), NEAREST)
    vector = is_near_NN.ravel().astype(np.float32)
    vector /= np.float32(math.sqrt(len(gram_NN) * NEAREST))
    return vector


def nearest(similarity_NN: Float64, count: int) -> NDArray[np.bool_]:
    """Returns for each row which ``count`` other probes are most similar: boolean ``N N``.

    Values are compared in single precision, in which equal probes are equal; among equal ones the
    first in order are taken.
    """
    values_NN = similarity_NN.astype(np.float32)
    np.fill_diagonal(values_NN, -np.inf)
    place = len(values_NN) - count
    last_N1 = np.partition(values_NN, place, axis=1)[:, place, None]
    is_near_NN: NDArray[np.bool_] = values_NN > last_N1
    is_tied_NN = values_NN == last_N1
    free_N1 = count - is_near_NN.sum(axis=1, keepdims=True)
    is_near_NN |= is_tied_NN & (np.cumsum(is_tied_NN, axis=1, dtype=np.int32) <= free_N1)
    return is_near_NN


def lsim_vector(grams: GraphGrams) -> Float32:
    """Returns the rows of raw features' cosines, each over its norm and ``sqrt(N)``: ``N N + 1``.

    A probe's cosine with itself is set to 0. The inner product of two graphs is the mean over the
    probes of the cosine of their rows (Chen et al., "Graph-Based Similarity of Neural Network
    Representations", 2021). Free of rotations and of each probe's scale. Cosines are of features
    as they are, as in the paper: where all are positive, as after a ReLU, the score of any two
    graphs is high. What tells them apart is then small; so that single precision keeps it, the mean
    value off the diagonal is taken out and stands behind the matrix, over its own norm: the inner
    product is the same.
    """
    count = grams.num_probes
    if not grams.centred_NN.any():
        return np.zeros(COSINES.length(count), dtype=np.float32)
    cosine_NN = cosine_matrix(grams.raw_NN)
    np.fill_diagonal(cosine_NN, 0.0)
    norms_N = np.linalg.norm(cosine_NN, axis=1)
    norms_N[norms_N == 0] = 1.0  # a probe that is like no other
    cosine_NN /= norms_N[:, None] * math.sqrt(count)
    pairs = count * (count - 1)
    mean = cosine_NN.sum() / pairs
    cosine_NN -= mean
    np.fill_diagonal(cosine_NN, 0.0)
    return np.append(cosine_NN, mean * math.sqrt(pairs)).astype(np.float32)
