"""Principal gradients: in which direction two labelled sets would move one network.

``N`` probes, ``D`` features, ``H`` hidden units, ``K`` classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from depara.types import Float64

RESTARTS = 50
HIDDEN = 64


def pge(
    one_ND: Float64,
    one_labels: Sequence[str],
    other_MD: Float64,
    other_labels: Sequence[str],
    restarts: int = RESTARTS,
) -> float:
    """Returns the distance of the unit principal gradients of two labelled sets, 0 to 2.

    Qi et al., "Transferability Estimation Based on Principal Gradient Expectation", 2022: the
    gradient of the cross-entropy, its mean over random restarts, scaled to length 1, and the
    Euclidean distance of both sets' ones; 0 for the same set. Our reading: the shared network is
    the model up to its features, as they are stored, and behind it a last block (linear, ReLU) and
    a head, drawn anew at each restart and the same for both sets; the gradients are those of block
    and head. Classes of one name are one class, and the head has those of both sets. Features are
    scaled to mean square 1 over both sets, and not centred, as a network hands them on.

    Args:
        one_ND: features of one set.
        one_labels: its classes.
        other_MD: features of the other set, under the same model.
        other_labels: its classes.
        restarts: how many.

    """
    names = sorted({*one_labels, *other_labels})
    scale = float(np.sqrt((np.mean(one_ND**2) + np.mean(other_MD**2)) / 2)) or 1.0
    units = [
        _unit(principal_gradient(values / scale, _one_hot(labels, names), restarts))
        for values, labels in ((one_ND, one_labels), (other_MD, other_labels))
    ]
    return float(np.linalg.norm(units[0] - units[1]))


def principal_gradient(features_ND: Float64, targets_NK: Float64, restarts: int) -> Float64:
    """Returns the mean gradient of the cross-entropy over probes and restarts: ``(D H + H K,)``."""
    num, size = features_ND.shape
    total = np.zeros(size * HIDDEN + HIDDEN * targets_NK.shape[1])
    for block_DH, head_HK in drawn_weights(size, targets_NK.shape[1], restarts):
        hidden_NH = np.maximum(features_ND @ block_DH, 0.0)
        error_NK = (softmax(hidden_NH @ head_HK, axis=1) - targets_NK) / num
        back_NH = (error_NK @ head_HK.T) * (hidden_NH > 0)
        total += np.concatenate(
            [(features_ND.T @ back_NH).ravel(), (hidden_NH.T @ error_NK).ravel()]
        )
    return total / restarts


def drawn_weights(
    num_features: int, num_classes: int, restarts: int
) -> Iterator[tuple[Float64, Float64]]:
    """Yields a block ``(D, H)`` and a head ``(H, K)`` for each restart: Gaussian, seeded.

    Variances 2 / D and 1 / H, which keep the mean square of what passes (He et al., ICCV 2015).
    """
    for seed in range(restarts):
        rng = np.random.default_rng(seed)
        block_DH = rng.standard_normal((num_features, HIDDEN)) * np.sqrt(2.0 / num_features)
        yield block_DH, rng.standard_normal((HIDDEN, num_classes)) / np.sqrt(HIDDEN)


def _one_hot(labels: Sequence[str], names: Sequence[str]) -> Float64:
    class_N: NDArray[np.intp] = np.searchsorted(names, labels)
    return np.eye(len(names))[class_N]


def _unit(gradient: Float64) -> Float64:
    return gradient / (float(np.linalg.norm(gradient)) or 1.0)  # no features, no gradient
