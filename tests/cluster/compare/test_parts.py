"""Tables in parts: the same rows as in one file, and no more work than what is new."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow.dataset as ds
import pytest
from rich.console import Console

from cluster.compare import matrix_rows, parts
from cluster.compare.pairs import Reduction
from cluster.compare.parts import PARTED, table_parts
from cluster.record.manifest import ScanSummary
from cluster.record.summary import print_summary
from depara import open_scan
from depara.answers import Recommender, recommend
from depara.answers.matrix import matrix
from depara.errors import StoreError
from depara.evaluation import Truth, evaluate_scan
from depara.learning import learn
from depara.maintenance.verify import verify_output
from depara.similarity.stored import GraphRef
from depara.store.storage import Storage
from tests.cluster.compare.test_pairs import CONFIG
from tests.jobs.inline import scan_inline, tiny
from tests.jobs.tables import assert_table_equal

NAMES = ("oak", "elm", "fir", "ash")
KEYS = {
    "similarity": ["target_model", "target_layer", "source_model", "source_layer"],
    "model_ranking": ["target_model", "rank"],
    "layer_ranking": ["target_model", "source_model", "rank"],
    "lambda_ranges": ["target_model"],
    "lambda_ranking": ["lambda", "target_model", "rank"],
}
Night = Callable[..., ScanSummary]


@pytest.fixture
def night(tmp_path: Path, photos: Path) -> Night:
    """Scans some of the models into one of the outputs; all tables but the smallest are cut."""

    def scan(names: tuple[str, ...] = NAMES, output: str = "parts", **sections: Any) -> ScanSummary:
        models = [tiny(name, NAMES.index(name)) for name in names]
        sections.setdefault("uncertainty", {"resamples": 0})
        return scan_inline(str(tmp_path / output), photos, models, **sections)

    return scan


@pytest.fixture
def in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART_PAIRS", 24)


def sorted_table(output: Path, scan_id: str, name: str) -> pd.DataFrame:
    frame = open_scan(str(output), scan_id).table(name)
    return frame.sort_values(KEYS[name], ignore_index=True)


def files(output: Path, scan_id: str, name: str) -> list[Path]:
    return sorted((output / "scans" / scan_id / name).glob("part-*.parquet"))


def assert_same_rows(one: Path, first: str, other: Path, second: str) -> None:
    for name in PARTED:
        assert_table_equal(sorted_table(one, first, name), sorted_table(other, second, name))


@pytest.mark.parametrize("pairs", ["outputs", "all"])
def test_parts_hold_the_rows_of_the_one_file(
    tmp_path: Path, night: Night, monkeypatch: pytest.MonkeyPatch, pairs: str
) -> None:
    settings = {"similarity": {"pairs": pairs}, "nulls": 1}
    whole = night(output="whole", **settings)
    assert (tmp_path / "whole/scans" / whole.scan_id / "similarity.parquet").exists()
    monkeypatch.setattr(parts, "PART_PAIRS", 60)
    cut = night(output="cut", **settings)
    assert len(files(tmp_path / "cut", cut.scan_id, "similarity")) > 1
    assert not (tmp_path / "cut/scans" / cut.scan_id / "similarity.parquet").exists()
    assert_same_rows(tmp_path / "whole", whole.scan_id, tmp_path / "cut", cut.scan_id)
    # The rankings are in the very same order as well.
    for name in ("model_ranking", "layer_ranking"):
        one, other = (
            open_scan(str(tmp_path / output), scan.scan_id).table(name)
            for output, scan in (("whole", whole), ("cut", cut))
        )
        assert_table_equal(one, other)


def test_pandas_arrow_and_duckdb_read_the_parts_as_one_table(
    tmp_path: Path, night: Night, in_parts: None
) -> None:
    folder = tmp_path / "parts/scans" / night().scan_id
    expected = open_scan(str(tmp_path / "parts")).table("similarity")
    assert len(expected) == 48
    assert_table_equal(pd.read_parquet(folder / "similarity"), expected)
    found = ds.dataset(folder / "similarity").to_table()
    assert found["similarity"].to_pylist() == expected["similarity"].tolist()
    query = f"select count(*), count(distinct target_model) from '{folder}/similarity/*.parquet'"
    with duckdb.connect() as connection:
        assert connection.execute(query).fetchall() == [(48, 4)]
        rows = connection.execute(f"from '{folder}/similarity/*.parquet'").fetchall()
        assert rows == [tuple(row.values()) for row in found.to_pylist()]


def test_a_target_is_read_from_its_part_alone(tmp_path: Path, night: Night, in_parts: None) -> None:
    scan = night()
    output = tmp_path / "parts"
    for name in PARTED:
        fact = open_scan(str(output)).manifest["tables"][name]
        assert [part["targets"] for part in fact["parts"]] == [["ash", "elm"], ["fir", "oak"]]
        assert fact["rows"] == sum(part["rows"] for part in fact["parts"])
        files(output, scan.scan_id, name)[1].unlink()
    results = open_scan(str(output))
    assert results.rank_models("elm")["source_model"].tolist()
    assert results.rank_models("elm", lambda_=3)["source_model"].tolist()
    assert len(results.rank_layers("elm", "oak")) == 3
    with pytest.raises(StoreError, match=r"part-00001\.parquet is missing"):
        results.rank_models("oak")
    with pytest.raises(StoreError, match=r"part-00001\.parquet is missing"):
        results.table("similarity")


@pytest.mark.parametrize("pairs", ["outputs", "all"])
def test_an_increment_takes_the_pairs_of_parts(
    tmp_path: Path, night: Night, in_parts: None, pairs: str
) -> None:
    settings = {"similarity": {"pairs": pairs}}
    night(("oak", "fir", "ash"), **settings)
    more = night(("oak", "elm", "fir", "ash"), **settings)
    assert more.num_reused_pairs == (81 if pairs == "all" else 27)
    fresh = night(output="fresh", **settings)
    assert_same_rows(tmp_path / "parts", more.scan_id, tmp_path / "fresh", fresh.scan_id)


def test_a_model_of_known_weights_takes_the_pairs_of_its_double(
    tmp_path: Path, photos: Path, night: Night, in_parts: None
) -> None:
    night()
    models = [tiny(name, NAMES.index(name)) for name in NAMES] + [tiny("yew", 0)]
    settings = {"uncertainty": {"resamples": 0}}
    more = scan_inline(str(tmp_path / "parts"), photos, models, **settings)
    assert more.num_reused_pairs == more.num_pairs == 75
    fresh = scan_inline(str(tmp_path / "fresh"), photos, models, **settings)
    assert_same_rows(tmp_path / "parts", more.scan_id, tmp_path / "fresh", fresh.scan_id)


def test_one_file_and_parts_follow_one_another(
    tmp_path: Path, night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    night(("oak", "fir", "ash"))
    monkeypatch.setattr(parts, "PART_PAIRS", 24)
    cut = night(("oak", "elm", "fir"))
    assert cut.num_reused_pairs == 12
    assert len(files(tmp_path / "parts", cut.scan_id, "similarity")) == 2
    monkeypatch.undo()
    whole = night(("elm", "fir", "ash"))
    assert whole.num_reused_pairs in (12, 27)
    fresh = night(("elm", "fir", "ash"), output="fresh")
    assert_same_rows(tmp_path / "parts", whole.scan_id, tmp_path / "fresh", fresh.scan_id)


def test_an_unchanged_night_links_its_parts(tmp_path: Path, night: Night, in_parts: None) -> None:
    output = tmp_path / "parts"
    first, second = night(), night()
    third = night()
    assert second.num_reused_pairs == 48
    for name in PARTED:
        for number, path in enumerate(files(output, second.scan_id, name)):
            assert path.samefile(files(output, first.scan_id, name)[number])
    fact = open_scan(str(output), third.scan_id).manifest["tables"]["similarity"]
    assert {part["written_by"] for part in fact["parts"]} == {first.scan_id}
    assert_same_rows(output, first.scan_id, output, third.scan_id)
    assert not verify_output(Storage(str(output))).problems


def test_another_sum_ranks_anew(tmp_path: Path, night: Night, in_parts: None) -> None:
    output = tmp_path / "parts"
    first = night()
    second = night(similarity={"terms": {"node": 1, "edge": 3}})
    assert second.num_reused_pairs == 48
    one, other = (files(output, scan.scan_id, "similarity") for scan in (first, second))
    assert not any(path.samefile(other[number]) for number, path in enumerate(one))


def test_a_damaged_part_is_found_and_compared_anew(
    tmp_path: Path, night: Night, in_parts: None
) -> None:
    output = tmp_path / "parts"
    first = night()
    path = files(output, first.scan_id, "layer_ranking")[1]
    path.write_bytes(path.read_bytes()[:-3])
    [problem] = verify_output(Storage(str(output))).problems
    assert problem.location.endswith("layer_ranking/part-00001.parquet")
    second = night()
    assert second.num_reused_pairs == 0
    fresh = night(output="fresh")
    assert_same_rows(output, second.scan_id, tmp_path / "fresh", fresh.scan_id)


def test_an_interrupted_scan_leaves_no_part_behind(
    tmp_path: Path, night: Night, in_parts: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise StoreError("the disk is gone")

    with monkeypatch.context() as patch:
        patch.setattr("cluster.stages.analyse", fails)
        with pytest.raises(StoreError, match="gone"):
            night(scan_id="night")
    assert files(tmp_path / "parts", "night", "similarity")
    night(NAMES[:2], scan_id="night")
    manifest = json.loads((tmp_path / "parts/scans/night/manifest.json").read_text())
    assert "parts" not in manifest["tables"]["similarity"]
    assert not files(tmp_path / "parts", "night", "similarity")


def zoo(num_models: int, num_layers: int) -> Reduction:
    graphs = tuple(
        GraphRef(f"m{model}", f"l{layer}", layer, f"k{model}.{layer}", layer == num_layers - 1)
        for model in range(num_models)
        for layer in range(num_layers)
    )
    return Reduction(graphs, tuple(g for g in graphs if g.is_output), 10, 16, CONFIG)


def test_parts_of_thousands_are_cut_between_models() -> None:
    reduction = zoo(2000, 5)
    cut = table_parts(reduction)
    assert [part.number for part in cut] == list(range(len(cut)))
    assert sorted(place for part in cut for place in part.targets) == list(range(2000))
    most = max(len(part.targets) for part in cut) * len(reduction.sources)
    assert most <= parts.PART_PAIRS
    assert len(cut) == 39
    names = [name for part in cut for name in part.models]
    assert names == sorted(names)
    assert len({part.key for part in cut}) == len(cut)


SURE = {
    "uncertainty": ["target_model", "source_model", "source_layer", "score"],
    "rank_uncertainty": ["ranking", "target_model", "source_model", "source_layer"],
    "stability": ["fraction"],
}


def test_intervals_are_in_parts_too_and_linked(
    tmp_path: Path, night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"uncertainty": {"resamples": 20}}
    whole = night(output="whole", **settings)
    monkeypatch.setattr(parts, "PART_PAIRS", 24)
    cut, again = (night(output="cut", **settings) for _ in range(2))
    output = tmp_path / "cut"
    assert {"uncertainty", "rank_uncertainty"} < open_scan(str(output)).tables_in_parts
    for name, keys in SURE.items():
        frames = [
            open_scan(str(folder), scan.scan_id).table(name).sort_values(keys, ignore_index=True)
            for folder, scan in ((tmp_path / "whole", whole), (output, cut), (output, again))
        ]
        assert len(frames[0])
        for frame in frames[1:]:
            assert_table_equal(frames[0], frame)
    for name in ("uncertainty", "rank_uncertainty"):
        old, new = (files(output, scan.scan_id, name) for scan in (cut, again))
        assert len(old) == 2
        assert all(path.samefile(new[number]) for number, path in enumerate(old))
    assert not verify_output(Storage(str(output))).problems


def test_the_summary_of_a_scan_in_parts_is_that_of_one_file(
    tmp_path: Path, night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    def printed(summary: ScanSummary, output: str) -> list[str]:
        stream = io.StringIO()
        results = open_scan(str(tmp_path / output), summary.scan_id)
        print_summary(Console(file=stream, width=120), summary, results)
        return stream.getvalue().partition("\nmodels:")[0].splitlines()

    settings = {"uncertainty": {"resamples": 20}}
    whole = night(output="whole", **settings)
    monkeypatch.setattr(parts, "PART_PAIRS", 24)
    cut = night(output="cut", **settings)
    lines = printed(cut, "cut")
    assert lines == printed(whole, "whole")
    assert any("first choice safe" in line for line in lines)


def test_what_reads_whole_tables_reads_parts(
    tmp_path: Path, night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"uncertainty": {"resamples": 20}}
    night(output="whole", **settings)
    monkeypatch.setattr(parts, "PART_PAIRS", 24)
    night(output="parts", **settings)
    whole, cut = (open_scan(str(tmp_path / output)) for output in ("whole", "parts"))
    assert "similarity" in cut.tables_in_parts
    pd.testing.assert_frame_equal(matrix(whole), matrix(cut))
    pd.testing.assert_frame_equal(matrix(whole, "cka"), matrix(cut, "cka"))
    assert [r.first.model for r in map(whole.recommend, NAMES)] == [
        r.first.model for r in map(cut.recommend, NAMES)
    ]
    html = Path(cut.report(str(tmp_path / "report.html"))).read_text()
    assert "model_ranking/*.parquet" in html
    frame = whole.table("similarity")
    is_pair = frame["source_model"] != frame["target_model"]
    layers = (
        frame[is_pair]
        .assign(value=frame["cka"])
        .rename(
            columns={"target_model": "target", "source_model": "source", "source_layer": "layer"}
        )
    )
    models = layers.groupby(["target", "source"], as_index=False)["value"].max()
    for truth in (Truth(models), Truth(layers[["target", "source", "layer", "value"]])):
        found, due = (evaluate_scan(scan, truth, relevant=1) for scan in (cut, whole))
        pd.testing.assert_frame_equal(found.table, due.table)
        assert found.left_out == due.left_out
    pd.testing.assert_frame_equal(
        *(learn(scan, Truth(models), relevant=1).table for scan in (cut, whole))
    )


def test_a_recommendation_reads_the_parts_of_its_target(
    tmp_path: Path, night: Night, in_parts: None
) -> None:
    scan = night(uncertainty={"resamples": 20})
    output = tmp_path / "parts"
    due = Recommender(open_scan(str(output))).of("elm")  # reads all targets
    for name in ("uncertainty", "rank_uncertainty", "layer_ranking"):
        files(output, scan.scan_id, name)[1].unlink()
    found = recommend(open_scan(str(output)), "elm")
    assert found == due == open_scan(str(output)).recommend("elm")
    assert found.first.rank_low is not None
    with pytest.raises(StoreError, match=r"part-00001\.parquet is missing"):
        recommend(open_scan(str(output)), "oak")


@pytest.mark.parametrize("pairs", ["outputs", "all"])
def test_an_increment_reads_the_rows_of_its_targets_alone(
    tmp_path: Path, night: Night, in_parts: None, pairs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("depara.store.parts.GROUP_ROWS", 5)
    settings = {"similarity": {"pairs": pairs}}
    night(("oak", "fir", "ash"), **settings)
    wanted: list[range] = []
    plain = matrix_rows.rows_between

    def noted(start: int, stop: int) -> Any:
        wanted.append(range(start, stop))
        return plain(start, stop)

    monkeypatch.setattr(matrix_rows, "rows_between", noted)
    more = night(("oak", "elm", "fir", "ash"), **settings)
    known = more.num_reused_pairs
    assert sum(map(len, wanted)) == known == (81 if pairs == "all" else 27)
    fresh = night(output="fresh", **settings)
    assert_same_rows(tmp_path / "parts", more.scan_id, tmp_path / "fresh", fresh.scan_id)
