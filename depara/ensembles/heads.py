"""How far apart the heads of two classifiers are: the arc between what they predict.

``N`` probes, ``C`` classes.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import softmax

from depara.errors import ConfigError
from depara.results import ScanResults
from depara.store.graphs import open_graph
from depara.store.storage import Storage
from depara.types import Float32, Float64


def logit_fisher_rao(one_NC: Float32 | Float64, other_NC: Float32 | Float64) -> float:
    """Returns the mean over the probes of the Fisher-Rao distance of two predictions, 0 to pi.

    ``2 arccos(sum_c sqrt(p_c q_c))``, ``p`` and ``q`` the softmax of the logits: the length of the
    shortest path between them among all distributions of ``C`` classes (Rao 1945). The idea of
    measuring tasks by such paths is Gao & Chaudhari's, "An Information-Geometric Distance on the
    Space of Tasks", 2021, who train along them; this compares their two ends.

    Args:
        one_NC: logits of one model.
        other_NC: those of another model of the same classes, in the same order.
    """
    assert one_NC.shape == other_NC.shape
    roots = [np.sqrt(softmax(values.astype(np.float64), axis=1)) for values in (one_NC, other_NC)]
    # The chord of the two points is exact where the cosine of a small angle has no digits left.
    chord_N = np.linalg.norm(roots[0] - roots[1], axis=1)
    return float(np.mean(4.0 * np.arcsin(np.minimum(chord_N / 2.0, 1.0))))


def head_distances(scan: ScanResults) -> pd.DataFrame:
    """Returns `logit_fisher_rao` between all models whose return value is kept: square, symmetric.

    NaN between models of different numbers of classes. That two models of as many classes have the
    same ones, in the same order, is a reading: nothing in their values tells.

    Raises:
        ConfigError: no two models' return values are kept.
        StoreError: a graph is damaged or was collected.
    """
    outputs: dict[str, Float32] = {}
    for name in scan.models():
        values_NC = open_graph(Storage(scan.output), scan.graph_key(name)).read_outputs()
        if values_NC is not None:
            outputs[name] = values_NC
    if len(outputs) < 2:
        raise ConfigError(
            f"scan {scan.scan_id} keeps the return value of {len(outputs)} models, two are needed: "
            "scan with labelled probes or store_outputs, and --fresh where graphs are there already"
        )
    table = pd.DataFrame(np.nan, index=list(outputs), columns=list(outputs))
    for one, first_NC in outputs.items():
        for other, second_NC in outputs.items():
            if first_NC.shape == second_NC.shape and one <= other:
                distance = logit_fisher_rao(first_NC, second_NC)
                table.loc[one, other] = table.loc[other, one] = distance
    return table
