"""What no features have is refused as their Grams."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from depara.errors import NonFiniteError
from tests.oracle.grams import grams_of
from tests.similarity.test_grams import features


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda g: {"raw_NN": g.raw_NN[:, :3]}, "square"),
        (lambda g: {"raw_NN": np.ones((1, 1)), "raw_sums_N": np.ones(1)}, "at least 2 probes"),
        (lambda g: {"zscored_sums_N": g.zscored_sums_N[:3]}, "sums of shape"),
        (lambda g: {"raw_NN": g.raw_NN.astype(np.float32)}, "float64"),
        (lambda g: {"raw_NN": np.tril(g.raw_NN)}, "not symmetric"),
        (lambda g: {"raw_NN": g.raw_NN[:4, :4], "raw_sums_N": g.raw_sums_N[:4]}, "of 4 probes"),
        (lambda g: {"raw_sums_N": 100 * g.raw_sums_N}, "which no features have"),
        (lambda g: {"raw_NN": -g.raw_NN}, "which no features have"),
        (lambda g: {"num_features": 0}, "num_features"),
        (
            lambda g: {"zscored_NN": g.raw_NN, "zscored_sums_N": g.raw_sums_N},
            "not centred",
        ),
    ],
)
def test_grams_that_no_features_have_are_refused(change, message: str):
    grams = grams_of(features())
    with pytest.raises(ValueError, match=message):
        replace(grams, **change(grams))


def test_non_finite_features_are_refused_by_their_probe():
    grams = grams_of(features())
    raw_NN = grams.raw_NN.copy()
    raw_NN[5, 5] = np.inf
    with pytest.raises(NonFiniteError, match=r"raw features of 1 of 7 probes.*probe 5"):
        replace(grams, raw_NN=raw_NN)
    sums_N = grams.zscored_sums_N.copy()
    sums_N[2] = np.nan
    with pytest.raises(NonFiniteError, match=r"zscored.*probe 2"):
        replace(grams, zscored_sums_N=sums_N)
