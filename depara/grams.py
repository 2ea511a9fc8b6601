"""The Gram matrices of one graph's features: one value from the features to the scores.

``N`` probes, ``D`` features.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from depara.errors import NonFiniteError
from depara.types import Float64

ROUNDING = 1e-6
"""What single precision leaves of a value that should be 0, as a share of what it is made from."""

_UNCENTRED = 1e-3


@lru_cache(maxsize=4)
def upper_triangle(num_probes: int, skip: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Returns rows and columns of an ``N x N`` upper triangle, row by row, from diagonal ``skip``.

    All graphs of a scan have the same: they are kept, and cannot be written.
    """
    rows, columns = np.triu_indices(num_probes, skip)
    rows.flags.writeable = columns.flags.writeable = False
    return rows, columns


@lru_cache(maxsize=2)
def triangle_places(num_probes: int) -> NDArray[np.intp]:
    """Returns where each pair stands in a triangle with its diagonal: ``N N``, symmetric."""
    rows, columns = upper_triangle(num_probes, 0)
    places_NN = np.empty((num_probes, num_probes), dtype=np.intp)
    places_NN[rows, columns] = places_NN[columns, rows] = np.arange(len(rows))
    places_NN.flags.writeable = False
    return places_NN


@lru_cache(maxsize=4)
def flat_triangle(num_probes: int, skip: int) -> NDArray[np.intp]:
    """Returns the places of `upper_triangle` in the matrix as it lies in memory, row by row."""
    rows, columns = upper_triangle(num_probes, skip)
    places = rows * num_probes + columns
    places.flags.writeable = False
    return places


@lru_cache(maxsize=2)
def below_diagonal(num_probes: int) -> NDArray[np.bool_]:
    """Returns which values of a matrix stand below its diagonal: ``N N``."""
    below_NN = np.tri(num_probes, k=-1, dtype=np.bool_)
    below_NN.flags.writeable = False
    return below_NN


def centred(matrix_NN: Float64) -> Float64:
    """Returns ``H K H`` of a symmetric matrix: every row and column sums to 0."""
    count = len(matrix_NN)
    means_N = matrix_NN.sum(axis=0) / count
    means_N -= means_N.sum() / count / 2
    centred_NN: Float64 = matrix_NN - means_N[:, None]
    centred_NN -= means_N
    return centred_NN


def centred_gram(raw_NN: Float64) -> Float64:
    """Returns the Gram matrix of features less their mean, all 0 where features are constant.

    They are where what is left is rounding beside ``K``: a variance of at most 1e-6 of the mean
    square.
    """
    gram_NN = centred(raw_NN)
    is_constant = np.trace(gram_NN) <= ROUNDING * np.trace(raw_NN)
    return np.zeros_like(gram_NN) if is_constant else gram_NN


@dataclass(frozen=True)
class GraphGrams:
    """All that the label-free scores need of a graph's ``N`` features of ``D`` dimensions.

    ``raw_NN`` is ``X X'`` of the flattened features; ``zscored_NN`` is ``Z Z'`` with every
    dimension's mean over the probes subtracted and its deviation divided out, constant dimensions
    0. Both are float64 and symmetric. ``raw_sums_N`` and ``zscored_sums_N`` are the sums of each
    probe's features over the dimensions, from which Pearson correlations follow. Whether the
    deviation is the sample's or the population's does not matter, so long as ``zscored_NN`` and
    ``zscored_sums_N`` agree: every score is free of scale.

    Raises:
        NonFiniteError: a value is NaN or infinite; the message names a probe.
        ValueError: shapes or dtypes that do not fit, a matrix that is not symmetric, z-scored
            features that are not centred, or sums that belong to other features.
    """

    raw_NN: Float64
    zscored_NN: Float64
    raw_sums_N: Float64
    zscored_sums_N: Float64
    num_features: int

    def __post_init__(self) -> None:
        if self.num_features < 1:
            raise ValueError(f"num_features must be at least 1, got {self.num_features}")
        _check_part("raw", self.raw_NN, self.raw_sums_N, self.num_features)
        _check_part("zscored", self.zscored_NN, self.zscored_sums_N, self.num_features)
        if self.raw_NN.shape != self.zscored_NN.shape:
            raise ValueError(
                f"raw Gram of {len(self.raw_NN)} probes, z-scored Gram of {len(self.zscored_NN)}"
            )
        excess = np.abs(self.zscored_NN.sum(axis=1)).max()
        if excess > _UNCENTRED * np.trace(self.zscored_NN):
            raise ValueError(
                "rows of the z-scored Gram matrix must sum to 0 over the probes, one sums to "
                f"{excess:.3g}: the features were not centred, or the two Grams are swapped"
            )

    @property
    def num_probes(self) -> int:
        """``N``."""
        return len(self.raw_NN)

    @cached_property
    def centred_NN(self) -> Float64:
        """`centred_gram` of the raw one, made once for all scores; it cannot be written."""
        centred_NN = centred_gram(self.raw_NN)
        centred_NN.flags.writeable = False
        return centred_NN


def _check_part(kind: str, gram_NN: Float64, sums_N: Float64, num_features: int) -> None:
    """Refuses a Gram matrix and sums that no features of ``num_features`` dimensions have."""
    if gram_NN.ndim != 2 or gram_NN.shape[0] != gram_NN.shape[1] or len(gram_NN) < 2:
        raise ValueError(
            f"the {kind} Gram matrix must be square, of at least 2 probes; got {gram_NN.shape}"
        )
    if sums_N.shape != gram_NN.shape[:1]:
        raise ValueError(f"{kind} sums of shape {sums_N.shape} for {len(gram_NN)} probes")
    if gram_NN.dtype != np.float64 or sums_N.dtype != np.float64:
        raise ValueError(
            f"{kind} Gram and sums must be float64, got {gram_NN.dtype} and {sums_N.dtype}"
        )
    if not (np.isfinite(gram_NN).all() and np.isfinite(sums_N).all()):
        bad = np.flatnonzero(~(np.isfinite(gram_NN).all(axis=1) & np.isfinite(sums_N)))
        raise NonFiniteError(
            f"{kind} features of {bad.size} of {len(gram_NN)} probes give NaN or infinity (first: "
            f"probe {int(bad[0])}): the layer's output overflows; check the model's weights"
        )
    is_symmetric = (gram_NN == gram_NN.T).all()  # as those that are read from a file are
    if not is_symmetric and np.abs(gram_NN - gram_NN.T).max() > ROUNDING * np.abs(gram_NN).max():
        raise ValueError(f"the {kind} Gram matrix is not symmetric: it is no Gram matrix")
    squares_N = np.diagonal(gram_NN)
    largest_N = num_features * squares_N
    wrong = np.flatnonzero((squares_N < 0) | (sums_N**2 > largest_N * (1 + _UNCENTRED)))
    if wrong.size:
        raise ValueError(
            f"{kind} features of probe {int(wrong[0])} have sum {sums_N[wrong[0]]:.3g} over "
            f"{num_features} dimensions and squared norm {squares_N[wrong[0]]:.3g}, which no "
            "features have: Gram, sums and num_features must be of the same layer"
        )
