"""The hard probes: those on which models differ, since any of them tells the easy ones apart.

``N`` labelled probes, ``K`` classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from depara.catalog import LABEL_SCORES, hard_name
from depara.labelled.centres import margins
from depara.labelled.features import LabelledFeatures


def hard_probes(features: LabelledFeatures, percent: int) -> LabelledFeatures:
    """Returns the hardest ``percent`` of the probes of every class, rounded up, in their order.

    Hard is what lies far from the other probes of its class and near another class's centre
    (`margins`), in the features of the graph itself: HASTE's class-specific hardness (Menta et al.,
    "Towards Estimating Transferability using Hard Subsets", 2023), our reading in that the
    distance is Euclidean and a probe's own centre leaves it out. Of equally hard ones the earlier
    is taken. With 100 all probes are.
    """
    margin_N = margins(features)
    kept: list[int] = []
    for number in range(features.num_classes):
        (places,) = np.nonzero(features.class_N == number)
        count = -(-len(places) * percent // 100)
        kept += places[np.argsort(-margin_N[places], kind="stable")[:count]].tolist()
    return features.part(np.array(sorted(kept), dtype=np.intp))


def score_names(hard: Sequence[int] = ()) -> tuple[str, ...]:
    """Returns the names of all scores with labels, those of hard probes last.

    Args:
        hard: shares of the probes, %.
    """
    return (*LABEL_SCORES, *(hard_name(name, one) for one in hard for name in LABEL_SCORES))
