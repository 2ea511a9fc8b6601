"""Ensembles of a finished scan's models: for a target among them, or for the labelled probes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from depara.ensembles.choice import Ensemble, choose
from depara.ensembles.predictions import e_leep, ms_leep
from depara.ensembles.smoothers import predicted_share, unit_gram
from depara.errors import ConfigError
from depara.labelled.features import LabelledFeatures
from depara.labelled.outputs import expected_predictions
from depara.results import ScanResults
from depara.store.graphs import open_graph
from depara.store.storage import Storage
from depara.types import Float64

_MOST_VALUES = 2**28
_FEWEST_KEPT = 50

LABEL_FREE = "directed"
WITH_LABELS: Mapping[str, Callable[[Sequence[Float64]], float]] = {
    "e_leep": e_leep,
    "ms_leep": ms_leep,
}
"""What may be maximised for labelled probes; the first is the default."""


def ensemble_for(scan: ScanResults, target: str, size: int = 3) -> Ensemble:
    """Returns the models that together predict a target's features best, at their output layers.

    It reads the Grams of all output graphs and inverts one matrix of all probes per candidate and
    step.

    Args:
        scan: a finished scan.
        target: the model that stands for the task; it is no candidate.
        size: most members.

    Raises:
        ConfigError: no such model, or no other one.
        StoreError: a graph is damaged or was collected.
    """
    scan.require_model(target, "target")
    target_NN = _gram(scan, target)
    others = [name for name in _candidates(scan) if name != target]
    if not others:
        raise ConfigError(f"scan {scan.scan_id} has no other model than {target!r} to combine")
    most = max(_MOST_VALUES // target_NN.size, _FEWEST_KEPT)
    parts: dict[str, Float64] = {}
    alone: dict[str, float] = {}
    left_out: dict[str, str] = {}
    for name in others:
        parts[name] = _gram(scan, name)
        alone[name] = predicted_share([parts[name]], target_NN)
        if len(parts) > most:
            last = min(parts, key=lambda one: alone[one])
            del parts[last]
            left_out[last] = f"alone it is not among the {most} best, all that fit into memory"
    steps = choose(parts, lambda members: predicted_share(members, target_NN), size)
    return Ensemble(LABEL_FREE, target, steps, size, len(parts), left_out)


def ensemble_for_labels(scan: ScanResults, size: int = 3, score: str = "e_leep") -> Ensemble:
    """Returns the classifiers whose predictions together tell the labels of the probes best.

    The values are of the probes that the predictions were counted on, so that models of many
    classes look better than they are where probes are few.

    Args:
        scan: a finished scan of labelled probes.
        size: most members.
        score: of `WITH_LABELS`.

    Raises:
        ConfigError: no such score, no labels, or no model's return value is kept; and the fix.
        StoreError: a graph is damaged or was collected.
    """
    if score not in WITH_LABELS:
        raise ConfigError(f"no score {score!r} of an ensemble: choose {' or '.join(WITH_LABELS)}")
    labels = [probe.label for probe in scan.probes()]
    if len({label for label in labels if label is not None}) < 2:
        raise ConfigError(
            f"the probes of scan {scan.scan_id} are not labelled with two classes: name a target, "
            "one of its models, or scan labelled probes (probes.label_column)"
        )
    chances: dict[str, Float64] = {}
    left_out: dict[str, str] = {}
    for name in _candidates(scan):
        graph = open_graph(Storage(scan.output), scan.graph_key(name))
        outputs_NC = graph.read_outputs()
        if outputs_NC is None:
            left_out[name] = "no return value of it is kept"
        else:
            features = LabelledFeatures.select(graph.read_grams(), labels, outputs_NC)
            chances[name] = expected_predictions(features)
    if not chances:
        raise ConfigError(
            f"scan {scan.scan_id} keeps no model's return value: it is kept of models that return "
            "one row of 2 or more values per probe, where graphs were made with labelled probes or "
            "store_outputs (scan with --fresh to make them anew); or name a target"
        )
    steps = choose(chances, WITH_LABELS[score], size)
    return Ensemble(score, None, steps, size, len(chances), left_out)


def _candidates(scan: ScanResults) -> list[str]:
    """Returns the models that worked, without random-weights twins."""
    models = scan.table("models")
    twins = set(models.loc[models["null_of"].notna(), "model_id"])
    return [name for name in scan.models() if name not in twins]


def _gram(scan: ScanResults, model: str) -> Float64:
    graph = open_graph(Storage(scan.output), scan.graph_key(model))
    return unit_gram(graph.read_grams().zscored_NN)
