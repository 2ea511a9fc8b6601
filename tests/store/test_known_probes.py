"""Probes of an unchanged draw: exact, or as if never written."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from depara.errors import StorageUnavailableError
from depara.probes import decode, decode_probes
from depara.store import known
from depara.store.canvases import ProbeSet, write_canvases, write_probe_set
from depara.store.known import KnownProbes, read_probes, write_probes
from depara.store.storage import Storage
from depara.types import Box, Failure, Probe, ProbeRef
from tests.store.damage import damages, refuse

F1, F2 = "1" * 32, "2" * 32
SIDE = 8

names = st.text(max_size=8)


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(str(tmp_path / "out"))


def path_of(storage: Storage, path: str) -> Path:
    return Path(storage.location(path))


def written_probes(storage: Storage, count: int = 5) -> KnownProbes:
    """Canvases and probe set in the storage, in chunks of two probes."""
    ids = [f"{number:064x}" for number in range(count)]
    canvas_NSS3 = np.random.default_rng(0).integers(0, 256, (count, SIDE, SIDE, 3), dtype=np.uint8)
    chunks = tuple(
        write_canvases(storage, ids[i : i + 2], canvas_NSS3[i : i + 2]) for i in range(0, count, 2)
    )
    write_probe_set(storage, ProbeSet("key", SIDE, tuple(ids), chunks))
    probes = tuple(
        Probe(name, index, f"photo/{index}.png", 80, 60, None if index else "cat")
        for index, name in enumerate(ids)
    )
    failure = Failure("", "probes", "DuplicateProbe", "is a duplicate", None, ids[0])
    return KnownProbes("key", probes, (failure,))


def test_probes_come_back_exactly(storage: Storage) -> None:
    probes = written_probes(storage)
    assert read_probes(storage, F1) is None
    assert write_probes(storage, F1, probes)
    assert read_probes(storage, F1) == probes
    assert read_probes(storage, F2) is None
    odd = replace(probes.probes[1], uri="caf\udce9/\u00fc.png", label="")
    boxed = replace(probes.probes[2], boxes=(Box(0.5, 1.0, 20.25, 30.0, "caf\udce9"),))
    empty = replace(probes.probes[3], boxes=())
    again = KnownProbes("key", (probes.probes[0], odd, boxed, empty, *probes.probes[4:]), ())
    assert write_probes(storage, F1, again)
    assert read_probes(storage, F1) == again


def test_probes_without_all_their_canvases_are_unknown(storage: Storage) -> None:
    probes = written_probes(storage)
    assert write_probes(storage, F1, probes)
    files = sorted(path_of(storage, "canvases").rglob("*.*"))
    assert len(files) == 4
    for file in files:
        data = file.read_bytes()
        for damaged in (None, b"", data[:-1]):
            file.unlink() if damaged is None else file.write_bytes(damaged)
            assert read_probes(storage, F1) is None, file
            file.write_bytes(data)
        assert read_probes(storage, F1) == probes


def test_any_change_of_the_probe_set_makes_the_probes_unknown(storage: Storage) -> None:
    probes = written_probes(storage)
    assert write_probes(storage, F1, probes)
    path = path_of(storage, "canvases/sets/key.json")
    tree = json.loads(path.read_bytes())
    for field, value in (
        ("side", SIDE + 1),
        ("probe_ids", tree["probe_ids"][::-1]),
        ("chunks", []),
    ):
        path.write_text(json.dumps({**tree, field: value}))
        assert read_probes(storage, F1) is None, field
    path.write_text(json.dumps(tree))
    assert read_probes(storage, F1) == probes


def test_any_damage_makes_probes_unknown(storage: Storage) -> None:
    assert write_probes(storage, F1, written_probes(storage))
    path = path_of(storage, f"known/probes/{F1}.json")
    data = path.read_bytes()
    for number, damaged in enumerate(damages(data)):
        if number % 101 == 0 or number >= 3 * len(data):
            path.write_bytes(damaged)
            assert read_probes(storage, F1) is None, damaged


def test_records_of_another_version_are_unknown(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    probes = written_probes(storage)
    with monkeypatch.context() as older:
        older.setattr(known, "KNOWN_VERSION", 0)
        assert write_probes(storage, F1, probes)
        assert read_probes(storage, F1) == probes
    assert read_probes(storage, F1) is None


def test_a_storage_that_does_not_answer_is_no_damage(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    probes = written_probes(storage)
    assert write_probes(storage, F1, probes)
    monkeypatch.setattr(Storage, "read", refuse)
    for ask in (lambda: read_probes(storage, F1), lambda: write_probes(storage, F1, probes)):
        with pytest.raises(StorageUnavailableError):
            ask()


def test_probes_are_not_recorded_before_their_canvases(storage: Storage) -> None:
    probes = written_probes(storage)
    for wrong in (replace(probes, key="other"), replace(probes, probes=probes.probes[:-1])):
        assert not write_probes(storage, F1, wrong)
    next(path_of(storage, "canvases").glob("*.parquet")).unlink()
    assert not write_probes(storage, F1, probes)
    assert storage.files("known/probes") == {}


def test_failures_that_may_pass_are_not_recorded(
    storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    probes = written_probes(storage)
    damaged = tmp_path / "damaged.png"
    damaged.write_bytes(b"\x89PNG\r\n\x1a\nand no more")
    _, lasting = decode_probes([ProbeRef(str(damaged))], SIDE)
    assert write_probes(storage, F1, replace(probes, failures=tuple(lasting)))

    unreadable = tmp_path / "folder.png"
    unreadable.mkdir()
    _, passing = decode_probes([ProbeRef(str(unreadable))], SIDE)
    monkeypatch.setattr(decode, "decode_canvas", Mock(side_effect=MemoryError))
    _, crashed = decode_probes([ProbeRef(str(damaged))], SIDE)
    assert len(lasting) == len(passing) == len(crashed) == 1
    assert [one.error_type for one in (*passing, *crashed)] == ["ProbeError", "MemoryError"]
    for failure in (*passing, *crashed):
        failures = (*lasting, failure)
        assert not write_probes(storage, F2, replace(probes, failures=failures)), failure
    assert read_probes(storage, F2) is None


def test_records_of_earlier_versions_are_read(storage: Storage) -> None:
    """The kind of a failure is no part of a record: all that are kept are of one kind."""
    probes = written_probes(storage)
    assert write_probes(storage, F1, probes)
    record = json.loads(path_of(storage, f"known/probes/{F1}.json").read_bytes())
    fields = ["model_id", "stage", "error_type", "message", "layer", "probe_id"]
    assert [list(failure) for failure in record["content"]["failures"]] == [fields]


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(st.builds(Failure, names, names, st.just("ProbeError"), names), max_size=3))
def test_failures_come_back_exactly(storage: Storage, failures: list[Failure]) -> None:
    probes = replace(written_probes(storage, 1), failures=tuple(failures))
    assert write_probes(storage, F1, probes)
    assert read_probes(storage, F1) == probes
