"""Distances of probe sets under every model that their scans share."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import combinations

import pandas as pd

from depara.domains.distances import by_chance, pooled
from depara.domains.rows import SET_DISTANCES
from depara.domains.samples import Sample, comparable_samples
from depara.errors import ConfigError
from depara.results import ScanResults

_WHERE = ["model_id", "set_a", "set_b"]


@dataclass(frozen=True)
class SetDistances:
    """How far probe sets are apart: one row per model and pair of sets.

    ``frame`` has ``model_id, set_a, set_b``, the rows of `SET_DISTANCES`, and beside
    ``emd`` and ``frechet`` what they are by chance (`by_chance`). ``left_out`` says of each model
    that the scans share and that cannot be compared why.
    """

    sets: tuple[str, ...]
    frame: pd.DataFrame
    left_out: Mapping[str, str]

    def matrix(self, score: str, model: str | None = None) -> pd.DataFrame:
        """Returns one distance between all sets under one model: square, symmetric, 0 with itself.

        Args:
            score: of `SET_DISTANCES`.
            model: None where there is only one.

        Raises:
            ConfigError: no such score, or no such model.
        """
        if score not in SET_DISTANCES:
            raise ConfigError(
                f"no distance {score!r} of probe sets: choose {' or '.join(SET_DISTANCES)}"
            )
        models = self.frame["model_id"].unique().tolist()
        if model is None and len(models) > 1:
            raise ConfigError(f"a matrix is of one model, name it: {', '.join(models[:10])}")
        if model is not None and model not in models:
            raise ConfigError(f"no distances under model {model!r}: there is {', '.join(models)}")
        table = pd.DataFrame(0.0, index=list(self.sets), columns=list(self.sets))
        rows = self.frame[self.frame["model_id"] == (model or models[0])]
        for one, other, value in zip(rows["set_a"], rows["set_b"], rows[score], strict=True):
            table.loc[one, other] = table.loc[other, one] = value
        return table

    def record(self) -> dict[str, object]:
        """Returns everything as JSON-ready values."""
        return {
            "sets": list(self.sets),
            "left_out": dict(self.left_out),
            "distances": self.frame.to_dict("records"),
        }


def compare_sets(scans: Mapping[str, ScanResults], model: str | None = None) -> SetDistances:
    """Returns the distances of the probe sets of several scans, under the models that all have.

    All are of the features of the models' output layers, on one scale (`pooled`); `pge` is NaN
    unless the probes of both sets are labelled.

    Args:
        scans: two or more finished scans, by the names of their probe sets.
        model: under this model alone; None is all that the scans share.

    Raises:
        ConfigError: fewer than two scans, no shared model, or features that are not kept.
        StoreError: a graph is damaged or was collected.
    """
    if len(scans) < 2:
        raise ConfigError("a distance is between two probe sets: name two different outputs")
    left_out: dict[str, str] = {}
    rows = [
        _row(one, other)
        for samples in comparable_samples(scans, model, left_out)
        for one, other in combinations(samples, 2)
    ]
    frame = pd.DataFrame(rows)
    return SetDistances(tuple(scans), frame, left_out)


def _row(one: Sample, other: Sample) -> dict[str, object]:
    where = (one.model_id, one.name, other.name)
    row: dict[str, object] = dict(zip(_WHERE, where, strict=True))
    first_ND, second_MD = pooled(one.vectors_ND, other.vectors_ND)
    for name, distance in SET_DISTANCES.items():
        if distance.has_labels:
            row[name] = _with_labels(distance.function, one.labelled, other.labelled)
            continue
        row[name] = distance.function(first_ND, second_MD)
        row[f"{name}_chance"] = by_chance(distance.function, first_ND, second_MD)
    return row


def _with_labels(distance: Callable[..., float], one: Sample | None, other: Sample | None) -> float:
    if one is None or other is None:
        return math.nan
    return distance(one.vectors_ND, one.classes, other.vectors_ND, other.classes)
