"""How near each probe is to the classes' centres: who is hard, and how far classes collapsed.

``N`` labelled probes, ``K`` classes, ``r`` rank of centred features.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.distance import cdist

from depara.grams import ROUNDING
from depara.labelled.features import LabelledFeatures
from depara.types import Float64


def margins(features: LabelledFeatures) -> Float64:
    """Returns the distance to the own class's centre less that to the nearest other one: ``N``.

    Below 0 is a probe that its nearest centre classifies rightly; the higher, the harder. A probe's
    own centre is that of the other probes of its class: with few probes per class it would
    otherwise be near its centre because it is a part of it. Infinite for the only probe of a class.
    In the features' unit.
    """
    distance_NK = cdist(features.components_Nr, features.class_means(features.components_Nr))
    is_own_NK = features.indicators_NK.astype(bool)
    size_N = features.sizes_K[features.class_N]
    without_itself_N = np.full(features.num_probes, np.inf)
    np.divide(size_N, size_N - 1.0, out=without_itself_N, where=size_N > 1)
    own_N = np.full(features.num_probes, np.inf)
    np.multiply(distance_NK[is_own_NK], without_itself_N, out=own_N, where=size_N > 1)
    return np.asarray(own_N - np.where(is_own_NK, np.inf, distance_NK).min(axis=1))


def ncti(features: LabelledFeatures) -> float:
    """Returns how far the features have collapsed to their classes: the sum of three terms, 0 to 3.

    A network that is trained to the end on the classes ends in neural collapse; the nearer its
    features are to it beforehand, the better it suits them (Wang et al., "How Far Pre-trained
    Models Are from Neural Collapse on the Target Dataset Informs their Transferability", ICCV
    2023). The terms are those of the paper, each 1 at collapse:

    - variability: the mean over probes of ``||H_c||_F / ||H_c||_*`` of their class's features, less
      the mean of all probes: 1 where a class is one direction;
    - geometry: ``||M||_* / (sqrt(K - 1) ||M||_F)`` of the classes' centred means: 1 where they are
      a simplex of equal sides;
    - nearest centre: the share of probes that are nearest to their own class's centre, which is
      taken without them (`margins`); a tie counts half.

    Our reading: the authors' terms have no bound, and they add them after scaling each to 0 to 1
    over the models of the zoo, which makes a model's score depend on its company, and take the log
    posterior of a discriminant analysis for the third. So values are not those of their tables.
    """
    components_Nr = features.components_Nr
    tightness = 0.0
    for number, size in enumerate(features.sizes_K.tolist()):
        roots = np.linalg.svd(components_Nr[features.class_N == number], compute_uv=False)
        tightness += size / features.num_probes * _concentration(roots)
    means_Kr = features.class_means(components_Nr)
    roots = np.linalg.svd(means_Kr - means_Kr.mean(axis=0), compute_uv=False)
    spread = 1.0 / (_concentration(roots) * np.sqrt(features.num_classes - 1.0))
    margin_N = margins(features)
    tie = ROUNDING * float(np.sqrt(features.total_variance))
    nearest = float(np.mean(margin_N < -tie) + np.mean(np.abs(margin_N) <= tie) / 2)
    return tightness + min(float(spread), 1.0) + nearest


def _concentration(roots: Float64) -> float:
    """Returns the Euclidean over the nuclear norm of singular values: 1 where only one is not 0."""
    total = float(roots.sum())
    return float(np.sqrt(np.square(roots).sum())) / total if total > 0 else 1.0
