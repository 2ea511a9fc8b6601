"""The tables of a query: those of a scan, with the rows that the queried model takes part in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from depara.catalog import TERMS
from depara.query.centre import QueryCentre
from depara.query.own import OwnModel
from depara.query.zoo import Zoo
from depara.results import ScanResults
from depara.similarity import combine, layer_ranking, model_ranking
from depara.similarity.centre import centred_pairs
from depara.similarity.nulls import null_similarity, without_sources
from depara.store.artifacts import table_of_rows
from depara.store.describing import layer_columns, model_columns
from depara.store.graphs import CommittedGraph
from depara.store.schemas import TABLES
from depara.types import Note

_PAIR = (
    "source_model",
    "source_layer",
    "target_model",
    "target_layer",
    "similarity",
    *(term.column for term in TERMS.values()),
)


def ranking_tables(
    own: OwnModel,
    zoo: Zoo,
    similarity: pa.Table,
    scan: ScanResults,
    centre: QueryCentre | None,
) -> dict[str, pa.Table]:
    """Returns ``similarity``, ``model_ranking`` and ``layer_ranking`` of a query.

    The model ranking has all sources of the model, and for every other target the one row of the
    model itself, ranked among the sources that the scan has ranked.

    Args:
        own: the model.
        zoo: the zoo.
        similarity: its pairs with the zoo.
        scan: the scan, for how its sources rank.
        centre: of zoo and model.
    """
    null_of = {graph.model_id: graph.null_of for graph in zoo.graphs if graph.null_of}
    outputs = {graph.model_id: graph.layer for graph in (*zoo.outputs, own.output)}
    depths = {(graph.model_id, graph.layer): graph.depth for graph in (*zoo.graphs, *own.refs)}
    ranked = without_sources(similarity, null_of)
    others = _others(zoo, scan, centre)
    ranking = model_ranking(pa.concat_tables([ranked.select(_PAIR), others]), outputs)
    name = own.card.model_id
    is_mine = pc.or_(
        pc.equal(ranking["source_model"], name), pc.equal(ranking["target_model"], name)
    )
    ranking = ranking.filter(is_mine)
    floor = null_similarity(ranking, similarity, null_of)
    return {
        "similarity": similarity,
        "model_ranking": ranking.append_column("null_similarity", floor),
        "layer_ranking": layer_ranking(
            ranked, outputs, depths, zoo.config.similarity.own_layer_terms
        ),
    }


def describing_tables(own: OwnModel, graphs: Mapping[str, CommittedGraph]) -> dict[str, pa.Table]:
    """Returns ``models``, ``layers`` and ``notes`` of the model alone.

    Args:
        own: the model.
        graphs: its graphs by layer.
    """
    card, markers = own.card, {name: graph.marker for name, graph in graphs.items()}
    model = {"model_id": card.model_id, "source": card.source, "status": "computed"}
    layers = [
        layer_columns(card, layer, own.keys[layer.name], marker.conditioning, marker.computed_in)
        for layer in card.layers
        for marker in (markers[layer.name],)
    ]
    notes: dict[tuple[str, Note], None] = dict.fromkeys(("resolve", note) for note in card.notes)
    for layer in card.layers:
        notes |= dict.fromkeys(("extract", note) for note in markers[layer.name].notes)
    rows: dict[str, list[dict[str, Any]]] = {
        "models": [{**model, **model_columns(card)}],
        "layers": layers,
        "notes": [
            {**vars(note), "model_id": card.model_id, "stage": stage} for stage, note in notes
        ],
    }
    return {name: table_of_rows(part, TABLES[name]) for name, part in rows.items()}


def _others(zoo: Zoo, scan: ScanResults, centre: QueryCentre | None) -> pa.Table:
    """The pairs of output graphs that the scan has ranked, of models that are still compared.

    Their centred similarity is with the model in the mean, as that of its own pairs.
    """
    names = [graph.model_id for graph in zoo.outputs]
    table = scan.arrow_table("model_ranking", names).select(_PAIR)
    table = table.filter(pc.is_in(table["source_model"], value_set=pa.array(names, pa.string())))
    if centre is None:
        return table
    place = {ref.model_id: centre.place[ref.key] for ref in zoo.outputs}
    sources, targets = (
        [place[name] for name in table[f"{side}_model"].to_pylist()]
        for side in ("source", "target")
    )
    scores = {term.column: table[term.column].to_numpy() for term in TERMS.values()}
    centred = TERMS["node_centred"].column
    scores[centred] = centred_pairs(scores["node_similarity"], centre.centre, sources, targets)
    scores["similarity"] = combine(scores, zoo.config.similarity.terms)
    for name in (centred, "similarity"):
        field = table.schema.get_field_index(name)
        table = table.set_column(field, table.schema.field(name), pa.array(scores[name]))
    return table
