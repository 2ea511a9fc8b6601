"""How well several classifiers together predict labels, from what each returned for the probes.

``N`` labelled probes, ``M`` members.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from depara.types import Float64


def ms_leep(chances: Sequence[Float64]) -> float:
    """Returns the mean of the members' LEEP, nats, at most 0.

    Agostinelli et al., "Transferability Metrics for Selecting Source Model Ensembles", CVPR 2022.
    Each member counts alone, so the best set of any size is that of the best members: it says
    nothing of what they have in common.

    Args:
        chances: of each member, LEEP's expected probability of each probe's own class, ``(N,)``.
    """
    return float(np.mean([np.log(one_N).mean() for one_N in chances]))


def e_leep(chances: Sequence[Float64]) -> float:
    """Returns the mean log of the members' mean expected prediction, nats, at most 0.

    The same paper's: ``sum_i log(sum_m p_mi / M) / N``. Members that are sure of different probes
    help each other; one member alone gives its LEEP, and so do copies of it.

    Args:
        chances: as for `ms_leep`.
    """
    return float(np.log(np.mean(np.stack(chances), axis=0)).mean())
