"""Which class of one task stands for which of another: the label transformation.

``K`` classes of the source, ``T`` of the target, ``D`` features.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from scipy.special import entr

from depara.types import Float64


@dataclass(frozen=True, eq=False)
class ClassMatch:
    """The source's class of each target class, ``source_T``, and what its label then means.

    ``labels_TK`` is the matrix B, columns summing to 1: the probability of each target class where
    the source's label is ``k``. ``priors_T`` are the shares of the target's classes.
    """

    source_T: NDArray[np.intp]
    labels_TK: Float64
    priors_T: Float64

    @property
    def entropy(self) -> float:
        """The entropy of the target's label given the matched source's label, nats.

        0 where every target class has a source class of its own.
        """
        priors_K = np.bincount(self.source_T, self.priors_T, self.labels_TK.shape[1])
        return float(priors_K @ entr(self.labels_TK).sum(axis=0))


def match_classes(source_KD: Float64, target_TD: Float64, priors_T: Float64) -> ClassMatch:
    """Returns the classes matched by their means, at the least sum of distances (Hungarian).

    Of a source with ``K < T`` classes each may be taken ``T / K`` times, rounded up; its label then
    stands for all of them, in the shares that the target has of them. A source class that is not
    taken stands for the nearest target class.

    Args:
        source_KD: means of the source's classes.
        target_TD: means of the target's classes.
        priors_T: shares of the target's classes, summing to 1.
    """
    distances_KT = cdist(source_KD, target_TD)
    num_source, num_target = distances_KT.shape
    times = -(-num_target // num_source)
    rows, columns = linear_sum_assignment(np.repeat(distances_KT, times, axis=0))
    source_T = np.empty(num_target, dtype=np.intp)
    source_T[columns] = rows // times
    labels_TK = np.zeros((num_target, num_source))
    labels_TK[np.arange(num_target), source_T] = priors_T
    for k in np.flatnonzero(labels_TK.sum(axis=0) == 0):
        labels_TK[distances_KT[k].argmin(), k] = 1.0
    return ClassMatch(source_T, labels_TK / labels_TK.sum(axis=0), priors_T)
