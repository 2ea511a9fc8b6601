"""What an earlier scan of the same output makes unnecessary, and what has changed since."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cluster.compare.analysis import KnownAnalysis
from cluster.compare.centre import KnownCentre
from cluster.compare.choice import KnownCandidates, choice_key
from cluster.compare.chosen import known_models
from cluster.compare.labelling import wants_label_scores
from cluster.compare.pairs import Known, KnownChosen, KnownPairs, Reduction
from cluster.record.graph_facts import GraphFacts, facts_of_scan
from depara.dotted import leaves
from depara.errors import StoreError
from depara.identity import short_hash
from depara.labelled import Labelling
from depara.similarity.stored import GraphRef, graph_refs
from depara.store.scans import finished_manifests, read_table
from depara.store.schemas import pair_columns
from depara.store.storage import Storage
from depara.types import Failure

_CANDIDATES = 5


@dataclass(frozen=True)
class PreviousScan:
    """A finished scan of the same method and probes.

    ``graphs`` are those of its `layers` table in order; ``nights`` says how many scans in a row
    a model has failed, by model; ``facts`` are those of its graphs by key.
    """

    manifest: dict[str, Any]
    graphs: tuple[GraphRef, ...]
    nights: dict[str, int]
    facts: Mapping[str, GraphFacts]

    @property
    def scan_id(self) -> str:
        """Its id."""
        return str(self.manifest["scan_id"])

    @property
    def targets(self) -> tuple[GraphRef, ...]:
        """Its target graphs, in the order of the columns of its similarity matrix."""
        if self.manifest.get("pairs") == "all":
            return self.graphs
        return tuple(graph for graph in self.graphs if graph.is_ranked)

    def fact(self, table: str) -> dict[str, Any]:
        """What its manifest says of a table."""
        return dict(self.manifest["tables"][table])


@dataclass(frozen=True)
class History:
    """The earlier scans, as far as this one needs them.

    ``previous`` is the scan to continue from, None when there is none of the same method and
    probes; ``reasons`` then says what differs from the latest one. ``nights`` says how many
    scans in a row models have failed in, whether their graphs are taken from that scan or not.
    """

    previous: PreviousScan | None
    known_ids: frozenset[str]
    reasons: tuple[str, ...]
    nights: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Changes:
    """The models of a scan by what became of them since the previous one."""

    new: tuple[str, ...]
    changed: tuple[str, ...]
    reused: tuple[str, ...]
    removed: tuple[str, ...]
    failed: tuple[str, ...]


def read_history(
    storage: Storage, settings: Mapping[str, Any], model_ids: Collection[str]
) -> History:
    """Returns what earlier scans offer to one with these comparison settings and models.

    Among the finished scans of equal settings it is the one that shares most models, the newest of
    several. One whose tables cannot be read is passed over.

    Args:
        storage: the output.
        settings: see `comparison_settings`.
        model_ids: of this scan.
    """
    manifests = finished_manifests(storage, tolerant=True)
    if not manifests:
        return History(None, frozenset(), ())
    wanted = set(model_ids)
    fitting = [m for m in manifests if m.get("comparison") == settings]
    order = sorted(
        range(len(fitting)), key=lambda i: (len(wanted & _model_ids(fitting[i])), i), reverse=True
    )
    for index in order[:_CANDIDATES]:
        previous = _open_previous(storage, fitting[index])
        if previous is not None:
            ids = frozenset(_model_ids(previous.manifest))
            return History(previous, ids, (), previous.nights)
    newest = manifests[-1]
    reasons = explain(newest.get("comparison"), settings) if not fitting else ()
    return History(None, frozenset(_model_ids(newest)), reasons)


def explain(before: Mapping[str, Any] | None, now: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns what differs between two scans' comparison settings, one line each."""
    if before is None:
        return ("the latest scan is of an older version",)
    old, new = dict(leaves(before)), dict(leaves(now))
    lines = []
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) == new.get(name) or name == "probe_set":
            continue
        if name == "attribution.map_side" and _map_is_canvas(old) and _map_is_canvas(new):
            continue  # it follows from the canvas
        lines.append(f"{name}: {old.get(name)} -> {new.get(name)}")
    if old.get("probe_set") != new.get("probe_set") and not lines:
        lines.append("the probe images are others")
    return tuple(lines)


def known_candidates(
    reduction: Reduction, previous: PreviousScan | None, storage: Storage
) -> KnownCandidates:
    """Returns what the previous scan found of the nearest models, with estimates of the same."""
    nothing = KnownCandidates.none(len(reduction.outputs))
    if previous is None or previous.manifest.get("pairs") != "nearest":
        return nothing
    try:
        table = read_table(storage, previous.scan_id, "nearest", previous.fact("nearest"))
    except (StoreError, KeyError):
        return nothing
    found = KnownCandidates.of_table(table, reduction.outputs, previous.graphs)
    is_same = previous.manifest["nearest"].get("key") == choice_key(
        reduction.config.similarity.terms
    )
    return found if is_same else found.of_other_terms()


def known_pairs(
    reduction: Reduction,
    previous: PreviousScan | None,
    candidates: KnownCandidates | None = None,
) -> Known | None:
    """Returns the pairs that the previous scan holds, or None when there are none to use.

    Args:
        reduction: what is compared.
        previous: the scan.
        candidates: what it found of the nearest models, where these are chosen.
    """
    if previous is None:
        return None
    scores = set(previous.manifest.get("scores", []))
    if not set(pair_columns(reduction.config.similarity.computed_scores)) <= scores:
        return None
    if reduction.chosen is not None:
        assert candidates is not None
        return _known_chosen(reduction, previous, candidates)
    if previous.manifest.get("pairs") == "nearest":
        return None  # some of each target's alone
    targets = previous.targets
    if reduction.is_square and targets != previous.graphs:
        return None  # half of a square costs less than what a narrow table saves
    row = {graph.key: place for place, graph in enumerate(previous.graphs)}
    column = {graph.key: place for place, graph in enumerate(targets)}
    known = KnownPairs(
        scan_id=previous.scan_id,
        facts=dict(previous.manifest["tables"]),
        num_sources=len(previous.graphs),
        target_models=tuple(graph.model_id for graph in targets),
        sources=tuple(row.get(graph.key) for graph in reduction.sources),
        targets=tuple(column.get(graph.key) for graph in reduction.targets),
    )
    return known if known.count else None


def _known_chosen(
    reduction: Reduction, previous: PreviousScan, candidates: KnownCandidates
) -> KnownChosen | None:
    """Those of chosen models, by the names that both scans have for them."""
    assert reduction.chosen is not None
    models = [graph.model_id for graph in reduction.outputs]
    compared = candidates.pairs if previous.manifest.get("pairs") == "nearest" else None
    is_same = _same_graphs(reduction.sources, previous.graphs)
    chosen = known_models(
        reduction.chosen, np.array([name in is_same for name in models], np.bool_), compared
    )
    known = KnownChosen(previous.scan_id, dict(previous.manifest["tables"]), chosen)
    return known if known.count else None


def _same_graphs(now: Sequence[GraphRef], then: Sequence[GraphRef]) -> set[str]:
    """The models that have, with their twins, the very same graphs in both."""
    found: list[dict[str, set[GraphRef]]] = [{}, {}]
    for graphs, by_model in zip((now, then), found, strict=True):
        for graph in graphs:
            by_model.setdefault(graph.null_of or graph.model_id, set()).add(graph)
    return {name for name, graphs in found[0].items() if found[1].get(name) == graphs}


def known_centre(reduction: Reduction, previous: PreviousScan | None) -> KnownCentre | None:
    """Returns the previous scan's centre: of the same output graphs, and with all graphs of now."""
    if previous is None or "centre" not in previous.manifest["tables"]:
        return None
    ranked = sorted(graph.key for graph in previous.graphs if graph.is_ranked)
    row = {graph.key: place for place, graph in enumerate(previous.graphs)}
    if ranked != sorted(graph.key for graph in reduction.outputs):
        return None
    rows = [row.get(graph.key) for graph in reduction.sources]
    known = tuple(place for place in rows if place is not None)
    if len(known) < len(rows):
        return None
    return KnownCentre(previous.scan_id, previous.fact("centre"), known)


def known_analysis(
    reduction: Reduction, labels: Sequence[str | None], previous: PreviousScan | None
) -> KnownAnalysis | None:
    """Returns what the previous scan has analysed of these graphs, or None."""
    if previous is None:
        return None
    labelled = {}
    if wants_label_scores(reduction, labels) and previous.manifest.get("labels_key") == labels_key(
        reduction, labels
    ):
        labelled = {
            graph.key: (graph.model_id, graph.layer)
            for graph in previous.graphs
            if not graph.null_of
        }
    facts = dict(previous.manifest["tables"])
    has_rankings = previous.manifest.get("rankings_key") == rankings_key(reduction)
    return KnownAnalysis(
        scan_id=previous.scan_id,
        facts=facts,
        has_rankings=has_rankings,
        labelled=labelled,
        has_label_ranking=has_rankings and bool(labelled) and "label_ranking" in facts,
    )


def rankings_key(reduction: Reduction) -> str:
    """Returns the identity of what the uncertainty of the rankings depends on.

    The time that the resamples may take is none of it: an unchanged zoo keeps its intervals.
    """
    config = reduction.config
    layer_terms = config.similarity.own_layer_terms
    return short_hash(
        {
            "graphs": [
                [g.model_id, g.layer, g.depth, g.key, g.is_output, g.null_of]
                for g in reduction.sources
            ],
            "terms": config.similarity.terms,
            **({"layer_terms": layer_terms} if layer_terms else {}),
            **({"models": reduction.chosen.models_BK.tolist()} if reduction.chosen else {}),
            "resamples": config.uncertainty.resamples,
            "seed": config.uncertainty.seed,
        }
    )


def labels_key(reduction: Reduction, labels: Sequence[str | None]) -> str | None:
    """Returns the identity of the labels, the boxes, and the scores with them; None for no score.

    A version that knows more scores, or other shares of hard probes, computes them all anew.
    """
    if not wants_label_scores(reduction, labels):
        return None
    objects = reduction.objects
    names = Labelling(tuple(labels), objects).names(reduction.config.similarity.hard)
    boxes = [] if objects is None else [objects.key, list(objects.labels)]
    return short_hash([list(labels), list(names), *boxes])


def failed_models(failures: Sequence[Failure]) -> tuple[str, ...]:
    """Returns the models that some failures are of, once each, in order."""
    return tuple(dict.fromkeys(f.model_id for f in failures if f.model_id))


def classify(graphs: Sequence[GraphRef], failed: Collection[str], history: History) -> Changes:
    """Returns what became of each model: new, changed, reused, removed or failed.

    Args:
        graphs: of the models of this scan that did not fail.
        failed: the models that did.
        history: the earlier scans.
    """
    now = _keys_by_model(graphs)
    then = _keys_by_model(history.previous.graphs if history.previous else ())
    new = [name for name in now if name not in history.known_ids]
    reused = [name for name in now if then.get(name) == now[name]]
    changed = [name for name in now if name not in new and name not in reused]
    gone = history.known_ids - now.keys() - set(failed)
    return Changes(tuple(new), tuple(changed), tuple(reused), tuple(sorted(gone)), tuple(failed))


def count_nights(failures: Sequence[Failure], history: History) -> list[int | None]:
    """Returns for each failure how many scans in a row its model has failed in; None for probes."""
    return [
        history.nights.get(failure.model_id, 0) + 1 if failure.model_id else None
        for failure in failures
    ]


def _keys_by_model(graphs: Sequence[GraphRef]) -> dict[str, dict[str, str]]:
    keys: dict[str, dict[str, str]] = {}
    for graph in graphs:
        keys.setdefault(graph.model_id, {})[graph.layer] = graph.key
    return keys


def _model_ids(manifest: Mapping[str, Any]) -> set[str]:
    changes = manifest.get("changes", {})
    return {
        name for group in ("new", "changed", "reused", "failed") for name in changes.get(group, [])
    }


def _open_previous(storage: Storage, manifest: dict[str, Any]) -> PreviousScan | None:
    scan_id, facts = str(manifest["scan_id"]), manifest.get("tables", {})
    try:
        tables = {
            name: read_table(storage, scan_id, name, facts[name]).to_pylist()
            for name in ("models", "layers", "failures")
        }
    except (StoreError, KeyError):
        return None
    graphs = graph_refs(tables["layers"], tables["models"])
    nights = {row["model_id"]: row["nights"] or 1 for row in tables["failures"] if row["model_id"]}
    facts_by_key = facts_of_scan(storage, manifest, tables["layers"])
    return PreviousScan(manifest, graphs, nights, facts_by_key)


def _map_is_canvas(settings: Mapping[str, Any]) -> bool:
    return settings.get("attribution.map_side") == settings.get("canvas_side")
