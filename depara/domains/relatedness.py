"""How far the loss of a source's head bounds that of a head for another task, on one encoder.

``N`` source probes, ``M`` target probes, ``K`` and ``T`` classes, ``D`` features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from depara.domains.heads import Head, fit_head
from depara.domains.matching import ClassMatch, match_classes
from depara.domains.transport import transport
from depara.types import Float64

RIDGES = tuple(10.0**power for power in range(-4, 2))
"""Of the source's head. Each gives a bound; the least one is told."""


@dataclass(frozen=True)
class Relatedness:
    """An upper bound of the target's head-only loss, and its parts, all in nats.

    ``bound = source_loss + label_entropy + transport``. ``transferred_loss`` is the loss of the
    source's own head on the target's probes, its classes read as the target's, the least over
    `RIDGES`: between the loss of the best head and the bound. ``matched`` are the source's classes
    of the target's, in the order of their names.
    """

    source_loss: float
    label_entropy: float
    transport: float
    transferred_loss: float
    matched: tuple[str, ...]

    @property
    def bound(self) -> float:
        """The sum of the three parts."""
        return self.source_loss + self.label_entropy + self.transport


def relatedness(
    source_ND: Float64,
    source_labels: Sequence[str],
    target_MD: Float64,
    target_labels: Sequence[str],
) -> Relatedness:
    """Returns the bound of Mehra, Zhang & Hamm with a fixed transformation of the features.

    "Understanding the Transferability of Representations via Task-Relatedness", NeurIPS 2024
    (arXiv 2307.00823): the loss of the best linear head for the target is at most

        ``E_R'[loss of h] + H(Y''' | Y'') + tau W(R''', T)``

    with ``h`` the source's head, ``R'`` the source's classes in the shares of the target's classes
    that they are matched with, ``H`` the entropy of the labels under B (`match_classes`), ``tau``
    the steepness of ``h`` and ``W`` the optimal transport of order 1 between source and target
    probes of matched classes: sending a probe to another class costs infinitely much, so it is the
    mean of the transports class by class.

    Our reading: the features' transformation A is the identity, B is from class means and not
    learned; ``h`` is logistic regression on the source's probes; of several strengths of its ridge
    (`RIDGES`) that of the least bound is taken: any head gives a bound. It bounds the loss on these
    probes, not on others. Where no head gains what its transport costs, the least bound is that of
    a head that knows the shares of the classes alone, whatever the features.

    Args:
        source_ND: features of the source's probes.
        source_labels: their classes, two at least.
        target_MD: features of the target's probes, under the same model.
        target_labels: their classes, two at least.

    Raises:
        ConfigError: see `transport`.
    """
    names, class_N = np.unique(source_labels, return_inverse=True)
    _, class_M = np.unique(target_labels, return_inverse=True)
    source_ND, target_MD = _scaled(source_ND, target_MD)
    counts_T = np.bincount(class_M)
    match = match_classes(
        _means(source_ND, class_N), _means(target_MD, class_M), counts_T / len(class_M)
    )
    moved = [
        transport(source_ND[class_N == source], target_MD[class_M == target])[1]
        for target, source in enumerate(match.source_T)
    ]
    distance = float(match.priors_T @ np.array(moved))
    found = []
    for ridge in RIDGES:
        head = fit_head(source_ND, class_N, len(names), ridge)
        own_N = -head.log_chances(source_ND)[np.arange(len(class_N)), class_N]
        losses_K = np.bincount(class_N, own_N) / np.bincount(class_N)
        found.append(
            Relatedness(
                source_loss=float(match.priors_T @ losses_K[match.source_T]),
                label_entropy=match.entropy,
                transport=head.steepness * distance,
                transferred_loss=transferred_loss(head, match, target_MD, class_M),
                matched=tuple(str(names[source]) for source in match.source_T),
            )
        )
    least = min(one.transferred_loss for one in found)
    return replace(min(found, key=lambda one: one.bound), transferred_loss=least)


def transferred_loss(
    head: Head, match: ClassMatch, target_MD: Float64, class_M: NDArray[np.intp]
) -> float:
    """Returns the mean cross-entropy of ``B h`` on the target's probes, nats."""
    with np.errstate(divide="ignore"):
        labels_TK = np.log(match.labels_TK)
    joint_MK = head.log_chances(target_MD) + labels_TK[class_M]
    return -float(np.mean(logsumexp(joint_MK, axis=1)))


def _scaled(source_ND: Float64, target_MD: Float64) -> tuple[Float64, Float64]:
    """Both less the source's mean, at the source's total variance 1: the ridge means the same.

    In no more dimensions than there are probes: a rotation, which changes no distance and no loss.
    """
    centre_D = source_ND.mean(axis=0)
    scale = float(np.sqrt(np.mean(np.sum((source_ND - centre_D) ** 2, axis=1)))) or 1.0
    both = (np.vstack([source_ND, target_MD]) - centre_D) / scale
    if both.shape[1] > len(both):
        left, values, _ = np.linalg.svd(both, full_matrices=False)
        both = left * values
    return both[: len(source_ND)], both[len(source_ND) :]


def _means(features_ND: Float64, class_N: NDArray[np.intp]) -> Float64:
    return np.stack([features_ND[class_N == one].mean(axis=0) for one in np.unique(class_N)])
