"""Sketches beside graphs: they go with their graph, and keep no graph from being checked."""

from __future__ import annotations

from pathlib import Path

from depara import open_scan
from depara.maintenance import collect, plan_collection, verify_output
from depara.store.storage import Storage
from tests.maintenance.outputs import age, keys_of
from tests.maintenance.plans import names


def sketches(root: Path) -> set[str]:
    return {path.parent.name for path in root.rglob("sketch.parquet")}


def test_a_sketch_goes_with_its_graph(root: Path, storage: Storage) -> None:
    for scan, models in (("one", "ab"), ("two", "bc")):
        for model in models:
            open_scan(str(root), scan).nearest(model, exact=False)
    assert sketches(root) == keys_of(root, "one") | keys_of(root, "two")
    age(root, 10)
    plan = plan_collection(storage, keep_scans=2)
    going = keys_of(root, "one") - keys_of(root, "two")
    assert names(plan, "graphs") == going
    assert not collect(storage, plan).spared
    assert sketches(root) == keys_of(root, "two")
    assert verify_output(storage).is_sound


def test_a_young_sketch_keeps_its_graph_for_the_grace_period(root: Path, storage: Storage) -> None:
    age(root, 10)
    assert names(plan_collection(storage, keep_scans=2), "graphs")
    open_scan(str(root), "one").nearest("b", exact=False)
    assert not names(plan_collection(storage, keep_scans=2), "graphs")
