"""After a kill, a stop, or damage in the store: nothing is lost, and nothing is done twice."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from cluster import scan as scan_stage
from cluster import stages
from cluster.pool.stopping import StopSignal
from cluster.pool.worker import Worker
from depara import open_scan
from depara.errors import DamagedCanvasesError, ScanInterruptedError, StoreError
from depara.extraction.session import ModelSession
from depara.store.running import claim_scan, running_scans
from depara.store.scans import finished_scans
from depara.store.storage import Storage
from tests.jobs.inline import scan_inline, tiny
from tests.jobs.tables import assert_equal, tables

MODELS = [tiny("a", 0), tiny("b", 1), tiny("c", 2)]


class KilledError(BaseException):
    """Stands for the end of the process: nothing catches it."""


def die_at(count: int) -> Callable[..., Any]:
    """A `Worker.run` that ends the process at its unit number `count`."""
    run, seen = Worker.run, [0]

    def dying(worker: Worker, unit: Any, *rest: Any) -> Any:
        seen[0] += 1
        if seen[0] == count:
            raise KilledError
        return run(worker, unit, *rest)

    return dying


@pytest.fixture(scope="module")
def finished(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of an undisturbed scan; to be copied."""
    folder = tmp_path_factory.mktemp("calm")
    scan_inline(str(folder), photos, MODELS)
    return folder


@pytest.fixture(scope="module")
def calm(finished: Path) -> dict[str, pd.DataFrame]:
    """The tables of an undisturbed scan."""
    return tables(str(finished))


# Unit 1 decodes, 2-4 open the models, 5-7, 8-10, 11-13 are two ranges and a commit each.
@pytest.mark.parametrize(("count", "committed"), [(1, 0), (3, 0), (6, 0), (8, 3), (10, 3), (13, 6)])
def test_a_killed_scan_goes_on_under_its_own_id(
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    calm: dict[str, pd.DataFrame],
    count: int,
    committed: int,
) -> None:
    with monkeypatch.context() as killing:
        killing.setattr(Worker, "run", die_at(count))
        with pytest.raises(KilledError):
            scan_inline(str(tmp_path), photos, MODELS)
    (killed,) = running_scans(Storage(str(tmp_path)))
    before = {p: p.stat().st_mtime_ns for p in tmp_path.glob("graphs/*/*/*")}
    assert len(list(tmp_path.glob("graphs/*/*/graph.json"))) == committed
    notes: list[str] = []
    summary = scan_inline(str(tmp_path), photos, MODELS, notes=notes)
    assert summary.scan_id == killed.scan_id
    assert f"going on with scan {killed.scan_id}, which was interrupted" in notes
    assert summary.num_reused_graphs == committed
    assert {p: p.stat().st_mtime_ns for p in before} == before, "nothing written is written again"
    assert_equal(tables(str(tmp_path)), calm)
    assert running_scans(Storage(str(tmp_path))) == []


def test_a_scan_killed_between_its_tables_is_finished_under_its_explicit_id(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calm: dict[str, pd.DataFrame]
) -> None:
    def killed(*args: Any) -> None:
        raise KilledError

    with monkeypatch.context() as killing:
        killing.setattr(scan_stage, "finish", killed)
        with pytest.raises(KilledError):
            scan_inline(str(tmp_path), photos, MODELS, scan_id="night")
    assert (tmp_path / "scans/night/similarity.parquet").exists()
    assert finished_scans(Storage(str(tmp_path))) == []
    with pytest.raises(StoreError, match="holds no finished scan"):
        open_scan(str(tmp_path))
    summary = scan_inline(str(tmp_path), photos, MODELS, scan_id="night")
    assert (summary.scan_id, summary.num_reused_graphs) == ("night", 9)
    assert_equal(tables(str(tmp_path)), calm)


def test_a_scan_killed_after_its_manifest_is_not_written_again(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*args: Any) -> None:
        raise KilledError

    with monkeypatch.context() as killing:
        killing.setattr("depara.store.scans._move_latest", killed)
        with pytest.raises(KilledError):
            scan_inline(str(tmp_path), photos, MODELS)
    (first,) = finished_scans(Storage(str(tmp_path)))
    second = scan_inline(str(tmp_path), photos, MODELS)
    assert second.scan_id != first
    assert second.num_reused_pairs == second.num_pairs
    assert open_scan(str(tmp_path)).scan_id == second.scan_id
    assert running_scans(Storage(str(tmp_path))) == []


def test_a_scan_id_in_use_is_refused_and_another_scan_takes_another(
    photos: Path, tmp_path: Path
) -> None:
    lease = claim_scan(Storage(str(tmp_path)), "night", "hash", "2026-01-01")
    with pytest.raises(StoreError, match=r"'night' is running already.*last sign of life"):
        scan_inline(str(tmp_path), photos, MODELS, scan_id="night")
    assert scan_inline(str(tmp_path), photos, MODELS).scan_id != "night"
    lease.release()
    assert scan_inline(str(tmp_path), photos, MODELS, scan_id="night")


@pytest.mark.parametrize("count", [1, 3, 6, 9, 12])
def test_a_stop_ends_in_good_order_and_the_next_run_goes_on(
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    calm: dict[str, pd.DataFrame],
    count: int,
) -> None:
    stop, run, seen = StopSignal(), Worker.run, [0]

    def stopping(worker: Worker, unit: Any, *rest: Any) -> Any:
        seen[0] += 1
        if seen[0] == count:
            stop.request("SIGTERM")
        return run(worker, unit, *rest)

    with monkeypatch.context() as patched:
        patched.setattr(Worker, "run", stopping)
        with pytest.raises(ScanInterruptedError, match=r"SIGTERM.*run the same command again"):
            scan_inline(str(tmp_path), photos, MODELS, stop=stop)
    assert seen[0] <= count + 2, "at most a commit and a flush after the unit that ran"
    nodes = set(tmp_path.glob("graphs/*/*/nodes-*.parquet"))
    assert len(nodes) == {1: 0, 3: 0, 6: 6, 9: 12, 12: 18}[count], "what was computed is written"
    summary = scan_inline(str(tmp_path), photos, MODELS)
    manifest = json.loads((tmp_path / "scans" / summary.scan_id / "manifest.json").read_text())
    reused = manifest["work"]["node_files_reused"] + 2 * summary.num_reused_graphs
    assert reused == len(nodes)
    assert_equal(tables(str(tmp_path)), calm)


def damage(path: Path, kind: str, other: Path) -> None:
    data = bytearray(path.read_bytes())
    if kind == "flip":
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    elif kind == "truncate":
        path.write_bytes(data[: len(data) // 2])
    elif kind == "missing":
        path.unlink()
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "other graph":
        path.write_bytes(other.read_bytes())


@pytest.mark.parametrize("kind", ["flip", "truncate", "missing", "empty", "other graph"])
@pytest.mark.parametrize("name", ["nodes-000000-000006.parquet", "edges.parquet", "graph.json"])
def test_a_damaged_graph_is_named_and_recomputed_by_the_scan_that_meets_it(
    photos: Path,
    tmp_path: Path,
    finished: Path,
    calm: dict[str, pd.DataFrame],
    kind: str,
    name: str,
) -> None:
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    layers = open_scan(str(tmp_path)).table("layers").set_index(["model_id", "layer"])
    folders = [
        tmp_path / "graphs" / key[:2] / key
        for key in (layers.loc[("b", "block2"), "graph_key"], layers.loc["c", "graph_key"].iloc[0])
    ]
    damage(folders[0] / name, kind, folders[1] / name)
    # Without a finished scan nothing is known, and all graphs are read.
    for scan_id in finished_scans(Storage(str(tmp_path))):
        (tmp_path / "scans" / scan_id / "manifest.json").unlink()
    notes: list[str] = []
    summary = scan_inline(str(tmp_path), photos, MODELS, notes=notes)
    assert_equal(tables(str(tmp_path)), calm)
    if (kind, name) == ("missing", "graph.json"):
        assert summary.num_reused_graphs == 8, "a graph that is not committed is no damage"
        return
    told = [note for note in notes if note.startswith("damaged: ") and name in note]
    assert len(told) == 1, notes
    assert name == "graph.json" or "model 'b', layer 'block2'" in told[0]
    if kind == "empty" or (kind, name) == ("missing", "edges.parquet"):
        assert summary.num_reused_graphs == 8, "seen in the listing already"
    else:
        manifest = json.loads((tmp_path / "scans" / summary.scan_id / "manifest.json").read_text())
        assert manifest["work"]["graphs_healed"] == 1
        assert summary.num_reused_graphs == 8, "a graph computed anew is not reused"


def test_damaged_canvases_are_decoded_anew(
    photos: Path, tmp_path: Path, calm: dict[str, pd.DataFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    scan_inline(str(tmp_path), photos, MODELS[:2])
    (path,) = tmp_path.glob("canvases/*.parquet")
    sound = path.read_bytes()
    damage(path, "flip", path)
    notes: list[str] = []
    scan_inline(str(tmp_path), photos, MODELS, notes=notes)
    assert any(path.name in note and "removed" in note for note in notes)
    assert path.read_bytes() == sound
    assert_equal(tables(str(tmp_path)), calm)


def test_canvases_that_stay_damaged_end_the_scan(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: Any, **kwargs: Any) -> None:
        raise DamagedCanvasesError("canvas file x is damaged")

    monkeypatch.setattr("depara.extraction.canvases.read_canvases", broken)
    with pytest.raises(DamagedCanvasesError, match="canvas file x"):
        scan_inline(str(tmp_path), photos, MODELS)


def test_what_another_scan_commits_meanwhile_is_not_computed(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calm: dict[str, pd.DataFrame]
) -> None:
    """The plan is made; then another scan computes everything but one model's last commit."""
    extract, done = stages.extract_graphs, []

    def late(*args: Any) -> Any:
        if not done:
            done.append(True)
            scan_inline(str(tmp_path), photos, MODELS[:2], scan_id="other")
        return extract(*args)

    monkeypatch.setattr(stages, "extract_graphs", late)
    computed: list[str] = []
    commit = ModelSession.commit

    def counted(session: ModelSession) -> Any:
        computed.append(session.job.card.model_id)
        return commit(session)

    monkeypatch.setattr(ModelSession, "commit", counted)
    summary = scan_inline(str(tmp_path), photos, MODELS, scan_id="mine")
    assert sorted(computed) == ["a", "b", "c"], "each once, by one of the two scans"
    assert summary.num_reused_graphs == 6
    assert set(finished_scans(Storage(str(tmp_path)))) == {"mine", "other"}
    assert_equal(tables(str(tmp_path), "mine"), calm)


def test_a_clock_that_jumps_back_changes_nothing_but_dates(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from datetime import UTC, datetime, timedelta

    times = iter([timedelta(), timedelta(days=-1), timedelta(days=-2), timedelta(days=9)])
    now = datetime(2026, 5, 1, tzinfo=UTC)
    monkeypatch.setattr(scan_stage, "utc_now", lambda: now + next(times))
    first = scan_inline(str(tmp_path), photos, MODELS[:2])
    second = scan_inline(str(tmp_path), photos, MODELS)
    assert second.scan_id < first.scan_id
    assert second.num_reused_pairs == 12
    assert open_scan(str(tmp_path)).scan_id == second.scan_id
    assert finished_scans(Storage(str(tmp_path))) == [first.scan_id, second.scan_id]
