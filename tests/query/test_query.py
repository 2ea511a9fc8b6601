"""A new model against a finished scan: the same numbers as a scan that has it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from threadpoolctl import threadpool_info

from depara import open_scan
from depara.attribution import FeatureBank
from depara.errors import ConfigError, DamagedCanvasesError, ModelError, StoreError
from depara.extraction.session import ModelSession
from depara.grams import GraphGrams
from depara.query import QueryAnswer
from depara.store.graphs import CommittedGraph
from depara.store.storage import Storage
from depara.types import Float16, ProbeRange
from tests.conftest import ROOT
from tests.jobs.inline import scan_inline, tiny
from tests.jobs.tables import assert_table_equal
from tests.maintenance.outputs import edit_json, flip, graph_of, node_files, truncate, upload
from tests.query.conftest import SECTIONS
from tests.query.models import NEW, ZOO
from tests.store.s3 import mock_s3, select_s3

TABLES = ["similarity", "model_ranking", "layer_ranking", "uncertainty", "rank_uncertainty"]


def ask(output: Path | str, **fields: object) -> QueryAnswer:
    return open_scan(str(output)).query({**NEW, **fields})


def files(folder: Path) -> dict[str, bytes]:
    """All that is not of queries."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    names = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
    return {name: data for name, data in names.items() if not name.startswith("queries/")}


def no_graph_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("graphs are computed")

    monkeypatch.setattr(ModelSession, "extract", refuse)


def about_new(frame: pd.DataFrame, name: str = "new") -> pd.DataFrame:
    """The rows of a scan's table that a query has."""
    twins = frame["source_model"].str.startswith(f"{name}.null")
    mine = (frame["source_model"] == name) ^ (frame["target_model"] == name)
    return frame[mine & ~twins]


def assert_same(found: QueryAnswer, whole: Path, table: str, name: str = "new") -> None:
    due = about_new(open_scan(str(whole)).table(table), name)
    keys = [column for column in due.columns if pd.api.types.is_string_dtype(due[column])]
    due, mine = (one.sort_values(keys).reset_index(drop=True) for one in (due, found.table(table)))
    if table == "model_ranking":  # the twins of the new model are in the other scan alone
        is_source = due["source_model"] == name
        assert mine.loc[is_source, "null_similarity"].isna().all()
        assert mine.loc[~is_source, "null_similarity"].notna().all()
        due.loc[is_source, "null_similarity"] = None
    assert len(mine)
    assert_table_equal(mine, due, atol=2e-6)


@pytest.fixture(scope="module")
def asked(zoo: Path, tmp_path_factory: pytest.TempPathFactory) -> QueryAnswer:
    """The answer about the new model."""
    return ask(shutil.copytree(zoo, tmp_path_factory.mktemp("asked") / "out"))


@pytest.fixture
def answered(asked: QueryAnswer, tmp_path: Path) -> Path:
    """A copy of the output with that answer."""
    return Path(shutil.copytree(Path(asked.location).parents[1], tmp_path / "answered"))


@pytest.mark.parametrize("table", TABLES)
def test_a_query_says_what_a_scan_with_the_model_says(
    asked: QueryAnswer, whole: Path, table: str
) -> None:
    assert_same(asked, whole, table)


def test_layers_that_rank_by_their_own_weights_do_so_in_a_query(
    photos: Path, tmp_path: Path
) -> None:
    own = {**SECTIONS, "similarity": {"layer_terms": {"gulp": 2, "node_centred": 1}}}
    for name, models in (("zoo", ZOO), ("whole", [*ZOO, NEW])):
        scan_inline(str(tmp_path / name), photos, models, **own)
    found = ask(tmp_path / "zoo")
    for table in ("layer_ranking", "uncertainty", "rank_uncertainty"):
        assert_same(found, tmp_path / "whole", table)
    cuts = found.table("layer_ranking")
    expected = 2 * cuts["gulp"] + cuts["node_centred"]
    assert cuts["similarity"].to_numpy() == pytest.approx(expected.to_numpy())
    assert "layer_similarity" in set(found.table("uncertainty")["score"])


def test_the_recommendation_is_that_of_a_scan_with_the_model(
    asked: QueryAnswer, whole: Path
) -> None:
    due = open_scan(str(whole)).recommend("new")
    assert asked.recommendation.sentence == due.sentence
    columns = ["source_model", "cut", "rank", "standing", "num_parameters", "gflop"]
    pd.testing.assert_frame_equal(asked.sources()[columns], due.frame()[columns])


def test_the_frames_tell_sources_cuts_and_targets(asked: QueryAnswer) -> None:
    assert sorted(asked.sources()["source_model"]) == ["a", "b", "c"]
    cuts, own = asked.cuts("a"), asked.own_cuts("a")
    assert (list(cuts["rank"]), list(own["rank"])) == ([1, 2, 3], [1, 2, 3])
    assert cuts["p_first"].sum() == pytest.approx(1)
    targets = asked.targets()
    assert sorted(targets["target_model"]) == ["a", "b", "c"]
    assert set(targets["num_sources"]) == {3}
    of_a = targets.set_index("target_model").loc["a"]
    assert of_a["cut"] == own["layer"][0]
    assert of_a["cut_p_first"] == own["p_first"][0]


def test_nothing_of_the_scan_is_changed(output: Path) -> None:
    before = files(output)
    ask(output)
    after = files(output)
    assert {name for name in after if name not in before} == {
        name for name in after if name.startswith("known/models/") and name not in before
    }
    assert {name: after[name] for name in before} == before


def test_every_map_of_the_zoo_is_read_once(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: Counter[tuple[str, ProbeRange]] = Counter()
    whole = CommittedGraph.read_maps

    def counted(graph: CommittedGraph, probes: ProbeRange) -> Float16:
        reads[graph.marker.graph_key, probes] += 1
        return whole(graph, probes)

    monkeypatch.setattr(CommittedGraph, "read_maps", counted)
    found = ask(output)
    assert len(found.table("uncertainty"))
    zoo = set(open_scan(str(output)).table("layers")["graph_key"])
    assert {key for key, _ in reads} >= zoo
    assert {count for (key, _), count in reads.items() if key in zoo} == {1}


def test_gram_matrices_are_made_on_one_thread_each(
    output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: set[int] = set()
    whole = FeatureBank.grams

    def noted(bank: FeatureBank, layer: str) -> GraphGrams:
        threads.update(
            pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"
        )
        return whole(bank, layer)

    monkeypatch.setattr(FeatureBank, "grams", noted)
    ask(output)
    assert threads == {1}


def test_the_same_model_is_not_computed_again(
    output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = ask(output)
    no_graph_is_made(monkeypatch)
    again = ask(output)
    assert (first.is_reused, again.is_reused) == (False, True)
    assert again.record() == {**first.record(), "reused": True}


def test_a_model_whose_graphs_are_stored_takes_them(
    whole: Path, tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = Path(shutil.copytree(whole, tmp_path / "out"))
    scan_inline(str(output), photos, ZOO, nulls=1, uncertainty={"resamples": 120, "time_share": 10})
    no_graph_is_made(monkeypatch)
    for found in (ask(output), ask(output, id="copy")):
        for table in TABLES if found.model_id == "new" else []:
            assert_same(found, whole, table)
        assert not list((output / "queries" / found.query_id).glob("graphs/*"))


def test_a_model_of_the_zoo_is_asked_beside_itself(output: Path) -> None:
    found = open_scan(str(output)).query(ZOO[0] | {"layers": ["block?", "code"]})
    for table in TABLES:
        assert_same(found, output, table, "a")


def test_an_id_of_another_model_is_refused(output: Path) -> None:
    with pytest.raises(ConfigError, match="has another model 'a', with other weights"):
        ask(output, id="a")


def test_an_interrupted_query_leaves_no_answer_and_goes_on(
    output: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(what: str, done: int, total: int) -> None:
        if what.startswith("comparing"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_scan(str(output)).query(NEW, on_progress=interrupt)
    (folder,) = (output / "queries").iterdir()
    assert not list(folder.glob("*.json"))
    no_graph_is_made(monkeypatch)
    found = ask(output)
    assert not found.is_reused
    assert_same(found, whole, "similarity")


@pytest.mark.parametrize("path", ["query.json", "similarity.parquet"])
@pytest.mark.parametrize("damage", [flip, truncate, Path.unlink])
def test_a_damaged_answer_is_made_anew(
    answered: Path, path: str, damage: Callable[[Path], object]
) -> None:
    first = ask(answered)
    assert first.is_reused
    damage(Path(first.location) / path)
    again = ask(answered)
    assert not again.is_reused
    assert again.targets().equals(first.targets())
    assert ask(answered).is_reused


def test_own_graphs_that_were_damaged_are_made_anew(answered: Path) -> None:
    first = ask(answered)
    own = list(Path(first.location).glob("graphs/*/*/nodes-*.parquet"))
    assert own
    for nodes in own:
        flip(nodes)
    again = open_scan(str(answered)).query(NEW, fresh=True)
    assert again.targets().equals(first.targets())


@pytest.mark.parametrize("part", ["graph.json", "edges.parquet", "grams.parquet", "nodes"])
def test_a_damaged_graph_of_the_zoo_is_named_and_left_out(
    output: Path, whole: Path, part: str
) -> None:
    graph = graph_of(output, open_scan(str(output)).scan_id, "b", "block1")
    flip(node_files(graph)[0] if part == "nodes" else graph / part)
    found = ask(output)
    (reason,) = found.left_out
    assert "model 'b', layer 'block1'" in reason
    due = open_scan(str(whole)).table("layer_ranking").query("target_model == 'new'")
    due = due[(due["source_model"] != "b") | (due["layer"] != "block1")]
    assert len(found.cuts()) == len(due)
    assert sorted(found.sources()["source_model"]) == ["a", "b", "c"]
    assert not ask(output).is_reused  # it may be mended by now


def test_without_its_output_graph_a_model_is_left_out(output: Path) -> None:
    shutil.rmtree(graph_of(output, open_scan(str(output)).scan_id, "b"))
    found = ask(output)
    assert "the whole model is left out" in found.left_out[0]
    assert sorted(found.sources()["source_model"]) == ["a", "c"]
    assert sorted(found.targets()["target_model"]) == ["a", "c"]
    assert set(found.targets()["num_sources"]) == {2}


def test_canvases_that_are_gone_or_damaged_are_said(output: Path) -> None:
    (canvases,) = output.glob("canvases/*.parquet")
    truncate(canvases)
    with pytest.raises(DamagedCanvasesError, match="scan again"):
        ask(output)
    assert canvases.exists()
    shutil.rmtree(output / "canvases")
    with pytest.raises(StoreError, match="scan again to decode the probes"):
        ask(output)
    assert not list(output.glob("queries/*/query.json"))


def test_a_scan_of_another_version_is_refused(output: Path) -> None:
    scan = open_scan(str(output))
    edit_json(
        output / "scans" / scan.scan_id / "manifest.json",
        lambda tree: tree["comparison"].update(comparison_version=0),
    )
    with pytest.raises(ConfigError, match="another version of depara"):
        ask(output)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"layers": ["blok1"]}, "block1"),
        ({"weights": "nowhere/x.pt"}, "x.pt"),
        ({"source": "python:tests.jobs.zoo:GivesNaN"}, "not finite|NaN|overflow"),
        ({"source": "python:tests.jobs.zoo:RaisesLater"}, "the sensor is unplugged"),
        ({"source": "python:tests.jobs.zoo:Missing"}, "Missing"),
    ],
)
def test_a_model_that_cannot_be_used_is_said(
    output: Path, fields: dict[str, object], said: str
) -> None:
    with pytest.raises(ModelError, match=said):
        ask(output, **{"kwargs": {}, **fields})
    assert not list(output.glob("queries/*/query.json"))


def test_without_torch_it_says_what_to_install(output: Path) -> None:
    code = (
        "import sys\n"
        "class Without:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in ('torch', 'torchvision'):\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Without())\n"
        "from typer.testing import CliRunner\n"
        "from depara.cli import app\n"
        f"done = CliRunner().invoke(app, ['query', {str(output)!r}, '--source', "
        "'torchvision:resnet18'])\n"
        "print(done.exit_code, done.output)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.startswith("2 ")
    assert 'pip install "depara[scan]"' in done.stdout
    assert "Traceback" not in done.stdout


def test_an_output_on_object_storage_answers_the_same(
    zoo: Path, asked: QueryAnswer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with mock_s3() as endpoint:
        select_s3(endpoint, "queries", monkeypatch)
        upload(zoo, Storage("s3://queries/out"))
        found = ask("s3://queries/out")
        assert found.location == f"s3://queries/out/queries/{found.query_id}"
        for table in TABLES:
            pd.testing.assert_frame_equal(found.table(table), asked.table(table))
        assert ask("s3://queries/out").is_reused


def test_a_model_with_one_layer_and_no_resamples(photos: Path, tmp_path: Path) -> None:
    output = str(tmp_path / "out")
    models = [tiny("a", 0, layers="output"), tiny("b", 1, layers="output")]
    scan_inline(output, photos, models, uncertainty={"resamples": 0}, similarity={"scores": []})
    found = ask(output, layers="output")
    assert len(found.sources()) == 2
    assert found.targets()["rank_low"].isna().all()
    assert "how sure is not known" in found.recommendation.sentence
