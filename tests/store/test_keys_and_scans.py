"""Keys change exactly with what changes the numbers; scans are finished by their manifest."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from depara.config import parse_scan
from depara.errors import StoreError
from depara.store.artifacts import encode_table
from depara.store.keys import graph_key, method_settings
from depara.store.layout import table_path
from depara.store.scans import (
    finish_scan,
    finished_manifests,
    finished_scans,
    latest_sequence,
    read_manifest,
    read_table,
    remove_unfinished,
    resolve_scan_id,
    write_table,
)
from depara.store.schemas import TABLES
from depara.store.storage import Storage
from depara.types import InputSpec, LayerInfo, ModelCard

SCAN = "probes: {source: x}\nmodels: [{id: a, source: 'torchvision:resnet18'}]"
LAYER = LayerInfo("layer1", 0, 1.0, 10, (10,))
CARD = ModelCard(
    model_id="a",
    source="torchvision:resnet18",
    architecture="resnet18",
    weights_sha256="0" * 64,
    num_parameters=1,
    input=InputSpec(224, (0.5,) * 3, (0.5,) * 3),
    layers=(LAYER,),
    output_layer="layer1",
)


def key(card: ModelCard = CARD, layer: LayerInfo = LAYER, probes: str = "p", *sets: str) -> str:
    return graph_key(card, layer, probes, method_settings(parse_scan(SCAN, sets).config))


def test_a_key_ignores_names_and_resources() -> None:
    assert key() == key(replace(CARD, model_id="other", seconds_per_probe=9.0))
    assert key() == key(replace(CARD), replace(LAYER, depth=5, depth_fraction=0.1))
    for override in ("compute.batch_size=4", "compute.workers=7", "similarity.lambda=9"):
        assert key() == key(CARD, LAYER, "p", override)
    assert key() == key(CARD, LAYER, "p", "attribution.steps=5")
    assert key() == key(CARD, LAYER, "p", "attribution.map_side=224")


@pytest.mark.parametrize(
    "other",
    [
        key(replace(CARD, weights_sha256="1" * 64)),
        key(replace(CARD, architecture="resnet34")),
        key(replace(CARD, input=InputSpec(256, (0.5,) * 3, (0.5,) * 3))),
        key(replace(CARD, input=InputSpec(224, (0.5,) * 3, (0.5,) * 3, "bgr"))),
        key(CARD, replace(LAYER, name="layer2")),
        key(CARD, LAYER, "q"),
        key(CARD, LAYER, "p", "attribution.scalar=mean"),
        key(CARD, LAYER, "p", "attribution.map_side=56"),
        key(CARD, LAYER, "p", "edges.normalize=none"),
        key(CARD, LAYER, "p", "edges.features=gap"),
        key(CARD, LAYER, "p", "canvas.side=112"),
        key(CARD, LAYER, "p", "compute.precision=tf32"),
    ],
)
def test_a_key_changes_with_what_changes_the_numbers(other: str) -> None:
    assert other != key()


def test_integrated_gradients_depend_on_their_steps() -> None:
    method = "attribution.method=integrated_gradients"
    assert key(CARD, LAYER, "p", method) != key(CARD, LAYER, "p", method, "attribution.steps=5")


def test_a_gradient_field_depends_on_its_steps_and_points_and_others_on_no_points() -> None:
    method = "attribution.method=gradient_field"
    own = {key(CARD, LAYER, "p", method, *more) for more in _FIELDS}
    assert len(own) == len(_FIELDS)
    assert key() == key(CARD, LAYER, "p", "attribution.points=3")


_FIELDS = ((), ("attribution.points=3",), ("attribution.steps=50",))


def failures(count: int) -> pa.Table:
    row = {"model_id": "a", "stage": "resolve", "error_type": "ModelError", "message": "no"}
    return pa.Table.from_pylist([row] * count, TABLES["failures"])


def test_a_table_carries_units_version_and_scan_id(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    fact = write_table(storage, "one", "failures", failures(2))
    assert fact["rows"] == 2
    assert read_table(storage, "one", "failures").num_rows == 2
    schema = pq.read_schema(tmp_path / table_path("one", "failures"))
    assert schema.metadata[b"scan_id"] == b"one"
    assert schema.metadata[b"schema_version"] == b"1"
    assert all(field.metadata[b"description"] for field in schema)
    assert write_table(storage, "one", "failures", failures(2)) == fact, "a repeated task goes on"
    with pytest.raises(StoreError, match=r"failures\.parquet"):
        write_table(storage, "one", "failures", failures(1))


def test_a_table_that_is_not_what_the_manifest_says_is_named(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    fact = write_table(storage, "one", "failures", failures(2))
    assert read_table(storage, "one", "failures", fact).num_rows == 2
    path = tmp_path / table_path("one", "failures")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(StoreError, match=r"one/failures\.parquet does not match its checksum"):
        read_table(storage, "one", "failures", fact)


def test_only_a_scan_with_a_manifest_is_finished(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    with pytest.raises(StoreError, match="no finished scan"):
        resolve_scan_id(storage, None)
    write_table(storage, "half", "failures", failures(1))
    assert finished_scans(storage) == []
    # The clock went back between the two: their order is that in which they ended.
    finish_scan(storage, "night1", {"finished_at": "2026-01-02"})
    finish_scan(storage, "night2", {"finished_at": "2026-01-01"})
    assert finished_scans(storage) == ["night1", "night2"]
    assert resolve_scan_id(storage, None) == "night2"
    assert latest_sequence(storage) == 2
    with pytest.raises(StoreError, match="did you mean 'night2'"):
        resolve_scan_id(storage, "nigth2")
    with pytest.raises(StoreError, match=r"night1/manifest\.json"):
        finish_scan(storage, "night1", {})


def test_scans_that_end_together_are_all_counted(tmp_path: Path) -> None:
    names = [f"scan{number}" for number in range(24)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: finish_scan(Storage(str(tmp_path)), name, {}), names))
    storage = Storage(str(tmp_path))
    assert latest_sequence(storage) == 24
    assert set(finished_scans(storage)) == set(names)
    assert resolve_scan_id(storage, None) in names


def test_a_damaged_pointer_is_named_to_readers_and_mended_by_the_next_scan(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    finish_scan(storage, "one", {})
    finish_scan(storage, "two", {})
    (tmp_path / "latest.json").write_text('{"scan_id": "tw')
    with pytest.raises(StoreError, match=r"latest\.json is damaged: name a scan"):
        resolve_scan_id(storage, None)
    finish_scan(storage, "three", {})
    assert resolve_scan_id(storage, None) == "three"
    assert latest_sequence(storage) >= 3


def test_only_an_unfinished_scan_is_removed(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    write_table(storage, "half", "failures", failures(1))
    remove_unfinished(storage, "half")
    assert storage.files("scans/half") == {}
    write_table(storage, "half", "failures", failures(2))
    finish_scan(storage, "half", {})
    with pytest.raises(StoreError, match="'half' is finished"):
        remove_unfinished(storage, "half")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text.replace("2026-01-01", "2026-01-09"), "does not match its own checksum"),
        (lambda text: text[: len(text) // 2], "is damaged"),
        (lambda text: "[1]", "no JSON object"),
        (lambda text: "", "is damaged"),
    ],
)
def test_a_damaged_manifest_is_named_and_costs_the_other_scans_nothing(
    tmp_path: Path, damage: Callable[[str], str], message: str
) -> None:
    storage = Storage(str(tmp_path))
    finish_scan(storage, "one", {"finished_at": "2026-01-01"})
    finish_scan(storage, "two", {"finished_at": "2026-01-02"})
    path = tmp_path / "scans/one/manifest.json"
    path.write_text(damage(path.read_text()))
    with pytest.raises(StoreError, match=rf"one/manifest\.json.*{message}"):
        read_manifest(storage, "one")
    with pytest.raises(StoreError, match=message):
        finished_manifests(storage)
    assert finished_scans(storage) == ["two"]


def test_a_manifest_of_another_scan_is_refused(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    finish_scan(storage, "one", {})
    (tmp_path / "scans/two").mkdir()
    (tmp_path / "scans/two/manifest.json").write_bytes(
        (tmp_path / "scans/one/manifest.json").read_bytes()
    )
    with pytest.raises(StoreError, match=r"two/manifest\.json is of another scan, 'one'"):
        read_manifest(storage, "two")


def test_a_table_of_an_older_version_is_read_with_its_new_columns_null(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    schema = TABLES["layers"]
    values = {"string": "x", "int32": 1, "int64": 1, "double": 0.5, "bool": True}
    row = {field.name: values[str(field.type)] for field in schema}
    old = pa.Table.from_pylist([row], schema).drop_columns(["conditioning"])
    storage.create(table_path("one", "layers"), encode_table(old, {}))
    assert read_table(storage, "one", "layers")["conditioning"].to_pylist() == [None]
    lacking = pa.Table.from_pylist([row], schema).drop_columns(["graph_key"])
    storage.create(table_path("two", "layers"), encode_table(lacking, {}))
    with pytest.raises(StoreError, match="other columns than expected"):
        read_table(storage, "two", "layers")
