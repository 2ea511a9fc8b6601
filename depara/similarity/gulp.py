"""GULP: how far apart the predictions of ridge regressions on two graphs' features are.

``N`` probes, ``V = N(N+1)/2``.

Features are centred over the probes and scaled to mean squared norm 1, so that their covariance
has trace 1 and the ridge needs no unit. ``S = K (K + N lambda I)^-1`` predicts all probes from all
by ridge regression. The squared distance of Boix-Adsera et al., "GULP: a prediction-based metric
between representations", NeurIPS 2022,

    ``d^2 = tr(C^-l C C^-l C) + tr(C'^-l C' C'^-l C') - 2 tr(C^-l C'' C'^-l C''^T)``

with covariances ``C``, ``C'``, ``C''`` (across) and ``C^-l = (C + lambda I)^-1``, is
``||S - S'||^2``: the expected squared difference, summed over the probes, of the two predictions of
labels drawn at random, independent and of variance 1.
Both smoothers are between 0 and ``I`` and map constants to 0, hence ``d^2 <= N - 1``, and the score

    ``1 - d^2 / (N - 1) = <R, R'> + b b' + a + a'``

is from 0 to 1. ``a = 1/2 - ||S||^2 / (N-1)`` is of one graph; ``R = sqrt(2 / (N-1)) (S - h H)``
with the centring matrix ``H`` and the mean ``h = tr(S) / (N-1)`` of ``S`` in its directions, and
``b = sqrt(2) h``: a smoother of many directions is near ``H``, and single precision keeps what
tells it apart. A source's vector ends in ``(a, 1, b)``, a target's in ``(1, a', b')``. A graph of
constant features has a zero vector by definition.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from depara.grams import GraphGrams
from depara.similarity.condensed import condense
from depara.similarity.grams import diagonal_of, inverse
from depara.similarity.layouts import CONDENSED
from depara.types import Float32, Float64

RIDGE = 1e-2
"""``lambda``, as a share of the trace of the covariance.

The paper leaves it open: it says which directions count, those with more than this share of the
variance. From 1e-3 to 3e-2 the score ranks alike, at 1e-4 and at 0.1 it ranks worse (measured on 14
encoders with known transfers).
"""

SMOOTHER = replace(CONDENSED, own=3)
"""A condensed ``R``, and ``a``, 1 and ``b`` behind it."""


def gulp_source(grams: GraphGrams) -> Float32:
    """Returns a source's ``R``, ``a``, 1 and ``b``: float32 ``V + 3``."""
    return _vector(grams, is_source=True)


def gulp_target(grams: GraphGrams) -> Float32:
    """Returns a target's ``R``, 1, ``a`` and ``b``: float32 ``V + 3``."""
    return _vector(grams, is_source=False)


def smoother(gram_NN: Float64, ridge: float) -> Float64:
    """Returns ``S = K (K + lambda tr(K) I)^-1 = I - lambda tr(K) (K + lambda tr(K) I)^-1``.

    Args:
        gram_NN: ``K``, not 0.
        ridge: ``lambda``.
    """
    smoother_NN = gram_NN / np.trace(gram_NN)
    diagonal_of(smoother_NN)[:] += ridge
    smoother_NN = inverse(smoother_NN)
    smoother_NN *= -ridge
    diagonal_of(smoother_NN)[:] += 1.0
    return smoother_NN


def _vector(grams: GraphGrams, *, is_source: bool) -> Float32:
    count = grams.num_probes
    vector = np.zeros(SMOOTHER.length(count), dtype=np.float32)
    gram_NN = grams.centred_NN
    if gram_NN.any():
        smoother_NN = smoother(gram_NN, RIDGE)
        own = 0.5 - float(np.sum(smoother_NN**2)) / (count - 1)
        mean = float(np.trace(smoother_NN)) / (count - 1)
        smoother_NN += mean / count  # less mean times H
        diagonal_of(smoother_NN)[:] -= mean
        smoother_NN *= math.sqrt(2 / (count - 1))
        vector[:-3] = condense(smoother_NN)
        vector[-3:-1] = (own, 1.0) if is_source else (1.0, own)
        vector[-1] = math.sqrt(2) * mean
    return vector
