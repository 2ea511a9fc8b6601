"""The scan's own logic, without Ray: storage on S3, twins, resuming after a crash, settings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from cluster.pool.phases import PHASES, PhaseClock
from depara import open_scan
from depara.catalog import SCORES
from depara.cli import app
from depara.errors import ModelError
from depara.extraction.session import ModelSession
from depara.store.scans import read_manifest
from depara.store.storage import Storage
from tests.jobs.inline import scan_inline, tiny
from tests.maintenance.outputs import flip
from tests.store.s3 import mock_s3, select_s3

MODELS = [tiny("first", 0), tiny("second", 1), tiny("third", 2)]


@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    with mock_s3() as endpoint:
        yield endpoint


def test_s3_gives_the_tables_that_a_local_folder_gives(
    s3_endpoint: str, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    select_s3(s3_endpoint, "scan-bucket", monkeypatch)
    scan_inline(str(tmp_path), photos, MODELS)
    summary = scan_inline("s3://scan-bucket/out", photos, MODELS)
    assert summary.location.startswith("s3://scan-bucket/out/scans/")
    local, remote = open_scan(str(tmp_path)), open_scan("s3://scan-bucket/out")
    for name in ("layers", "probes", "model_ranking"):
        pd.testing.assert_frame_equal(local.table(name), remote.table(name), atol=1e-6)


def test_models_with_equal_weights_share_their_graphs(photos: Path, tmp_path: Path) -> None:
    twin = {"source": "python:tests.jobs.zoo:same_weights"}
    models = [{"id": "a", **twin}, {"id": "b", **twin}, tiny("c", 1)]
    assert scan_inline(str(tmp_path), photos, models).failures == ()
    layers = open_scan(str(tmp_path)).table("layers")
    keys = layers.groupby("model_id")["graph_key"].apply(list)
    assert keys["a"] == keys["b"] != keys["c"]
    assert len(list(tmp_path.glob("graphs/*/*/graph.json"))) == 6
    ranking = open_scan(str(tmp_path)).rank_models("a")
    assert ranking["source_model"].tolist() == ["b", "c"]
    assert ranking["node_similarity"].iloc[0] == pytest.approx(1, abs=2e-3)
    assert ranking["edge_similarity"].iloc[0] == pytest.approx(1, abs=1e-6)
    night = scan_inline(str(tmp_path), photos, models)
    assert night.num_reused_graphs == night.num_graphs == 9, "shared graphs count for each model"


def test_after_a_crash_node_files_are_reused_and_the_answer_is_the_same(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan_inline(str(tmp_path / "calm"), photos, MODELS)
    with monkeypatch.context() as crash:
        crash.setattr(ModelSession, "commit", lambda self: 1 / 0)
        with pytest.raises(ModelError, match="every model failed"):
            scan_inline(str(tmp_path / "hit"), photos, MODELS)
    written = set(tmp_path.glob("hit/graphs/*/*/nodes-*.parquet"))
    assert len(written) == 9 * 2
    assert not list(tmp_path.glob("hit/graphs/*/*/graph.json"))
    before = {path: path.stat().st_mtime_ns for path in written}
    passes: list[bool] = []
    from depara.attribution import Extractor

    extract = Extractor.extract
    monkeypatch.setattr(
        Extractor,
        "extract",
        lambda self, *args, **kw: passes.append(kw["with_maps"]) or extract(self, *args, **kw),
    )
    scan_inline(str(tmp_path / "hit"), photos, MODELS)
    assert passes == [False] * 6, "only the forward pass for the features is repeated"
    assert {path: path.stat().st_mtime_ns for path in written} == before
    calm, hit = (open_scan(str(tmp_path / name)).table("similarity") for name in ("calm", "hit"))
    pd.testing.assert_frame_equal(calm, hit, atol=1e-6)
    calm, hit = (open_scan(str(tmp_path / name)).table("layers") for name in ("calm", "hit"))
    assert hit["conditioning"].notna().all()
    pd.testing.assert_frame_equal(calm, hit, rtol=1e-4)


def test_a_new_layer_of_a_known_model_is_the_only_work(photos: Path, tmp_path: Path) -> None:
    some = [tiny("a", 0, layers=["block1", "code"]), tiny("b", 1)]
    scan_inline(str(tmp_path), photos, some)
    first = {path.name for path in tmp_path.glob("graphs/*/*")}
    scan_inline(str(tmp_path), photos, [tiny("a", 0), tiny("b", 1)], scan_id="again")
    second = {path.name for path in tmp_path.glob("graphs/*/*")}
    assert len(second - first) == 1
    models = open_scan(str(tmp_path), "again").table("models").set_index("model_id")
    assert models["status"].to_dict() == {"a": "computed", "b": "reused"}


@pytest.mark.parametrize(
    "settings",
    [
        {"preset": "authors_layers"},
        {"attribution": {"method": "integrated_gradients", "steps": 8, "map_side": 8}},
        {"attribution": {"method": "gradient_field", "steps": 6, "points": 3, "map_side": 8}},
        {"attribution": {"method": "smoothgrad", "steps": 4}},
        {"attribution": {"method": "saliency", "channels": "abs"}},
        {"attribution": {"method": "eps_lrp"}},
        {"edges": {"features": "gap", "normalize": "center"}},
        {"similarity": {"pairs": "all", "lambda": 0.25}},
    ],
    ids=str,
)
def test_every_setting_runs_and_keeps_the_scores_in_range(
    photos: Path, tmp_path: Path, settings: dict[str, object]
) -> None:
    summary = scan_inline(str(tmp_path), photos, MODELS[:2], **settings)
    assert summary.failures == ()
    similarity = open_scan(str(tmp_path)).table("similarity")
    for name in ("node_similarity", "edge_similarity"):
        assert similarity[name].between(-1.001, 1.001).all()
    own = similarity[
        (similarity["source_model"] == similarity["target_model"])
        & (similarity["source_layer"] == similarity["target_layer"])
    ]
    np.testing.assert_allclose(own["node_similarity"], 1, atol=2e-3)


def test_neighbour_scores_stand_beside_the_paper_s_in_both_directions(
    photos: Path, tmp_path: Path
) -> None:
    probes = {"source": str(photos), "count": 24}  # as many as every score needs
    for pairs in ("outputs", "all"):
        similarity = {"pairs": pairs}
        scan_inline(
            str(tmp_path), photos, MODELS, scan_id=pairs, similarity=similarity, probes=probes
        )
    keys = ["source_model", "source_layer", "target_model", "target_layer"]
    few, many = (
        open_scan(str(tmp_path), pairs).table("similarity").set_index(keys)
        for pairs in ("outputs", "all")
    )
    scores = list(SCORES)
    assert few[scores].notna().all(axis=None)
    pd.testing.assert_frame_equal(few[scores], many.loc[few.index, scores], atol=1e-6)
    there = many.loc[("first", "code", "second", "code")]
    back = many.loc[("second", "code", "first", "code")]
    for name in (name for name in SCORES if name != "directed"):
        assert there[name] == pytest.approx(back[name])
    assert there["directed"] != pytest.approx(back["directed"], abs=1e-4)
    scan_inline(str(tmp_path), photos, MODELS[:2], scan_id="none", similarity={"scores": []})
    assert open_scan(str(tmp_path), "none").table("similarity")["cka"].isna().all()


def test_a_scan_says_how_sure_it_is(photos: Path, tmp_path: Path) -> None:
    scan_inline(str(tmp_path), photos, MODELS, uncertainty={"resamples": 200, "time_share": 10})
    scan = open_scan(str(tmp_path))
    intervals = scan.table("uncertainty")
    keys = ["source_model", "source_layer", "target_model", "target_layer"]
    wide = intervals.pivot(index=keys, columns="score", values="value").reset_index()
    both = wide.merge(scan.table("similarity"), on=keys, suffixes=("_here", ""))
    assert len(both) == len(wide) == 3 * 2 * 3
    for score in ("node_similarity", "edge_similarity", "similarity"):
        np.testing.assert_allclose(both[f"{score}_here"], both[score], atol=1e-5)
    assert (intervals["low"] <= intervals["value"] + 1e-6).mean() > 0.9
    assert (intervals["high"] > intervals["low"]).all()
    ranks = scan.table("rank_uncertainty")
    models = ranks[ranks["ranking"] == "model"].merge(
        scan.table("model_ranking"), on=["target_model", "source_model", "rank"]
    )
    assert len(models) == 6
    assert ranks.groupby(["ranking", "target_model"])["p_first"].sum().gt(0.99).all()
    assert scan.table("stability")["num_probes"].tolist() == [6, 3]
    ranges = scan.table("lambda_ranges")
    assert (ranges["lambda_low"] <= 2).all()
    assert (ranges["lambda_high"] >= 2).all()
    off = scan_inline(str(tmp_path), photos, MODELS, scan_id="off", uncertainty={"resamples": 0})
    without = open_scan(str(tmp_path), off.scan_id)
    assert without.table("uncertainty").empty
    pd.testing.assert_frame_equal(without.table("lambda_ranges"), ranges)


def test_labels_of_the_probes_are_used_where_there_are_any(photos: Path, tmp_path: Path) -> None:
    scan_inline(str(tmp_path / "a"), photos, MODELS[:2], labels=True)
    table = open_scan(str(tmp_path / "a")).table("label_scores")
    assert set(table["score"]) >= {"knn", "logme", "h_score", "transrate", "nleep", "parc", "gbc"}
    assert len(table) == 6 * table["score"].nunique()
    assert table.loc[table["score"] == "knn", "value"].between(0, 1).all()
    unlabelled = {"source": str(photos / "discs"), "count": 12}
    scan_inline(str(tmp_path / "b"), photos, MODELS[:2], probes=unlabelled, labels=True)
    assert open_scan(str(tmp_path / "b")).table("label_scores").empty


def test_random_twins_show_the_floor_and_are_in_no_ranking(photos: Path, tmp_path: Path) -> None:
    models = [tiny("a", 7), *MODELS[1:]]
    summary = scan_inline(str(tmp_path), photos, models, nulls=2)
    assert summary.failures == ()
    scan = open_scan(str(tmp_path))
    twins = scan.table("models").dropna(subset=["null_of"])
    assert twins["model_id"].tolist() == [
        f"{model['id']}.null{seed}" for model in models for seed in range(2)
    ]
    ranking = scan.table("model_ranking")
    assert set(ranking["source_model"]) == {"a", "second", "third"}
    assert set(scan.table("layer_ranking")["source_model"]) == {"a", "second", "third"}
    assert set(scan.rank_layers("a", "second", 0.5)["layer"]) == {"block1", "block2", "code"}
    similarity = scan.table("similarity")
    assert set(similarity["target_model"]) == {"a", "second", "third"}
    floor = similarity[
        similarity["source_model"].isin(["second.null0", "second.null1"])
        & (similarity["target_model"] == "a")
        & (similarity["source_layer"] == "code")
    ]["similarity"].mean()
    row = ranking[(ranking["source_model"] == "second") & (ranking["target_model"] == "a")]
    assert row["null_similarity"].item() == pytest.approx(floor)


def test_layers_rank_by_their_own_weights_and_all_that_reads_them_follows(
    photos: Path, tmp_path: Path
) -> None:
    own = {"terms": {"node": 1, "edge": 1}, "layer_terms": {"gulp": 2, "edge": 1}, "scores": []}
    scan_inline(str(tmp_path / "a"), photos, MODELS, similarity=own)
    scan = open_scan(str(tmp_path / "a"))
    similarity = scan.table("similarity").drop(columns=["similarity"])
    names = {"source_model": "source_model", "source_layer": "layer", "target_model": "target"}
    cuts = scan.table("layer_ranking").rename(columns={"target_model": "target"})
    cuts = cuts.merge(similarity.rename(columns=names)[[*names.values(), "num_probes"]])
    np.testing.assert_allclose(cuts["similarity"], 2 * cuts["gulp"] + cuts["edge_similarity"])
    models = scan.table("model_ranking")
    expected = models["node_similarity"] + models["edge_similarity"]
    np.testing.assert_allclose(models["similarity"], expected)
    sure = scan.table("rank_uncertainty")
    sure = sure[sure["ranking"] == "layer"].rename(columns={"source_layer": "layer"})
    keys = ["target_model", "source_model", "layer"]
    both = scan.table("layer_ranking").merge(sure, on=keys, suffixes=("", "_sure"))
    assert len(both) == len(sure) == 6 * 3
    assert (both["rank"] == both["rank_sure"]).all()
    ends = scan.table("uncertainty").rename(columns={"source_layer": "layer"})
    assert set(ends["score"]) >= {"similarity", "layer_similarity", "gulp"}
    ends = both.merge(ends[ends["score"] == scan.layer_score], on=keys)
    np.testing.assert_allclose(ends["similarity"], ends["value"], atol=1e-5)
    assert (ends["low"] < ends["high"]).any()
    again = scan.rank_layers("first", "second", 4.0)
    expected = 2 * again["gulp"] + 4 * again["edge_similarity"]
    np.testing.assert_allclose(again["similarity"], expected)
    shown = CliRunner().invoke(app, ["layers", scan.output, "first", "second", "--csv"]).output
    columns = ["rank", "layer", "depth", "similarity", "edge_similarity", "gulp"]
    assert shown.splitlines()[0].split(",") == columns
    night = scan_inline(str(tmp_path / "a"), photos, MODELS, similarity=own)
    assert night.num_reused_graphs == night.num_graphs
    pd.testing.assert_frame_equal(
        open_scan(str(tmp_path / "a")).table("layer_ranking"), scan.table("layer_ranking")
    )


def test_one_model_alone_has_a_matrix_and_no_ranking(photos: Path, tmp_path: Path) -> None:
    scan_inline(str(tmp_path), photos, MODELS[:1])
    scan = open_scan(str(tmp_path))
    assert len(scan.table("similarity")) == 3
    assert scan.table("model_ranking").empty


def test_the_phases_of_a_scan_add_up_and_stand_in_its_manifest(
    photos: Path, tmp_path: Path
) -> None:
    output = str(tmp_path / "out")
    first = scan_inline(output, photos, [tiny("a", 0), tiny("b", 1)])
    manifest = read_manifest(Storage(output), first.scan_id)
    assert manifest is not None
    assert list(manifest["phases"]) == list(PHASES)
    assert sum(manifest["phases"].values()) == pytest.approx(manifest["seconds"], abs=0.005)
    assert all(manifest["phases"][name] > 0 for name in PHASES)
    workers = manifest["workers"]
    assert all(workers[state] > 0 for state in ("busy", "idle", "tasks"))
    pool_s = workers["starting"] + workers["busy"] + workers["idle"]
    assert pool_s <= manifest["seconds"], "one worker"
    assert not any(manifest["bytes"]["workers"].values()), "all of it is this process"
    graphs_bytes = sum(f.stat().st_size for f in (tmp_path / "out/graphs").rglob("*.parquet"))
    assert manifest["bytes"]["driver"]["written"] > graphs_bytes
    again = scan_inline(output, photos, [tiny("a", 0), tiny("b", 1)])
    assert again.spent.workers["busy"] == 0
    assert again.spent.busy_share is None
    assert again.spent.traffic.written_bytes < first.spent.traffic.written_bytes


def test_what_a_scan_computes_anew_counts_with_the_graphs(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = [tiny("a", 0), tiny("b", 1)]
    first = scan_inline(str(tmp_path), photos, models)
    flip(next(tmp_path.glob("graphs/*/*/nodes-*.parquet")))
    (tmp_path / "scans" / first.scan_id / "manifest.json").unlink()  # so that all is compared
    entered: list[str] = []
    enter = PhaseClock.enter

    def spy(clock: PhaseClock, phase: str) -> None:
        entered.extend([phase] if entered[-1:] != [phase] else [])
        enter(clock, phase)

    monkeypatch.setattr(PhaseClock, "enter", spy)
    scan_inline(str(tmp_path), photos, models)
    assert entered == [
        *("probes", "models", "graphs", "comparison", "tables"),
        *("graphs", "comparison", "tables", "analysis", "tables"),
    ]


def test_two_input_sizes_of_one_network_are_nearest_neighbours(
    photos: Path, tmp_path: Path
) -> None:
    models = [
        tiny("small", 0, input={"side": 32}),
        tiny("large", 0, input={"side": 40}),
        tiny("other", 1),
        tiny("another", 2),
    ]
    scan_inline(str(tmp_path), photos, models)
    ranking = open_scan(str(tmp_path)).table("model_ranking")
    first = ranking[ranking["rank"] == 1].set_index("target_model")["source_model"]
    assert first["small"] == "large"
    assert first["large"] == "small"


def test_unusable_probes_are_replaced_and_recorded(photos: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mixed"
    folder.mkdir()
    for number, file in enumerate(sorted(photos.rglob("*.png"))):
        (folder / f"{number}.png").write_bytes(file.read_bytes())
    (folder / "0.png").write_bytes((folder / "1.png").read_bytes())
    (folder / "2.png").write_bytes((folder / "2.png").read_bytes()[:200])
    Image.new("RGB", (1, 1)).save(folder / "3.png")
    output = str(tmp_path / "out")
    scan_inline(output, folder, MODELS[:2], probes={"source": str(folder), "count": 21})
    scan = open_scan(output)
    assert len(scan.table("probes")) == 21
    failures = scan.table("failures")
    assert len(failures) == 3
    assert set(failures["stage"]) == {"probes"}
    assert failures["message"].str.contains("mixed").all()
