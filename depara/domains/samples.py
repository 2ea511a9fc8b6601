"""The probes of one scan as one model sees them: what sets are compared by.

``N`` probes, ``D`` features.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from depara.errors import ConfigError, DamagedGraphError
from depara.results import ScanResults
from depara.store.graphs import open_graph
from depara.store.storage import Storage
from depara.types import Float64

_FEWEST = 2


@dataclass(frozen=True, eq=False)
class Sample:
    """A probe set under one model.

    ``name`` is what the set is called, ``vectors_ND`` the features of the model's output layer, or
    their sketch where there are more than are kept (`depara.store.vectors`), ``labels`` those of
    the probes, ``settings`` all that the features depend on beside the probes.
    """

    name: str
    model_id: str
    vectors_ND: Float64
    labels: tuple[str | None, ...]
    settings: Mapping[str, Any]

    @cached_property
    def labelled(self) -> Sample | None:
        """The labelled probes alone, None unless they are of two classes at least."""
        places = [i for i, label in enumerate(self.labels) if label is not None]
        labels = tuple(self.labels[i] for i in places)
        if len(set(labels)) < 2:
            return None
        return Sample(self.name, self.model_id, self.vectors_ND[places], labels, self.settings)

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels of a set of which every probe has one."""
        labels = tuple(label for label in self.labels if label is not None)
        assert len(labels) == len(self.labels)
        return labels


def read_sample(scan: ScanResults, name: str, model: str) -> Sample:
    """Returns the probes of a scan as one of its models sees them, at its output layer.

    Args:
        scan: a finished scan.
        name: what to call its probe set.
        model: of the scan.

    Raises:
        ConfigError: no such model, or its features are not kept, and the fix.
        StoreError: the graph is damaged or was collected.
    """
    scan.require_model(model, "model")
    graph = open_graph(Storage(scan.output), scan.graph_key(model))
    vectors_ND = graph.read_vectors()
    if vectors_ND is None:
        raise ConfigError(
            f"{name}: scan {scan.scan_id} keeps no features of model {model!r}: scan with "
            "store_features: true, and --fresh where its graphs are there already"
        )
    if len(vectors_ND) < _FEWEST:
        raise ConfigError(f"{name}: scan {scan.scan_id} has one probe, a set needs {_FEWEST}")
    labels = tuple(probe.label for probe in scan.probes())
    settings = {
        **{key: graph.marker.settings.get(key) for key in ("weights_sha256", "architecture")},
        "input": graph.marker.settings.get("input"),
        "canvas.side": graph.marker.settings.get("canvas_side"),
        "edges.features": graph.marker.settings.get("edges", {}).get("features"),
        "layer": graph.marker.layer,
    }
    return Sample(name, model, vectors_ND.astype(np.float64), labels, settings)


def require_comparable(one: Sample, other: Sample) -> None:
    """Raises ConfigError unless the features of both are of one model, cut and fed alike."""
    for field, value in one.settings.items():
        if other.settings[field] != value:
            raise ConfigError(
                f"model {one.model_id!r} does not have the same features in {one.name} and in "
                f"{other.name}: {field} is {value} and {other.settings[field]}; scan both with "
                "the same model and settings"
            )


def require_labelled(sample: Sample) -> Sample:
    """Returns the labelled probes of a set.

    Raises:
        ConfigError: they are not of two classes.
    """
    if sample.labelled is None:
        raise ConfigError(
            f"the probes of {sample.name} are not labelled with two classes: scan labelled probes "
            "(probes.label_column, or a folder per class)"
        )
    return sample.labelled


def shared_models(scans: Mapping[str, ScanResults]) -> list[str]:
    """Returns the models that all scans have, by id, without random-weights twins.

    Raises:
        ConfigError: there is none.
    """
    found = [_models(scan) for scan in scans.values()]
    names = [name for name in found[0] if all(name in others for others in found[1:])]
    if not names:
        first, second = list(scans)[:2]
        raise ConfigError(
            f"{first} and the others have no model in common: {first} has "
            f"{', '.join(found[0][:6])}; {second} has {', '.join(found[1][:6])}; scan the same "
            "models, under the same ids, on each probe set"
        )
    return names


def comparable_samples(
    scans: Mapping[str, ScanResults], model: str | None, left_out: dict[str, str]
) -> Iterator[Sequence[Sample]]:
    """Yields every shared model's samples, one per scan, those of one model at a time in memory.

    Args:
        scans: by the names of their probe sets.
        model: this one alone; None is all that the scans share.
        left_out: is given the models that cannot be compared, and why.

    Raises:
        ConfigError: no model can be compared, or not the one that was asked for.
    """
    names = shared_models(scans) if model is None else [model]
    for name in names:
        try:
            samples = [read_sample(scan, one, name) for one, scan in scans.items()]
            for other in samples[1:]:
                require_comparable(samples[0], other)
        except (ConfigError, DamagedGraphError) as error:
            left_out[name] = str(error)
            if len(left_out) == len(names):
                raise
            continue
        yield samples


def _models(scan: ScanResults) -> list[str]:
    table = scan.table("models")
    twins = set(table.loc[table["null_of"].notna(), "model_id"])
    return [name for name in scan.models() if name not in twins]
