"""Weights that change while a scan runs, or between two nights without showing it by their time."""

from __future__ import annotations

import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch

from cluster.extract.units import ExtractUnit, ResolveUnit
from cluster.pool.worker import Worker
from cluster.record.manifest import ScanSummary
from depara import open_scan
from tests.jobs.inline import scan_inline, tiny
from tests.jobs.zoo import Tiny

QUICK = {"uncertainty": {"resamples": 0}}


def save(path: Path, seed: int) -> str:
    """Writes weights of always the same size, and of no other time than before."""
    times = (path.stat().st_atime_ns, path.stat().st_mtime_ns) if path.exists() else None
    torch.manual_seed(seed)
    torch.save(Tiny().state_dict(), path)
    if times:
        os.utime(path, ns=times)
    return sha256(path.read_bytes()).hexdigest()


def night(folder: Path, photos: Path, weights: Path) -> ScanSummary:
    models = [tiny("steady", 0), {**tiny("last", 0), "weights": str(weights)}]
    return scan_inline(str(folder / "out"), photos, models, **QUICK)


def after(
    monkeypatch: pytest.MonkeyPatch, kind: type, action: Callable[[], object], times: int = 1
) -> None:
    """Does something after the first units of a kind that are about ``last``."""
    run, left = Worker.run, [None] * times

    def watched(worker: Worker, unit: Any, *rest: Any) -> Any:
        outcome = run(worker, unit, *rest)
        about = getattr(unit, "model", None) or getattr(getattr(unit, "job", None), "model", None)
        if isinstance(unit, kind) and about is not None and about.id == "last" and left:
            left.pop()
            action()
        return outcome

    monkeypatch.setattr(Worker, "run", watched)


def keys(folder: Path, scan_id: str) -> dict[str, str]:
    table = open_scan(str(folder / "out"), scan_id).table("layers")
    rows = table[table.model_id == "last"]
    return dict(zip(rows.layer, rows.graph_key, strict=True))


def test_weights_that_change_after_they_were_opened_are_a_failure_and_no_graph(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = tmp_path / "last.pth"
    first = save(weights, 1)
    second: list[str] = []
    with monkeypatch.context() as patch:
        after(patch, ResolveUnit, lambda: second.append(save(weights, 2)))
        summary = night(tmp_path, photos, weights)
    (failure,) = summary.failures
    assert (failure.model_id, failure.stage) == ("last", "extract")
    assert failure.error_type == "ChangedModelError"
    assert f"is {second[0]}, expected {first}" in failure.message
    assert "scan again" in failure.message
    again = night(tmp_path, photos, weights)
    assert not again.failures, "the advice works"
    fresh = scan_inline(
        str(tmp_path / "fresh"), photos, [{**tiny("last", 0), "weights": str(weights)}], **QUICK
    )
    ours = keys(tmp_path, again.scan_id)
    theirs = open_scan(str(tmp_path / "fresh"), fresh.scan_id).table("layers")
    assert set(theirs.graph_key) <= set(ours.values())


def test_weights_that_change_while_they_are_computed_do_no_harm(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = tmp_path / "last.pth"
    save(weights, 1)
    with monkeypatch.context() as patch:
        after(patch, ExtractUnit, lambda: save(weights, 2))
        first = night(tmp_path, photos, weights)
    assert not first.failures
    save(weights, 1)
    assert night(tmp_path, photos, weights).num_reused_graphs == first.num_graphs


def test_other_weights_of_the_same_size_and_time_are_noticed_the_next_night(
    photos: Path, tmp_path: Path
) -> None:
    weights = tmp_path / "last.pth"
    save(weights, 1)
    before = keys(tmp_path, night(tmp_path, photos, weights).scan_id)
    facts = weights.stat()
    save(weights, 2)
    assert (weights.stat().st_size, weights.stat().st_mtime_ns) == (
        facts.st_size, facts.st_mtime_ns
    )  # fmt: skip
    later = night(tmp_path, photos, weights)
    assert not later.failures
    assert not set(before.values()) & set(keys(tmp_path, later.scan_id).values())


def test_a_card_that_turns_out_wrong_is_forgotten(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a storage that tells no change: the fingerprint stays, whatever is written."""
    from depara.fingerprints import files

    def blind(path: str) -> tuple[int, str] | None:
        return (1, "same") if os.path.isfile(path) else None

    monkeypatch.setattr(files, "_local_identity", blind)
    weights = tmp_path / "last.pth"
    save(weights, 1)
    night(tmp_path, photos, weights)
    save(weights, 2)
    for path in (tmp_path / "out" / "graphs").glob("*/*"):
        (path / "graph.json").unlink(missing_ok=True)  # else there is nothing to open it for
    wrong = night(tmp_path, photos, weights)
    assert [failure.error_type for failure in wrong.failures] == ["ChangedModelError"]
    assert not night(tmp_path, photos, weights).failures
