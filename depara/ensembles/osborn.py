"""OSBORN: what the members of a set know of the labels, and how far they agree among themselves.

Vimal et al., "Building a Winning Team: Selecting Source Model Ensembles using a Submodular
Transferability Estimation Approach", ICCV 2023. ``N`` labelled probes, ``K`` their classes, ``M``
samples of a source, ``D`` features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr

from depara.domains import Sample, pooled, transport
from depara.labelled.features import LabelledFeatures
from depara.labelled.outputs import nce, returned
from depara.types import Float64


@dataclass(frozen=True, eq=False)
class Member:
    """What a set takes of one model: its own class of each probe ``(N,)``, and its cost alone.

    ``cost`` is the paper's ``W_D + W_T``, at least 0; without samples of the source, ``W_T``.
    """

    predicted_N: NDArray[np.intp]
    cost: float


def osborn(members: Sequence[Member]) -> float:
    """Returns minus OSBORN's sum, so that higher is better, at most 0.

    ``-sum_m (W_D(m) + W_T(m)) - sum_(m != n) H(z_m | z_n)`` with ``z_m`` the class of its own that
    model ``m`` holds most probable: entropies in nats, over the probes. Our reading: the three
    terms have equal weights, and ``W_C`` counts each pair in both directions.

    As a function of sets it is submodular, the pairs being counted against it, and no set gains by
    growing: sets of one size are compared. A constant for each member changes nothing among those
    and makes it monotone, so that greedy choice is within 1 - 1/e of the best set in that measure
    (Nemhauser, Wolsey & Fisher, 1978). The paper rewards agreement: a copy of a member costs what
    the member costs alone and nothing for the pair.
    """
    alone = sum(one.cost for one in members)
    apart = sum(_disagreement(one, other) for one, other in combinations(members, 2))
    return -(alone + apart)


def member(features: LabelledFeatures) -> Member:
    """Returns a model by its return values for the labelled probes.

    Its task term is the entropy of the labels given its own class of a probe, minus `nce`.
    """
    return Member(returned(features).argmax(axis=1), -nce(features))


def member_of_source(features: LabelledFeatures, source: Sample, target: Sample) -> Member:
    """Returns a model by its return values, and by samples of what it was trained with.

    ``W_D`` is the optimal transport between the features of both, scaled by `pooled`: our reading,
    so that it is on the same scale for all models. Where the samples are labelled, ``W_T`` is the
    entropy of the target's labels given those of the samples, under the transport's coupling
    (`coupled_entropy`), else that of `member`.

    Args:
        features: of the target's labelled probes.
        source: the samples, as the model sees them.
        target: the target's probes, as the model sees them.
    """
    ours, theirs = source.labelled or source, target.labelled
    assert theirs is not None
    plan_MN, domain = transport(*pooled(ours.vectors_ND, theirs.vectors_ND))
    known = member(features)
    if source.labelled is None:
        return Member(known.predicted_N, known.cost + domain)
    task = coupled_entropy(plan_MN, ours.classes, theirs.classes)
    return Member(known.predicted_N, task + domain)


def coupled_entropy(
    plan_MN: Float64, source_labels: Sequence[str], target_labels: Sequence[str]
) -> float:
    """Returns the entropy of the target's labels given the source's under a coupling, nats.

    ``-sum P(s, t) log(P(s, t) / P(s))`` with ``P(s, t)`` the mass that the coupling sends from
    class ``s`` to class ``t``: the task difference of Tan et al., "OTCE", CVPR 2021, which OSBORN
    takes.
    """
    source_M, target_N = (
        np.unique(one, return_inverse=True)[1] for one in (source_labels, target_labels)
    )
    joint = np.zeros((source_M.max() + 1, target_N.max() + 1))
    np.add.at(joint, (source_M[:, None], target_N[None, :]), plan_MN)
    return max(float(entr(joint).sum() - entr(joint.sum(axis=1)).sum()), 0.0)


def _disagreement(one: Member, other: Member) -> float:
    """The entropy of each one's classes given the other's, both ways, nats."""
    pairs = np.stack([one.predicted_N, other.predicted_N], axis=1)
    both = _entropy(np.unique(pairs, axis=0, return_counts=True)[1])
    own = [_entropy(np.unique(each.predicted_N, return_counts=True)[1]) for each in (one, other)]
    return max(2 * both - sum(own), 0.0)


def _entropy(counts: NDArray[np.intp]) -> float:
    return float(entr(counts / counts.sum()).sum())
