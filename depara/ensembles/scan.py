"""Ensembles of a finished scan's models: for a target among them, or for the labelled probes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from depara.domains import read_sample
from depara.domains.samples import require_comparable
from depara.ensembles.choice import Ensemble, choose
from depara.ensembles.osborn import member, member_of_source, osborn
from depara.ensembles.predictions import e_leep, ms_leep
from depara.ensembles.smoothers import predicted_share, unit_gram
from depara.errors import ConfigError
from depara.grams import centred
from depara.labelled.features import LabelledFeatures
from depara.labelled.outputs import expected_predictions
from depara.results import ScanResults
from depara.store.graphs import CommittedGraph, open_graph
from depara.store.storage import Storage
from depara.types import Float64

LABEL_FREE = "directed"


@dataclass(frozen=True)
class _Rule:
    """What is taken of each model, the value of a set of them, and whether sets are filled."""

    part: Callable[[LabelledFeatures], Any]
    value: Callable[[Sequence[Any]], float]
    fills: bool = False


OF_OUTPUTS: Mapping[str, _Rule] = {
    "e_leep": _Rule(expected_predictions, e_leep),
    "ms_leep": _Rule(expected_predictions, ms_leep),
    "osborn": _Rule(member, osborn, fills=True),
}
WITH_LABELS = ("label_share", *OF_OUTPUTS)
"""What may be maximised for labelled probes; the first, of features, is the default."""

_MOST_VALUES = 2**28
_FEWEST_KEPT = 50


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
    others = [name for name in _candidates(scan) if name != target]
    if not others:
        raise ConfigError(f"scan {scan.scan_id} has no other model than {target!r} to combine")
    target_NN = _gram(scan, target)
    return _of_features(lambda name: _gram(scan, name), others, target_NN, size, LABEL_FREE, target)


def ensemble_for_labels(
    scan: ScanResults,
    size: int = 3,
    score: str = WITH_LABELS[0],
    sources: Mapping[str, ScanResults] | None = None,
) -> Ensemble:
    """Returns the models that together tell the labels of the probes best, at their output layers.

    ``label_share`` is the share of the one-hot labels' variance that ridge regression on all
    members' features predicts at left-out probes: `predicted_share` with the labels for the target.
    ``e_leep``, ``ms_leep`` and ``osborn`` are of what classifiers return; their values are of the
    probes that the predictions were counted on, so that models of many classes look better than
    they are where probes are few.

    Args:
        scan: a finished scan of labelled probes.
        size: most members.
        score: of `WITH_LABELS`.
        sources: for ``osborn`` and its domain term, by model a scan of samples of what it was
            trained with, in which it is under the same name and its features are kept.

    Raises:
        ConfigError: no such score, no labels, no model's return value is kept, or samples that
            cannot be compared with the probes; and the fix.
        StoreError: a graph is damaged or was collected.
    """
    if score not in WITH_LABELS:
        raise ConfigError(f"no score {score!r} of an ensemble: choose {' or '.join(WITH_LABELS)}")
    if sources and score != "osborn":
        raise ConfigError(f"samples of sources are for osborn alone, the score is {score}")
    for name in sources or ():
        scan.require_model(name, "model")
    labels = [probe.label for probe in scan.probes()]
    if len({label for label in labels if label is not None}) < 2:
        raise ConfigError(
            f"the probes of scan {scan.scan_id} are not labelled with two classes: name a target, "
            "one of its models, or scan labelled probes (probes.label_column)"
        )
    if score in OF_OUTPUTS:
        return _of_outputs(scan, labels, size, score, sources or {})
    names = _candidates(scan)
    first = LabelledFeatures.select(_graph(scan, names[0]).read_grams(), labels)
    target_NN = centred(first.indicators_NK @ first.indicators_NK.T)

    def read(name: str) -> Float64:
        features = LabelledFeatures.select(_graph(scan, name).read_grams(), labels)
        return unit_gram(centred(features.zscored_NN))

    return _of_features(read, names, target_NN, size, score, None)


def _of_features(
    read: Callable[[str], Float64],
    names: Sequence[str],
    target_NN: Float64,
    size: int,
    score: str,
    target: str | None,
) -> Ensemble:
    """Returns a set by `predicted_share`, in the memory of the Grams of the best candidates."""
    most = max(_MOST_VALUES // target_NN.size, _FEWEST_KEPT)
    parts: dict[str, Float64] = {}
    alone: dict[str, float] = {}
    left_out: dict[str, str] = {}
    for name in names:
        parts[name] = read(name)
        alone[name] = predicted_share([parts[name]], target_NN)
        if len(parts) > most:
            last = min(parts, key=lambda one: alone[one])
            del parts[last]
            left_out[last] = f"alone it is not among the {most} best, all that fit into memory"
    steps = choose(parts, lambda members: predicted_share(members, target_NN), size)
    return Ensemble(score, target, steps, size, len(parts), left_out)


def _of_outputs(
    scan: ScanResults,
    labels: Sequence[str | None],
    size: int,
    score: str,
    sources: Mapping[str, ScanResults],
) -> Ensemble:
    """Returns a set by the return values of those models of which they are kept."""
    rule = OF_OUTPUTS[score]
    parts: dict[str, Any] = {}
    left_out: dict[str, str] = {}
    for name in _candidates(scan):
        graph = _graph(scan, name)
        outputs_NC = graph.read_outputs()
        if outputs_NC is None:
            left_out[name] = "no return value of it is kept"
        elif sources and name not in sources:
            left_out[name] = "no samples of its source are given"
        else:
            features = LabelledFeatures.select(graph.read_grams(), labels, outputs_NC)
            if sources:
                source = read_sample(sources[name], f"the source of {name}", name)
                target = read_sample(scan, "the target", name)
                require_comparable(source, target)
                parts[name] = member_of_source(features, source, target)
            else:
                parts[name] = rule.part(features)
    if sources and not parts:
        raise ConfigError(
            "of none of the models with samples of their source (--source) a return value is kept: "
            "give samples of classifiers, scanned with labelled probes or store_outputs"
        )
    if not parts:
        raise ConfigError(
            f"scan {scan.scan_id} keeps no model's return value: it is kept of models that return "
            "one row of 2 or more values per probe, where graphs were made with labelled probes or "
            "store_outputs (scan with --fresh to make them anew); choose by label_share instead"
        )
    steps = choose(parts, rule.value, size, fills=rule.fills)
    return Ensemble(score, None, steps, size, len(parts), left_out)


def _candidates(scan: ScanResults) -> list[str]:
    """Returns the models that worked, without random-weights twins."""
    models = scan.table("models")
    twins = set(models.loc[models["null_of"].notna(), "model_id"])
    return [name for name in scan.models() if name not in twins]


def _graph(scan: ScanResults, model: str) -> CommittedGraph:
    return open_graph(Storage(scan.output), scan.graph_key(model))


def _gram(scan: ScanResults, model: str) -> Float64:
    return unit_gram(_graph(scan, model).read_grams().zscored_NN)
