"""Notes: once each, of their model and stage, also where a graph is taken from an earlier scan."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from cluster.extract.plan import GraphPlan, ModelPlan
from cluster.record.graph_facts import GraphFacts, facts_of_scan, read_graph_facts
from cluster.record.notes import ModelNote, matters_of, model_notes
from depara.config.schema import ModelConfig
from depara.store.layout import graph_folder
from depara.store.markers import GraphMarker
from depara.store.scans import write_table
from depara.store.schemas import TABLES
from depara.store.storage import Storage
from depara.types import InputSpec, LayerInfo, ModelCard, Note, ProbeRange

KEYS = {"conv1": "a" * 32, "conv2": "b" * 32}
ASSUMED = Note("input", "mean and std are assumed")
SLOW = Note("pass", "runs one probe at a time")
NOISE = Note("conditioning", "its maps are rounding noise", "conv2")


def plan(model_id: str = "m", notes: tuple[Note, ...] = (ASSUMED,)) -> ModelPlan:
    layers = tuple(LayerInfo(name, i, 1.0, 4, (4,)) for i, name in enumerate(KEYS))
    card = ModelCard(
        model_id, "python:zoo:Net", "line", "0" * 64, 1, InputSpec(32, (0.5,), (0.5,)), layers,
        "conv2", notes=notes,
    )  # fmt: skip
    graphs = tuple(GraphPlan(layer, KEYS[layer.name], True) for layer in layers)
    return ModelPlan(ModelConfig(id=model_id, source="python:zoo:Net"), card, graphs)


def write_marker(storage: Storage, layer: str, *notes: Note) -> None:
    marker = GraphMarker(
        KEYS[layer], "m", layer, 2, 4, 4, "set", (ProbeRange(0, 2),), {}, {}, 1.0, 1, 1e-9, notes
    )
    storage.create(f"{graph_folder(KEYS[layer])}/graph.json", marker.encode())


def test_a_note_of_the_whole_model_stands_once_however_many_graphs_carry_it() -> None:
    facts = {
        KEYS["conv1"]: GraphFacts(1e-3, (SLOW,)),
        KEYS["conv2"]: GraphFacts(1e-9, (SLOW, NOISE)),
    }
    found = model_notes([plan()], facts)
    assert found == (
        ModelNote("m", "resolve", ASSUMED),
        ModelNote("m", "extract", SLOW),
        ModelNote("m", "extract", NOISE),
    )


def test_equal_messages_are_one_matter_that_names_its_places() -> None:
    plans = [plan(name) for name in "abcde"]
    assumed, noise = matters_of((*model_notes(plans, {}), ModelNote("a", "extract", NOISE)))
    assert assumed.places == "a, b, c and 2 more"
    assert (noise.kind, noise.places) == ("conditioning", "a at conv2")


def test_facts_come_from_the_markers_unless_they_are_known(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    write_marker(storage, "conv1", SLOW)
    write_marker(storage, "conv2", SLOW, NOISE)
    known = {KEYS["conv1"]: GraphFacts(0.5)}
    facts = read_graph_facts(storage, KEYS.values(), known)
    assert facts == {KEYS["conv1"]: GraphFacts(0.5), KEYS["conv2"]: GraphFacts(1e-9, (SLOW, NOISE))}


def test_an_earlier_scan_gives_its_graphs_notes_back_but_not_those_of_the_opening(
    tmp_path: Path,
) -> None:
    storage = Storage(str(tmp_path))
    facts = {
        KEYS["conv1"]: GraphFacts(1e-3, (SLOW,), "bf16"),
        KEYS["conv2"]: GraphFacts(1e-9, (SLOW, NOISE)),
    }
    rows = [
        {**vars(one.note), "model_id": one.model_id, "stage": one.stage}
        for one in model_notes([plan()], facts)
    ]
    fact = write_table(storage, "one", "notes", pa.Table.from_pylist(rows, TABLES["notes"]))
    layers = [
        {
            "model_id": "m",
            "layer": n,
            "graph_key": k,
            "conditioning": facts[k].conditioning,
            "precision": facts[k].computed_in,
        }
        for n, k in KEYS.items()
    ]
    assert facts_of_scan(storage, {"scan_id": "one", "tables": {"notes": fact}}, layers) == facts
    assert facts_of_scan(storage, {"scan_id": "one", "tables": {}}, layers) == {}
