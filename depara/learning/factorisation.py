"""Past transfers as a product of a few factors, in which a new target is placed by its features.

After Fennec (Bai et al., "Pre-Trained Model Recommendation for Downstream Fine-tuning", 2024): the
matrix of past results becomes a vector per model and a vector per task; a new task's vector is
inferred from what its features have in common with those of past tasks. This is our reading: the
paper's proxy network and its code of architectures have no part in it, the scan's features take
their place.

``T`` past targets, ``M`` models, ``R`` factors.
"""

from __future__ import annotations

import numpy as np

from depara.learning.past import Past
from depara.types import Float64

FACTORS = 3
RIDGES = (0.1, 1.0, 10.0)
_ROUNDS = 50


def factorisation(past: Past, target: int) -> Float64:
    """Returns what the factors say of every model as a source for a target: rank fractions, ``M``.

    ``p_m + k' (K + c I)^-1 U V_m``, where ``p`` is the popularity, ``U V`` the product of at most
    `FACTORS` factors closest to the past transfers less the popularity, and ``K`` and ``k`` the
    likeness of the past targets' features among themselves and with the target's. ``c`` is the one
    of `RIDGES` that predicts each past target best from the others. Where the target is like none
    of the past ones that is the popularity.

    Args:
        past: without the target, when it is to be judged.
        target: place of the target among the models.
    """
    popularity_M = past.popularity_M
    known_TM = np.isfinite(past.fraction_TM)
    residual_TM = np.where(known_TM, past.fraction_TM - popularity_M, 0.0)
    product_TM = low_rank(residual_TM, known_TM, FACTORS)
    values_T, vectors_TT = np.linalg.eigh(past.likeness_MM[np.ix_(past.targets_T, past.targets_T)])
    values_T = np.maximum(values_T, 0.0)  # a likeness may be no kernel by a little
    errors = {}
    for ridge in RIDGES:
        hat_TT = (vectors_TT * (values_T / (values_T + ridge))) @ vectors_TT.T
        left_out_TM = (product_TM - hat_TT @ product_TM) / (1 - np.diagonal(hat_TT))[:, None]
        errors[ridge] = float(np.square(left_out_TM).sum())
    ridge = min(errors, key=lambda one: errors[one])
    inverse_TT = (vectors_TT / (values_T + ridge)) @ vectors_TT.T
    likeness_T = past.likeness_MM[target, past.targets_T]
    predicted_M: Float64 = popularity_M + likeness_T @ inverse_TT @ product_TM
    return predicted_M


def low_rank(values_TM: Float64, known_TM: np.ndarray, factors: int) -> Float64:
    """Returns a matrix of rank ``factors`` close to the known values.

    What is not known starts as 0 and is filled with the approximation itself, again and again
    (Troyanskaya et al., Bioinformatics 2001, SVDimpute).
    """
    filled_TM = np.where(known_TM, values_TM, 0.0)
    product_TM = filled_TM
    for _ in range(_ROUNDS):
        left, singular, right = np.linalg.svd(filled_TM, full_matrices=False)
        product_TM = (left[:, :factors] * singular[:factors]) @ right[:factors]
        filled_TM = np.where(known_TM, values_TM, product_TM)
    return product_TM
