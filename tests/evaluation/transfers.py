"""Truths and scores that several tests share."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd

from depara.evaluation import Truth


def random_truth(models: int = 7, seed: int = 0) -> Truth:
    """Measured transfers between all of some models, with a few ties, no model to itself."""
    rng = np.random.default_rng(seed)
    names = [f"model{number}" for number in range(models)]
    rows = [
        (target, source, round(float(rng.normal()), 1))
        for target in names
        for source in names
        if source != target
    ]
    return Truth(pd.DataFrame(rows, columns=["target", "source", "value"]), "random truth")


def scored(truth: Truth, **noise: float) -> pd.DataFrame:
    """Scores that are the true values plus noise of a standard deviation, one column each."""
    rng = np.random.default_rng(1)
    scores = truth.table[truth.keys].copy()
    for name, deviation in noise.items():
        scores[name] = truth.table["value"] + deviation * rng.normal(size=len(scores))
    return scores


def taskonomy(shared_data: Path) -> pd.DataFrame:
    """Taskonomy's first-order affinities (16k images) as a truth table."""
    table = pd.read_csv(shared_data / "tables" / "taskonomy_affinity_16k.csv")
    return table.rename(columns={"affinity": "value"})


def mini_zoo(shared_data: Path) -> Truth:
    """Win rates of the mini zoo: the part of (image, rival) pairs that a source wins."""
    transfers = json.loads((shared_data / "minizoo" / "transfer.json").read_text())
    rows = [
        (name.removesuffix("/win"), source, value)
        for name, values in transfers.items()
        if name.endswith("/win")
        for source, value in values.items()
    ]
    table = pd.DataFrame(rows, columns=["target", "source", "value"])
    return Truth(table, "minizoo/transfer.json")
