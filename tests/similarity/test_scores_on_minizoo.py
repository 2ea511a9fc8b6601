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
from depara.similarity import score_tile
from depara.similarity.scores import score_block, score_vectors
from tests.oracle.grams import grams_of

pytestmark = pytest.mark.shared

# Mean over targets of Spearman's rho with the true win rates: (published, as measured here).
# Published figures have two digits; the one for `cka` is that of the biased estimator.
FIGURES = {
    "rsa": (0.57, 0.566),
    "rsa_zscore": (0.66, 0.657),
    "dds": (0.68, 0.659),
    "cka": (0.64, 0.626),
    "rbf_cka": (None, 0.636),
    "gulp": (None, 0.708),
    "mutual_knn": (None, 0.697),
    "lsim": (None, 0.285),
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
            grams.append(grams_of(encoder(images).flatten(1).numpy()))
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


def test_lsim_ranks_by_its_distance_from_chance_and_not_by_itself(minizoo):
    """Its mean by chance differs from graph to graph; cka has one deviation for all."""
    grams, truth_AB = minizoo
    count = len(grams)
    found = score_tile(
        ["lsim", "cka"], grams.__getitem__, count, grams.__getitem__, count,
        num_probes=grams[0].num_probes, memory_bytes=2**30,
    )  # fmt: skip
    rho = {
        name: mean_rho(values_AB.astype(np.float64), truth_AB) for name, values_AB in found.items()
    }
    assert rho["lsim_z"] == pytest.approx(0.618, abs=0.003)
    assert rho["lsim_z"] > rho["lsim"] + 0.3
    assert rho["cka_z"] == pytest.approx(rho["cka"], abs=0.003)
