"""The Grams of features in memory, in float64: what an extraction gives for a layer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from depara.grams import ROUNDING, GraphGrams


def grams_of(features_ND: NDArray[np.floating]) -> GraphGrams:
    """Returns the Grams of features of any floating type; what varies by rounding is constant."""
    raw_ND = features_ND.astype(np.float64)
    mean_D = raw_ND.mean(axis=0)
    deviation_D = raw_ND.std(axis=0)
    varies_D = deviation_D > ROUNDING * np.abs(mean_D)
    zscored_ND = (raw_ND - mean_D) * varies_D / np.where(varies_D, deviation_D, 1.0)
    return GraphGrams(
        raw_NN=raw_ND @ raw_ND.T,
        zscored_NN=zscored_ND @ zscored_ND.T,
        raw_sums_N=raw_ND.sum(axis=1),
        zscored_sums_N=zscored_ND.sum(axis=1),
        num_features=raw_ND.shape[1],
    )
