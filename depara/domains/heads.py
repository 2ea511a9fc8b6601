"""A linear head on fixed features: multinomial logistic regression, exactly.

``N`` probes, ``D`` features, ``K`` classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.spatial.distance import pdist
from scipy.special import log_softmax, softmax

from depara.types import Float64

_MOST_STEPS = 500


@dataclass(frozen=True, eq=False)
class Head:
    """Logits ``x W + b``: ``weights_DK`` and ``biases_K``."""

    weights_DK: Float64
    biases_K: Float64

    def log_chances(self, features_ND: Float64) -> Float64:
        """Returns the log probabilities of the classes ``(N, K)``, nats."""
        return np.asarray(log_softmax(features_ND @ self.weights_DK + self.biases_K, axis=1))

    @property
    def steepness(self) -> float:
        """The most that the log probability of a class changes per unit of the features.

        Its gradient is ``W (e_k - p)``, a difference of two mixtures of the columns of ``W``, so
        that it is no longer than the longest difference of two columns. The same holds for the
        probability of several classes together.
        """
        return float(pdist(self.weights_DK.T).max(initial=0.0))


def fit_head(
    features_ND: Float64, class_N: NDArray[np.intp], num_classes: int, ridge: float
) -> Head:
    """Returns the head of least mean cross-entropy plus ``ridge / 2`` times its squared weights.

    Biases go free. The problem is convex; it is solved by L-BFGS to where it moves no more.

    Args:
        features_ND: of the probes.
        class_N: the number of each probe's class.
        num_classes: ``K``.
        ridge: in nats per squared weight.
    """
    num, size = features_ND.shape
    one_hot_NK = np.eye(num_classes)[class_N]

    def loss(flat: Float64) -> tuple[float, Float64]:
        weights_DK, biases_K = _split(flat, size, num_classes)
        logits_NK = features_ND @ weights_DK + biases_K
        error_NK = (softmax(logits_NK, axis=1) - one_hot_NK) / num
        value = -float((log_softmax(logits_NK, axis=1) * one_hot_NK).sum()) / num
        slope_DK = features_ND.T @ error_NK + ridge * weights_DK
        return (
            value + ridge / 2 * float(np.sum(weights_DK**2)),
            np.concatenate([slope_DK.ravel(), error_NK.sum(axis=0)]),
        )

    start = np.zeros((size + 1) * num_classes)
    found = minimize(
        loss,
        start,
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": _MOST_STEPS, "gtol": 1e-7, "ftol": 1e-14},
    )
    return Head(*_split(found.x, size, num_classes))


def _split(flat: Float64, size: int, num_classes: int) -> tuple[Float64, Float64]:
    cut = size * num_classes
    return flat[:cut].reshape(size, num_classes), flat[cut:]
