"""Whole scans of probes with boxes: features of objects, scores, what is reused and what not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from depara.answers import recommend_for_labels
from depara.config import parse_scan
from depara.config.schema import ModelConfig
from depara.errors import ConfigError
from depara.maintenance import verify_output
from depara.models import open_model
from depara.objects import ProbeObjects
from depara.scan import open_scan
from depara.store.graphs import open_graph
from depara.store.layout import OBJECTS_PREFIX
from depara.store.storage import Storage
from tests.attribution.test_regions import sampled
from tests.jobs.inline import scan_inline, tiny
from tests.jobs.test_outputs import classifier
from tests.oracle import labelled as oracle

MODELS = [tiny("a", 1), tiny("b", 2), classifier("c", 3, layers=["block?", "output"])]
PROBES = {"column": "image", "boxes_column": "boxes", "count": 12}
LAYERS = ["block1", "block2", "code"]


def table(
    folder: Path, photos: Path, *, seed: int = 0, names: str = "xyz", labels: bool = False
) -> Path:
    """A Parquet file of 12 photos of 80x60, each with three boxes; the canvas is 10 to 70."""
    rng = np.random.default_rng(seed)
    files = sorted(photos.rglob("*.png"), key=lambda file: file.name)[:12]
    boxes = []
    for _ in files:
        starts = np.stack([rng.uniform(0, 50, 3), rng.uniform(0, 35, 3)], axis=1)
        boxes.append(np.hstack([starts, starts + rng.uniform(8, 25, (3, 2))]).tolist())
    columns: dict[str, Any] = {
        "image": [file.read_bytes() for file in files],
        "boxes": boxes,
        "box_labels": [[names[i] for i in rng.integers(0, 3, 3)] for _ in files],
    }
    if labels:
        columns["label"] = [file.parent.name for file in files]
    path = folder / "objects.parquet"
    pq.write_table(pa.table(columns), path)
    return path


def scan_of(root: Path, source: Path, models: list[dict[str, Any]] = MODELS, **more: Any) -> Any:
    probes = {"source": str(source), **PROBES}
    return scan_inline(str(root), source, models, **{"probes": probes, **more}, labels=True)


def object_files(root: Path) -> dict[str, int]:
    """Every file of objects with the time when it was written."""
    found = root.glob(f"graphs/*/*/{OBJECTS_PREFIX}*")
    return {str(path.relative_to(root)): path.stat().st_mtime_ns for path in found}


def test_scores_are_those_of_features_sampled_from_the_layers(photos: Path, tmp_path: Path) -> None:
    root, notes = tmp_path / "out", list[str]()
    summary = scan_of(root, table(tmp_path, photos), notes=notes)
    assert summary.failures == ()
    scan = open_scan(str(root))
    objects = ProbeObjects.of(scan.probes())
    assert objects is not None
    assert objects.num_dropped > 0
    facts = scan.manifest["num_objects"], scan.manifest["num_objects_dropped"]
    assert facts == (len(objects), objects.num_dropped)
    assert sum(facts) == 36
    assert any(f"{len(objects)} objects of 3 classes are on the canvases" in n for n in notes)
    assert any(f"{objects.num_dropped} more lie outside" in note for note in notes)

    model = open_model(ModelConfig(**MODELS[0]), canvas_side=32)
    canvases = torch.from_numpy(scan.canvases()).movedim(3, 1).float() / 255
    values = model.preprocess(canvases)
    scores = scan.table("label_scores").set_index(["model_id", "layer", "score"])
    keys = scan.table("layers").set_index(["model_id", "layer"])["graph_key"]
    with torch.no_grad():
        for layer in LAYERS:
            values = model.module.get_submodule(layer)(values)
            maps = values.double().numpy()
            pairs = zip(objects.probe_O, objects.boxes_O4, strict=True)
            expected = np.array([sampled(maps[probe], box) for probe, box in pairs])
            graph = open_graph(Storage(str(root)), keys["a", layer])
            got = graph.read_objects(objects.key)
            np.testing.assert_allclose(got, expected, atol=1e-4)
            for name in ("tlogme", "u_logme"):
                wanted = oracle.OBJECT_SCORES[name](expected, objects.boxes_O4, objects.labels)
                assert scores.loc[("a", layer, name), "value"] == pytest.approx(wanted, abs=2e-3)
    assert set(scan.table("label_scores")["score"]) == {"tlogme", "u_logme"}
    reason = scores.loc[("c", "output", "tlogme"), "reason"]
    assert "its output 5 has no positions on the image" in reason
    assert verify_output(Storage(str(root))).problems == ()


def test_the_ranking_is_of_the_boxes_where_there_are_no_labels(
    photos: Path, tmp_path: Path
) -> None:
    scan_of(tmp_path / "out", table(tmp_path, photos), MODELS[:2])
    found = recommend_for_labels(open_scan(str(tmp_path / "out")))
    assert found.scores == ["tlogme", "u_logme"]
    assert found.others == ["u_logme"]
    assert (found.num_scores, found.num_probes) == (1, 0)
    assert found.target.endswith("objects of 3 classes")
    assert found.models["rank_low"].notna().all()


def test_where_labels_rank_boxes_do_not_vote(photos: Path, tmp_path: Path) -> None:
    source = table(tmp_path, photos, labels=True)
    scan_of(tmp_path / "out", source, MODELS[:2], similarity={"hard": [50]})
    found = recommend_for_labels(open_scan(str(tmp_path / "out")))
    assert found.num_scores == 8
    assert {"tlogme", "u_logme"} <= set(found.others)
    assert "labelled probes of 2 classes" in found.target
    scores = set(open_scan(str(tmp_path / "out")).table("label_scores")["score"])
    assert "knn@hard50" in scores
    assert "tlogme@hard50" not in scores


def test_no_model_with_positions_at_its_output_has_no_ranking_and_says_why(
    photos: Path, tmp_path: Path
) -> None:
    summary = scan_of(tmp_path / "out", table(tmp_path, photos), MODELS[2:])
    assert summary.failures == ()
    with pytest.raises(ConfigError, match="objects at the models' output layers: see the reasons"):
        recommend_for_labels(open_scan(str(tmp_path / "out")))


def test_boxes_that_join_later_take_a_pass_and_no_new_graphs(photos: Path, tmp_path: Path) -> None:
    root, source = tmp_path / "out", table(tmp_path, photos)
    plain = {"source": str(source), "column": "image", "count": 12}
    scan_inline(str(root), source, MODELS, probes=plain, labels=True)
    graphs = {path: path.stat().st_mtime_ns for path in root.glob("graphs/*/*/*")}
    assert not object_files(root)
    scan_of(root, source)
    first = object_files(root)
    assert len(first) == len(open_scan(str(root)).table("layers"))
    assert {path: path.stat().st_mtime_ns for path in graphs} == graphs
    scores = open_scan(str(root)).table("label_scores")
    assert scores["value"].notna().sum() == 2 * 8  # all layers but the logits

    # The same again: nothing is made. Other classes of the same boxes: only scores are.
    scan_of(root, source)
    assert object_files(root) == first
    scan_of(root, table(tmp_path, photos, names="uvw"))
    assert object_files(root) == first
    again = open_scan(str(root)).table("label_scores")
    np.testing.assert_allclose(again["value"], scores["value"], rtol=1e-6)

    # Other boxes have files of their own.
    scan_of(root, table(tmp_path, photos, seed=5))
    assert first.items() <= object_files(root).items()
    assert len(object_files(root)) == 2 * len(first)
    other = open_scan(str(root)).table("label_scores")
    assert (other["value"].dropna() - scores["value"].dropna()).abs().min() > 1e-6
    assert verify_output(Storage(str(root))).problems == ()


def test_damaged_features_of_objects_are_found_and_made_anew(photos: Path, tmp_path: Path) -> None:
    root, source = tmp_path / "out", table(tmp_path, photos)
    scan_of(root, source, MODELS[:2])
    expected = open_scan(str(root)).table("label_scores")
    path = root / sorted(object_files(root))[0]
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 0xFF
    path.write_bytes(bytes(data))
    (problem,) = verify_output(Storage(str(root))).problems
    assert path.name in problem.location
    scan_of(root, source, MODELS[:2], similarity={"hard": [50]}, uncertainty={"seed": 1})
    scan_of(root, table(tmp_path, photos, names="uvw"), MODELS[:2])
    again = open_scan(str(root)).table("label_scores")
    np.testing.assert_allclose(again["value"], expected["value"], rtol=1e-6)
    assert verify_output(Storage(str(root))).problems == ()


def test_a_batch_size_does_not_change_features_of_objects(photos: Path, tmp_path: Path) -> None:
    source, values = table(tmp_path, photos), []
    for size in (1, 5):
        compute = {"memory": "256MiB", "unit_probes": 7, "batch_size": size}
        scan_of(tmp_path / f"out{size}", source, MODELS[:2], compute=compute)
        values.append(open_scan(str(tmp_path / f"out{size}")).table("label_scores")["value"])
    np.testing.assert_allclose(values[0], values[1], rtol=1e-4)


def test_what_exceeds_the_memory_of_objects_is_left_out_with_the_reason(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import depara.extraction.objects as module

    monkeypatch.setattr(module, "part_bytes", lambda memory, name: 30 * 4 * 9)
    scan_of(tmp_path / "out", table(tmp_path, photos), MODELS[:1])
    scores = open_scan(str(tmp_path / "out")).table("label_scores").set_index(["layer", "score"])
    assert np.isfinite(scores.loc[("block1", "tlogme"), "value"])
    assert "compute.memory has for objects" in scores.loc[("block2", "tlogme"), "reason"]


def test_coco_annotations_give_the_same_objects(photos: Path, tmp_path: Path) -> None:
    scan_of(tmp_path / "parquet", table(tmp_path, photos), MODELS[:1])
    rows = pq.read_table(tmp_path / "objects.parquet").to_pylist()
    folder = tmp_path / "images"
    folder.mkdir()
    tree: dict[str, Any] = {
        "images": [],
        "annotations": [],
        "categories": [{"id": i, "name": name} for i, name in enumerate("xyz")],
    }
    for number, row in enumerate(rows):
        (folder / f"{number:02d}.png").write_bytes(row["image"])
        tree["images"].append({"id": number, "file_name": f"{number:02d}.png"})
        for (x0, y0, x1, y1), label in zip(row["boxes"], row["box_labels"], strict=True):
            one = {"image_id": number, "category_id": "xyz".index(label)}
            tree["annotations"].append({**one, "bbox": [x0, y0, x1 - x0, y1 - y0]})
    (tmp_path / "annotations.json").write_text(json.dumps(tree))
    probes = {"source": str(folder), "annotations": str(tmp_path / "annotations.json")}
    scan_inline(
        str(tmp_path / "coco"), folder, MODELS[:1], probes={**probes, "count": 12}, labels=True
    )
    one, other = (
        open_scan(str(tmp_path / name)).table("label_scores")["value"]
        for name in ("parquet", "coco")
    )
    np.testing.assert_allclose(one, other, rtol=1e-4)


def test_two_places_for_boxes_are_refused() -> None:
    tree = {
        "probes": {"source": "x", "boxes_column": "boxes", "annotations": "a.json"},
        "models": [MODELS[0]],
    }
    with pytest.raises(ConfigError, match="both give the objects"):
        parse_scan(json.dumps(tree))
