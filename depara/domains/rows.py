"""The distances of two probe sets under one model, by the names of their columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from depara.domains.distances import emd, frechet
from depara.domains.gradients import pge


@dataclass(frozen=True)
class SetDistance:
    """A distance of two probe sets; ``function`` takes the features of one and of the other.

    ``has_labels``: it takes the labels of each after its features. 0 for the same set.
    """

    meaning: str
    reference: str
    function: Callable[..., float]
    has_labels: bool = False


SET_DISTANCES: Mapping[str, SetDistance] = {
    "emd": SetDistance(
        meaning="earth mover's distance of the features (Wasserstein, order 1), exact",
        reference="Rubner, Tomasi & Guibas, IJCV 2000",
        function=emd,
    ),
    "frechet": SetDistance(
        meaning="squared Frechet distance of Gaussians of the features' means and covariances",
        reference="Dowson & Landau 1982; Heusel et al., 'FID', NeurIPS 2017",
        function=frechet,
    ),
    "pge": SetDistance(
        meaning="distance of the sets' unit mean gradients over random restarts, 0 to 2; "
        "null without labels",
        reference="Qi et al., 'Transferability Estimation Based on Principal Gradient "
        "Expectation', 2022; our reading",
        function=pge,
        has_labels=True,
    ),
}
"""Each is a column of `depara distance`."""
