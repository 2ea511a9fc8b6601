"""Night after night on one output, in this process: what is reused, what is not, and why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from cluster.compare import tiles as reducer
from cluster.pool.worker import Worker
from cluster.record.manifest import ScanSummary
from depara import open_scan
from depara.errors import ModelError
from depara.store.schemas import CALIBRATED
from depara.store.storage import sha256_hex
from tests.jobs.inline import scan_inline, tiny
from tests.jobs.tables import assert_table_equal
from tests.maintenance.outputs import edit_json

MODELS = [tiny("a", 0), tiny("b", 1), tiny("c", 2)]
KEYS = ["source_model", "source_layer", "target_model", "target_layer"]


class Watch:
    """Counts what a scan really does: units by kind, and pairs compared."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.units: list[str] = []
        self.pairs = 0
        run, tile = Worker.run, reducer.compute_tile

        def counted(worker: Worker, unit: Any, *rest: Any) -> Any:
            self.units.append(type(unit).__name__)
            return run(worker, unit, *rest)

        def compared(settings: Any, job: Any, *rest: Any) -> Any:
            self.pairs += len(job.rows) * len(job.columns)
            return tile(settings, job, *rest)

        monkeypatch.setattr(Worker, "run", counted)
        monkeypatch.setattr(reducer, "compute_tile", compared)

    def reset(self) -> None:
        self.units.clear()
        self.pairs = 0


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    return Watch(monkeypatch)


def night(
    folder: Path, photos: Path, models: list[dict[str, Any]] = MODELS, **sections: Any
) -> ScanSummary:
    return scan_inline(str(folder), photos, models, **sections)


def table(folder: Path, scan_id: str, name: str = "similarity") -> pd.DataFrame:
    return open_scan(str(folder), scan_id).table(name)


def assert_same_tables(folder: Path, one: str, other: str) -> None:
    manifest = open_scan(str(folder), one).manifest
    for name in set(manifest["tables"]) - {"models", "failures"}:
        pd.testing.assert_frame_equal(
            table(folder, one, name), table(folder, other, name), check_exact=True
        )


def test_an_unchanged_zoo_opens_nothing_and_compares_nothing(
    photos: Path, tmp_path: Path, watch: Watch
) -> None:
    first = night(tmp_path, photos)
    assert (first.num_reused_graphs, first.num_reused_pairs) == (0, 0)
    assert first.changes.new == ("a", "b", "c")
    assert watch.pairs == first.num_pairs == 27
    watch.reset()
    second = night(tmp_path, photos)
    assert watch.units == []
    assert watch.pairs == 0
    assert (second.num_reused_graphs, second.num_reused_pairs) == (9, 27)
    assert second.changes.reused == ("a", "b", "c")
    assert second.changes.new == second.changes.changed == second.changes.removed == ()
    assert_same_tables(tmp_path, first.scan_id, second.scan_id)
    assert set(table(tmp_path, second.scan_id, "models")["status"]) == {"reused"}


@pytest.mark.parametrize("pairs", ["outputs", "all"])
def test_one_new_model_computes_its_graphs_rows_and_columns(
    photos: Path, tmp_path: Path, watch: Watch, pairs: str
) -> None:
    settings = {"similarity": {"pairs": pairs}, "labels": True}
    night(tmp_path, photos, [MODELS[0], MODELS[2]], **settings)
    watch.reset()
    grown = night(tmp_path, photos, **settings)
    assert watch.units == ["ResolveUnit", "ExtractUnit", "ExtractUnit", "CommitUnit"]
    assert grown.changes.new == ("b",)
    assert grown.changes.reused == ("a", "c")
    known, new = 6 * (6 if pairs == "all" else 2), 3
    assert grown.num_reused_pairs == known
    assert watch.pairs == (new * new + new * 6 if pairs == "all" else grown.num_pairs - known)
    whole = night(tmp_path / "whole", photos, **settings)
    for name in ("similarity", "model_ranking", "layer_ranking", "label_scores", "uncertainty"):
        assert_table_equal(
            table(tmp_path, grown.scan_id, name), table(tmp_path / "whole", whole.scan_id, name)
        )


def test_a_removed_model_is_in_no_table(photos: Path, tmp_path: Path, watch: Watch) -> None:
    night(tmp_path, photos, labels=True)
    watch.reset()
    less = night(tmp_path, photos, MODELS[:2], labels=True)
    assert (watch.units, watch.pairs) == ([], 0)
    assert less.changes.removed == ("c",)
    for name in ("models", "layers", "similarity", "model_ranking", "label_scores"):
        frame = table(tmp_path, less.scan_id, name)
        assert not (frame == "c").to_numpy().any(), name
    whole = night(tmp_path / "whole", photos, MODELS[:2], labels=True)
    for name in ("similarity", "layer_ranking", "rank_uncertainty", "label_scores"):
        assert_table_equal(
            table(tmp_path, less.scan_id, name), table(tmp_path / "whole", whole.scan_id, name)
        )


def test_a_model_with_other_weights_is_changed(photos: Path, tmp_path: Path) -> None:
    night(tmp_path, photos)
    again = night(tmp_path, photos, [tiny("a", 0), tiny("b", 7), tiny("c", 2)])
    assert again.changes.changed == ("b",)
    assert again.changes.reused == ("a", "c")
    assert again.num_reused_pairs == 6 * 2


def test_another_lambda_compares_nothing_and_ranks_anew(
    photos: Path, tmp_path: Path, watch: Watch
) -> None:
    first = night(tmp_path, photos)
    watch.reset()
    second = night(tmp_path, photos, similarity={"lambda": 0})
    assert (watch.units, watch.pairs) == ([], 0)
    before, after = (table(tmp_path, s.scan_id) for s in (first, second))
    assert (after["similarity"] == before["node_similarity"]).all()
    whole = night(tmp_path / "whole", photos, similarity={"lambda": 0})
    for name in ("model_ranking", "layer_ranking", "uncertainty", "lambda_ranges"):
        pd.testing.assert_frame_equal(
            table(tmp_path, second.scan_id, name),
            table(tmp_path / "whole", whole.scan_id, name),
        )


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"probes": {"count": 12, "seed": 5}}, "the probe images are others"),
        ({"edges": {"normalize": "none"}}, "edges.normalize: zscore -> none"),
    ],
)
def test_what_changes_the_numbers_recomputes_all_and_says_why(
    photos: Path, tmp_path: Path, watch: Watch, change: dict[str, Any], reason: str
) -> None:
    night(tmp_path, photos)
    watch.reset()
    if "probes" in change:
        change = {"probes": {"source": str(photos), **change["probes"]}}
    printed: list[str] = []
    again = scan_inline(str(tmp_path), photos, MODELS, notes=printed, **change)
    assert again.num_reused_graphs == again.num_reused_pairs == 0
    assert watch.pairs == 27
    assert again.changes.changed == ("a", "b", "c")
    assert any(reason in line for line in printed), printed


def test_two_methods_that_alternate_each_continue_from_their_own(
    photos: Path, tmp_path: Path, watch: Watch
) -> None:
    other = {"edges": {"normalize": "none"}}
    night(tmp_path, photos)
    night(tmp_path, photos, **other)
    watch.reset()
    assert night(tmp_path, photos).num_reused_pairs == 27
    assert night(tmp_path, photos, **other).num_reused_pairs == 27
    assert (watch.units, watch.pairs) == ([], 0)


def test_fewer_scores_are_reused_and_more_are_computed(
    photos: Path, tmp_path: Path, watch: Watch
) -> None:
    night(tmp_path, photos, similarity={"scores": ["cka", "dds"]})
    watch.reset()
    fewer = night(tmp_path, photos, similarity={"scores": ["cka"]})
    assert fewer.num_reused_pairs == 27
    assert table(tmp_path, fewer.scan_id)["dds"].isna().all()
    assert table(tmp_path, fewer.scan_id)["cka"].notna().all()
    more = night(tmp_path, photos, similarity={"scores": ["cka", "rsa"]})
    assert more.num_reused_pairs == 0
    assert more.num_reused_graphs == 9
    assert table(tmp_path, more.scan_id)["rsa"].notna().all()


def test_a_scan_whose_scores_are_not_calibrated_is_read_and_compared_anew(
    photos: Path, tmp_path: Path, watch: Watch
) -> None:
    scores = ["cka", "dds"]
    first = night(tmp_path, photos, similarity={"scores": scores})
    folder = tmp_path / "scans" / first.scan_id
    path = folder / "similarity.parquet"
    older = pq.read_table(path).drop_columns(list(CALIBRATED))
    pq.write_table(older, path)
    fact = {"rows": older.num_rows, "bytes": path.stat().st_size}
    fact |= {"sha256": sha256_hex(path.read_bytes())}
    edit_json(
        folder / "manifest.json",
        lambda manifest: manifest.update(
            scores=scores, tables=manifest["tables"] | {"similarity": fact}
        ),
    )
    before = table(tmp_path, first.scan_id)
    assert before["cka"].notna().all()
    assert before["cka_z"].isna().all()
    watch.reset()
    again = night(tmp_path, photos, similarity={"scores": scores})
    assert (again.num_reused_pairs, again.num_reused_graphs, watch.units) == (0, 9, [])
    after = table(tmp_path, again.scan_id)
    assert after[["edge_similarity_z", "cka_z", "dds_z"]].notna().all(axis=None)
    assert_table_equal(after.drop(columns=list(CALIBRATED)), before.drop(columns=list(CALIBRATED)))


def test_fresh_recomputes_everything(photos: Path, tmp_path: Path, watch: Watch) -> None:
    first = night(tmp_path, photos)
    files = {p: p.stat().st_mtime_ns for p in tmp_path.glob("graphs/*/*/*")}
    watch.reset()
    again = scan_inline(str(tmp_path), photos, MODELS, fresh=True)
    assert watch.units.count("ResolveUnit") == watch.units.count("CommitUnit") == 3
    assert watch.units.count("DecodeUnit") == 1
    assert watch.pairs == 27
    assert again.num_reused_graphs == again.num_reused_pairs == 0
    assert {p: p.stat().st_mtime_ns for p in tmp_path.glob("graphs/*/*/*")}.keys() == files.keys()
    assert all(p.stat().st_mtime_ns > time_ns for p, time_ns in files.items())
    assert_same_tables(tmp_path, first.scan_id, again.scan_id)


def test_failed_models_are_tried_again_and_their_nights_are_counted(
    photos: Path, tmp_path: Path
) -> None:
    bad = [
        tiny("raises", 0, source="python:tests.jobs.zoo:RaisesLater"),
        tiny("lacks", 1, layers=["none"]),
    ]
    for count in (1, 2, 3):
        summary = night(tmp_path, photos, [*MODELS, *bad])
        assert set(summary.changes.failed) == {"raises", "lacks"}
        failures = table(tmp_path, summary.scan_id, "failures")
        assert failures["nights"].tolist() == [count, count]
    fresh = scan_inline(str(tmp_path), photos, [*MODELS, *bad], fresh=True)
    assert table(tmp_path, fresh.scan_id, "failures")["nights"].tolist() == [4, 4]
    cured = night(tmp_path, photos, [*MODELS, tiny("raises", 0)])
    assert cured.changes.failed == ()
    again = night(tmp_path, photos, [*MODELS, bad[0]])
    assert table(tmp_path, again.scan_id, "failures")["nights"].tolist() == [1]


@pytest.mark.parametrize("name", ["similarity", "centre"])
def test_a_damaged_table_of_the_last_night_is_not_reused(
    name: str, photos: Path, tmp_path: Path, watch: Watch
) -> None:
    first = night(tmp_path, photos)
    expected = table(tmp_path, first.scan_id, "centre")
    path = tmp_path / "scans" / first.scan_id / f"{name}.parquet"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    watch.reset()
    printed: list[str] = []
    second = scan_inline(str(tmp_path), photos, MODELS, notes=printed)
    assert watch.pairs == 27
    assert second.num_reused_pairs == 0
    assert second.changes.reused == ("a", "b", "c"), "the models themselves are as they were"
    assert any(f"{name}.parquet does not match its checksum" in line for line in printed)
    again = table(tmp_path, second.scan_id, "centre")
    np.testing.assert_array_equal(
        np.stack(again["cosines"].tolist()), np.stack(expected["cosines"].tolist())
    )
    assert night(tmp_path, photos).num_reused_pairs == 27


def test_the_manifest_says_what_was_reused(photos: Path, tmp_path: Path) -> None:
    night(tmp_path, photos, MODELS[:2])
    summary = night(tmp_path, photos)
    path = tmp_path / "scans" / summary.scan_id / "manifest.json"
    manifest = json.loads(path.read_text())
    assert manifest["sequence"] == 2
    assert manifest["num_reused_graphs"] == 6
    assert manifest["num_reused_pairs"] == 12
    assert manifest["changes"]["new"] == ["c"]
    assert manifest["work"]["units_done"] == 4
    assert not (tmp_path / "running").exists(), "a finished scan runs no more"


def test_every_model_failing_leaves_nothing_running(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError):
        night(tmp_path, photos, [tiny("lacks", 1, layers=["none"])])
    assert not list(tmp_path.glob("running/*/*"))
    assert not list(tmp_path.glob("scans/*/*"))
