"""What the scores with labels are computed from: the labelled probes' Grams and their classes.

``N`` labelled probes, ``K`` classes, ``D`` features, ``r <= N - 1`` rank of centred features.

No features are stored, and none are needed: the eigenvectors of the centred Gram matrix, scaled by
the roots of the eigenvalues, are the probes' principal components, exactly the features up to a
rotation and a shift (classical scaling: Torgerson, Psychometrika 1952; Gower, Biometrika 1966).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from depara.grams import ROUNDING, GraphGrams, centred
from depara.types import Float32, Float64

RANK = ROUNDING**2
"""Eigenvalues of a Gram below this share of the largest are rounding."""


@dataclass(frozen=True, eq=False)
class LabelledFeatures:
    """The part of a graph's `GraphGrams` that belongs to labelled probes, with their classes.

    ``class_N`` numbers the classes from 0 to ``K - 1``; ``class_names`` are their labels. A
    sub-matrix of the raw Gram is the raw Gram of those probes. ``zscored_NN`` keeps the means and
    deviations of all probes of the graph, labelled or not. ``outputs_NC`` is what the model itself
    returned, None where it is not kept beside this graph.
    """

    raw_NN: Float64
    zscored_NN: Float64
    raw_sums_N: Float64
    zscored_sums_N: Float64
    num_features: int
    class_N: NDArray[np.intp]
    class_names: tuple[str, ...]
    outputs_NC: Float64 | None = None

    @classmethod
    def select(
        cls,
        grams: GraphGrams,
        labels: Sequence[str | None],
        outputs_NC: Float32 | None = None,
    ) -> LabelledFeatures:
        """Returns the labelled probes of a graph.

        Args:
            grams: of all probes.
            labels: of all probes, in the same order; None where a probe has no label.
            outputs_NC: what the model returned for all probes, where that is kept.

        Raises:
            ValueError: there is not one label, or None, per probe.
        """
        if len(labels) != grams.num_probes:
            raise ValueError(
                f"{len(labels)} labels for {grams.num_probes} probes: give one per probe, None "
                "where a probe has no label"
            )
        places = np.array([i for i, label in enumerate(labels) if label is not None], dtype=np.intp)
        names, class_N = np.unique([labels[i] or "" for i in places], return_inverse=True)
        square = np.ix_(places, places)
        return cls(
            raw_NN=grams.raw_NN[square],
            zscored_NN=grams.zscored_NN[square],
            raw_sums_N=grams.raw_sums_N[places],
            zscored_sums_N=grams.zscored_sums_N[places],
            num_features=grams.num_features,
            class_N=class_N.astype(np.intp),
            class_names=tuple(str(name) for name in names),
            outputs_NC=None if outputs_NC is None else outputs_NC[places].astype(np.float64),
        )

    def part(self, places: NDArray[np.intp]) -> LabelledFeatures:
        """Returns some of the probes; each class must keep one at least.

        Args:
            places: among the ``N`` labelled probes.
        """
        square = np.ix_(places, places)
        return LabelledFeatures(
            raw_NN=self.raw_NN[square],
            zscored_NN=self.zscored_NN[square],
            raw_sums_N=self.raw_sums_N[places],
            zscored_sums_N=self.zscored_sums_N[places],
            num_features=self.num_features,
            class_N=self.class_N[places],
            class_names=self.class_names,
            outputs_NC=None if self.outputs_NC is None else self.outputs_NC[places],
        )

    @property
    def num_probes(self) -> int:
        """``N``."""
        return len(self.class_N)

    @property
    def num_classes(self) -> int:
        """``K``."""
        return len(self.class_names)

    @cached_property
    def sizes_K(self) -> Float64:
        """Probes of each class, count, as float64 ``(K,)``."""
        return np.bincount(self.class_N, minlength=self.num_classes).astype(np.float64)

    @cached_property
    def indicators_NK(self) -> Float64:
        """The labels as one-hot rows, float64 ``(N, K)``."""
        return np.eye(self.num_classes)[self.class_N]

    @cached_property
    def centred_NN(self) -> Float64:
        """Inner products of the features less their mean over the labelled probes: ``(N, N)``."""
        return centred(self.raw_NN)

    @property
    def total_variance(self) -> float:
        """The trace of the features' covariance (divided by ``N``), in their unit squared."""
        return max(float(np.trace(self.centred_NN)), 0.0) / self.num_probes

    @property
    def is_constant(self) -> bool:
        """True when the labelled probes' features do not differ beyond single precision."""
        mean_square = float(np.trace(self.raw_NN)) / max(self.num_probes, 1)
        return self.num_probes == 0 or self.total_variance <= ROUNDING * mean_square

    @cached_property
    def components_Nr(self) -> Float64:
        """All principal components, by descending variance: float64 ``(N, r)``, columns of mean 0.

        Distances and inner products are those of the centred features. Signs of columns are
        arbitrary.
        """
        values_r, vectors_Nr = spectrum(self.centred_NN)
        return vectors_Nr * np.sqrt(values_r)

    @cached_property
    def variances_r(self) -> Float64:
        """The variance (divided by ``N``) along each principal component, descending: ``(r,)``."""
        return np.asarray(np.mean(np.square(self.components_Nr), axis=0))

    def class_means(self, values_Nd: Float64) -> Float64:
        """Returns the mean of each class's rows: float64 ``(K, d)``."""
        return np.asarray(self.indicators_NK.T @ values_Nd) / self.sizes_K[:, None]


def spectrum(gram_NN: Float64) -> tuple[Float64, Float64]:
    """Returns the positive eigenvalues ``(r,)``, descending, and their eigenvectors ``(N, r)``.

    Eigenvalues below 1e-12 of the largest are rounding and left out.
    """
    values_N, vectors_NN = np.linalg.eigh(gram_NN)
    values_N, vectors_NN = values_N[::-1], vectors_NN[:, ::-1]
    is_kept_N = values_N > RANK * max(float(values_N[0]), 0.0)
    return values_N[is_kept_N], vectors_NN[:, is_kept_N]
