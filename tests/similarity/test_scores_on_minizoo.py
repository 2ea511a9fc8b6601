"""The label-free scores on 14 real encoders with measured transfers: the known figures appear."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from depara.catalog import SCORES
from depara.grams import GraphGrams
from depara.similarity.directed import low_rank_target, residual_gain
from depara.similarity.scores import score_block, score_vectors

pytestmark = pytest.mark.shared

# Mean over targets of Spearman's rho with the true win rates: (published, as measured here).
# Published figures have two digits; the one for `cka` is that of the biased estimator.
FIGURES = {
    "rsa": (0.57, 0.566),
    "rsa_zscore": (0.66, 0.657),
    "dds": (0.68, 0.659),
    "cka": (0.64, 0.626),
    "directed": (None, 0.673),
}


@pytest.fixture(scope="module")
def minizoo(shared_data: Path) -> tuple[list[GraphGrams], np.ndarray]:
    """Grams of the 14 encoders' codes of 300 photos, and ``win[source, target]``."""
    folder = shared_data / "minizoo"
    spec = importlib.util.spec_from_file_location("minizoo_encoder", folder / "encoder.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    transfer = json.loads((folder / "transfer.json").read_text())
    tasks = [name for name in transfer if "/" not in name]
    with np.load(folder / "probes.npz") as file:
        images = (torch.from_numpy(file["images"]).float() / 255 - 0.45) / 0.25
    grams = []
    for task in tasks:
        encoder = module.Encoder().eval()
        encoder.load_state_dict(torch.load(folder / f"{task}.pt", weights_only=True))
        with torch.inference_mode():
            grams.append(GraphGrams.from_features(encoder(images).flatten(1).numpy()))
    return grams, np.array([[transfer[f"{t}/win"][s] for t in tasks] for s in tasks])


def mean_rho(values_AB: np.ndarray, truth_AB: np.ndarray) -> float:
    others = ~np.eye(len(values_AB), dtype=bool)
    return float(
        np.mean(
            [
                spearmanr(values_AB[others[:, target], target], truth[others[:, target]]).statistic
                for target, truth in enumerate(truth_AB.T)
            ]
        )
    )


def all_pairs(name: str, grams: list[GraphGrams]) -> np.ndarray:
    return score_block(
        name,
        np.stack([score_vectors(name, one, "source") for one in grams]),
        np.stack([score_vectors(name, one, "target") for one in grams]),
    )


@pytest.mark.parametrize("name", SCORES)
def test_scores_rank_the_mini_zoo_as_well_as_published(name: str, minizoo):
    grams, truth_AB = minizoo
    published, measured = FIGURES[name]
    rho = mean_rho(all_pairs(name, grams), truth_AB)
    assert rho == pytest.approx(measured, abs=0.003)
    if published is not None:
        assert rho == pytest.approx(published, abs=0.02 + 0.005)


def test_a_low_rank_target_ranks_the_mini_zoo_as_the_exact_one(minizoo):
    grams, truth_AB = minizoo
    exact_AB = all_pairs("directed", grams)
    targets = [low_rank_target(one, 32) for one in grams]
    sources_AV = np.stack([score_vectors("directed", one, "source") for one in grams])
    values_AB = score_block("directed", sources_AV, np.stack([one.vector() for one in targets]))
    error_AB = exact_AB - values_AB
    for source, one in enumerate(grams):
        gain = residual_gain(one)
        for number, target in enumerate(targets):
            low, high = target.error_bounds(gain)
            assert low <= error_AB[source, number] <= high
    others = ~np.eye(len(grams), dtype=bool)
    assert np.abs(error_AB[others]).max() < 0.08
    assert mean_rho(values_AB, truth_AB) == pytest.approx(mean_rho(exact_AB, truth_AB), abs=0.01)
