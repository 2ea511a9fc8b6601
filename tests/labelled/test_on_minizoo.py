"""The scores with labels on 14 real encoders: do they name the ones that transfer to the classes?

The truth is the measured loss of a decoder trained on each frozen encoder. Two tasks have classes
that the probes are labelled with: the ten of `class10`, and the two (animals, vehicles) of
`superclass`.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from depara.grams import GraphGrams
from depara.labelled import label_scores
from tests.labelled.clusters import OF_FEATURES
from tests.oracle.grams import grams_of

pytestmark = pytest.mark.shared

VEHICLES = {0, 1, 8, 9}

# Spearman's rho with the truth over the other 13 encoders, as measured here: class10, superclass.
# TransRate: 1,024 dimensions and 30 or more probes per class, where it orders spectra, not classes.
FIGURES = {
    "knn": (0.70, 0.81),
    "logme": (0.88, 0.96),
    "h_score": (0.76, 0.86),
    "transrate": (-0.17, -0.21),
    "nleep": (0.80, 0.87),
    "parc": (0.76, 0.69),
    "parc_zscore": (0.88, 0.87),
    "gbc": (0.74, 0.85),
    "lfc": (0.62, 0.71),
    "sfda": (0.65, 0.93),
    "ncti": (-0.34, 0.75),
}
OWN_IS_FIRST = {
    "class10": ["knn", "logme", "nleep", "parc", "parc_zscore", "gbc"],
    "superclass": ["knn", "logme", "h_score", "nleep", "parc", "parc_zscore", "gbc"],
}


@pytest.fixture(scope="module")
def minizoo(shared_data: Path) -> tuple[dict[str, GraphGrams], list[int], dict]:
    """Grams of the encoders' codes of 300 photos by task, the photos' classes, and the truth."""
    folder = shared_data / "minizoo"
    spec = importlib.util.spec_from_file_location("minizoo_encoder", folder / "encoder.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    transfer = json.loads((folder / "transfer.json").read_text())
    with np.load(folder / "probes.npz") as file:
        images = (torch.from_numpy(file["images"]).float() / 255 - 0.45) / 0.25
        classes = file["labels"].tolist()
    grams = {}
    for task in [name for name in transfer if "/" not in name]:
        encoder = module.Encoder().eval()
        encoder.load_state_dict(torch.load(folder / f"{task}.pt", weights_only=True))
        with torch.inference_mode():
            grams[task] = grams_of(encoder(images).flatten(1).numpy())
    return grams, classes, transfer


@pytest.fixture(scope="module", params=["class10", "superclass"])
def scored(request: pytest.FixtureRequest, minizoo) -> tuple[str, dict, dict[str, float]]:
    """A task with classes, the scores of every encoder for it, and what each really reached."""
    grams, classes, transfer = minizoo
    target = request.param
    labels = [
        str(c) if target == "class10" else ("vehicle" if c in VEHICLES else "animal")
        for c in classes
    ]
    scores = {source: label_scores(one, labels) for source, one in grams.items()}
    return target, scores, {source: -transfer[target][source][0] for source in grams}


def test_the_encoder_trained_on_the_labels_comes_first(scored):
    target, scores, _ = scored
    for name in OWN_IS_FIRST[target]:
        best = max(scores, key=lambda source: scores[source][name].value)
        assert best == target, name


def test_scores_order_the_other_encoders_as_measured_transfer_does(scored):
    target, scores, truth = scored
    others = [source for source in scores if source != target]
    for name in OF_FEATURES:
        values = [scores[source][name].value for source in others]
        rho = spearmanr(values, [truth[source] for source in others]).statistic
        assert rho == pytest.approx(FIGURES[name][target == "superclass"], abs=0.02), name


def test_shuffled_labels_score_below_true_ones(minizoo):
    grams, classes, _ = minizoo
    labels = [str(c) for c in classes]
    shuffled = [str(c) for c in np.random.default_rng(0).permutation(classes)]
    true, null = (label_scores(grams["class10"], y) for y in (labels, shuffled))
    for name in OF_FEATURES:
        assert true[name].value > null[name].value, name
    assert null["knn"].value < 0.16
    assert abs(null["parc"].value) < 0.02
