"""How well several models' features together predict a target's, probe left out by probe.

``N`` probes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from depara.similarity.directed import smoother_residuals
from depara.types import Float64


def predicted_share(sources: Sequence[Float64], target_NN: Float64) -> float:
    """Returns the share of the target's variance that ridge regression on all members predicts.

    Ours: the score `directed` of the members' joined features, each member scaled to the same mean
    squared norm. Joined features have the sum of the Grams, here their mean, so that the ridge is
    the same for a set of any size: one member alone gives its `directed`, and so do copies of it.
    Each probe is left out of the fit that predicts it, so a member of no use lowers the value.

    Args:
        sources: of each member, the Gram of z-scored features ``(N, N)``, scaled by `unit_gram`.
        target_NN: of the target's features, in any scale.
    """
    total = float(np.trace(target_NN))
    if total <= 0:
        return 0.0
    mean_NN = np.mean(np.stack(sources), axis=0)
    residuals_NN = smoother_residuals(mean_NN)
    lost = float(np.einsum("ij,ij->", residuals_NN @ target_NN, residuals_NN))
    return 1.0 - lost / total


def unit_gram(gram_NN: Float64) -> Float64:
    """Returns a Gram scaled to mean diagonal 1; one of constant features is all 0 and stays so."""
    mean_square = float(np.trace(gram_NN)) / len(gram_NN)
    return gram_NN / (mean_square or 1.0)
