"""Probes in Parquet: finding the columns, reading only what is asked, damaged and odd files."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from depara.errors import ProbeError
from depara.probes import decode_probe, decode_probes
from depara.probes import parquet as parquet_module
from depara.probes.parquet import parse_row_uri
from depara.types import ProbeRef
from tests.probes.pictures import encode, list_probes, picture

IMAGES = [encode(picture(40, 30, seed), "JPEG") for seed in range(12)]
LABELS = [f"class {seed % 3}" for seed in range(12)]


def write(path: Path, table: dict[str, Any] | pa.Table, **options: Any) -> str:
    table = table if isinstance(table, pa.Table) else pa.table(table)
    pq.write_table(table, path, **options)
    return str(path)


@pytest.mark.parametrize(
    "column",
    [
        pa.array(IMAGES, pa.binary()),
        pa.array(IMAGES, pa.large_binary()),
        pa.array([{"bytes": image, "path": "x.jpg"} for image in IMAGES]),
    ],
    ids=["binary", "large_binary", "hugging face"],
)
def test_rows_are_listed_and_decoded(tmp_path: Path, column: pa.Array) -> None:
    uri = write(tmp_path / "p.parquet", {"id": range(12), "photo": column, "label": LABELS})
    refs = list_probes(uri)
    assert {(ref.uri, ref.label, ref.column) for ref in refs} == {
        (f"{uri}#{row}", LABELS[row], "photo") for row in range(12)
    }
    decoded, failures = decode_probes(refs, 16)
    assert failures == []
    assert [probe.uri for probe in decoded] == [ref.uri for ref in refs]
    files = {
        f"{uri}#{row}": decode_probe(ProbeRef(write_image(tmp_path, row)), 16).probe_id
        for row in range(12)
    }
    assert {probe.uri: probe.probe_id for probe in decoded} == files


def write_image(folder: Path, row: int) -> str:
    path = folder / f"{row}.jpg"
    path.write_bytes(IMAGES[row])
    return str(path)


def test_labels_of_other_types_and_names(tmp_path: Path) -> None:
    table = {"image": IMAGES, "label": list(range(12)), "kind": [None, *LABELS[1:]]}
    uri = write(tmp_path / "p.parquet", table)
    assert {ref.label for ref in list_probes(uri)} == {str(number) for number in range(12)}
    by_uri = {ref.uri: ref.label for ref in list_probes(uri, label_column="kind")}
    assert by_uri[f"{uri}#0"] is None
    assert by_uri[f"{uri}#4"] == "class 1"


def test_no_label_column_means_no_labels(tmp_path: Path) -> None:
    uri = write(tmp_path / "p.parquet", {"image": IMAGES, "label": [[1]] * 12})
    assert {ref.label for ref in list_probes(uri)} == {None}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"column": "imgae"}, ["no column 'imgae'", "did you mean 'image'", "name (string)"]),
        ({"column": "name"}, ["'name' holds text, read as paths", "none of its 12 files is there"]),
        ({}, ["several columns of bytes (image, mask)", "probes.column"]),
        ({"column": "image", "label_column": "nam"}, ["label column 'nam' does not exist", "name"]),
        ({"column": "image", "label_column": "boxes"}, ["label column 'boxes' is nested"]),
    ],
)
def test_columns_that_are_not_there(
    tmp_path: Path, options: dict[str, str], words: list[str]
) -> None:
    table = {"image": IMAGES, "mask": IMAGES, "name": LABELS, "boxes": [[1]] * 12}
    uri = write(tmp_path / "p.parquet", table)
    with pytest.raises(ProbeError) as caught:
        list_probes(uri, **options)
    for word in [uri, *words]:
        assert word in str(caught.value)


def test_no_column_of_bytes(tmp_path: Path) -> None:
    uri = write(tmp_path / "p.parquet", {"label": LABELS, "size": range(12)})
    with pytest.raises(ProbeError, match=r"no column of image bytes.*label \(string\), size"):
        list_probes(uri)


def test_unreadable_and_empty_files(tmp_path: Path) -> None:
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"PAR1 not really")
    with pytest.raises(ProbeError, match=r"broken\.parquet: is no readable Parquet file"):
        list_probes(str(broken))
    empty = write(tmp_path / "e.parquet", {"image": pa.array([], pa.binary())})
    with pytest.raises(ProbeError, match="has no rows"):
        list_probes(empty)


def test_bad_rows_are_failures(tmp_path: Path) -> None:
    uri = write(tmp_path / "p.parquet", {"image": [IMAGES[0], None, b"text", IMAGES[3]]})
    refs = [*list_probes(uri), ProbeRef(f"{uri}#99")]
    decoded, failures = decode_probes(refs, 16)
    assert [probe.uri for probe in decoded] == [f"{uri}#0", f"{uri}#3"]
    assert [failure.message.split(": ")[0] for failure in failures] == [
        f"{uri}#1",
        f"{uri}#2",
        f"{uri}#99",
    ]
    assert "no image bytes" in failures[0].message
    with pytest.raises(ProbeError, match="past the last row"):
        decode_probe(ProbeRef(f"{uri}#4"), 16)


def test_a_file_that_vanishes_costs_its_own_rows_alone(tmp_path: Path) -> None:
    gone = write(tmp_path / "gone.parquet", {"image": IMAGES[:3]})
    kept = write(tmp_path / "kept.parquet", {"image": IMAGES[3:5]})
    refs = list_probes([gone, kept])
    Path(gone).unlink()
    decoded, failures = decode_probes(refs, 16)
    assert [probe.uri for probe in decoded] == [f"{kept}#0", f"{kept}#1"]
    assert [failure.message.split(": ")[0] for failure in failures] == [
        f"{gone}#{row}" for row in range(3)
    ]
    assert all("does not exist" in failure.message for failure in failures)


def test_a_page_damaged_after_the_listing_is_a_failure(tmp_path: Path) -> None:
    uri = write(tmp_path / "p.parquet", {"image": IMAGES}, row_group_size=4, compression="zstd")
    refs = list_probes(uri)
    data = bytearray(Path(uri).read_bytes())
    start = pq.read_metadata(uri).row_group(2).column(0).data_page_offset
    data[start : start + 400] = b"\xff" * 400
    Path(uri).write_bytes(data)
    decoded, failures = decode_probes(refs, 16)
    assert {parse_row_uri(probe.uri).row for probe in decoded} == set(range(8))
    assert {parse_row_uri(failure.message.split(": ")[0]).row for failure in failures} == {
        8,
        9,
        10,
        11,
    }


class CountingFile(io.FileIO):
    """A file that adds up what is read from it."""

    bytes_read = 0

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(-1 if size is None else size)
        CountingFile.bytes_read += len(data)
        return data


def test_each_file_is_opened_once_and_read_only_where_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = np.random.default_rng(0).bytes(200_000)
    padded = [image + noise for image in IMAGES]
    table = {"image": padded, "other": [noise[::-1]] * 12}
    uri = write(tmp_path / "p.parquet", table, row_group_size=3, use_dictionary=False)
    opened: list[str] = []

    @contextmanager
    def counted(name: str) -> Iterator[Any]:
        opened.append(name)
        with CountingFile(name) as file:
            yield file

    monkeypatch.setattr(parquet_module, "open_binary", counted)
    CountingFile.bytes_read = 0
    refs = [ProbeRef(f"{uri}#{row}", column="image") for row in (10, 1, 9, 1)]
    decoded, failures = decode_probes(refs, 16)
    assert failures == []
    assert [probe.uri for probe in decoded] == [ref.uri for ref in refs]
    assert decoded[1].probe_id == decoded[3].probe_id
    assert opened == [uri]
    two_row_groups = 6 * len(padded[0])
    assert CountingFile.bytes_read < 1.3 * two_row_groups


def test_a_row_group_is_read_no_further_than_the_last_wanted_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = np.random.default_rng(0).bytes(500_000)
    table = {"image": [encode(picture(12, 12, seed)) + noise for seed in range(100)]}
    uri = write(tmp_path / "p.parquet", table, use_dictionary=False, write_batch_size=1)
    monkeypatch.setattr(parquet_module, "open_binary", CountingFile)
    CountingFile.bytes_read = 0
    assert decode_probes([ProbeRef(f"{uri}#3")], 12)[1] == []
    assert CountingFile.bytes_read < 0.4 * Path(uri).stat().st_size


def test_more_rows_than_a_batch_in_any_order(tmp_path: Path) -> None:
    images = [encode(picture(12, 12, seed)) for seed in range(50)]
    uri = write(tmp_path / "p.parquet", {"image": images}, row_group_size=37)
    rows = np.random.default_rng(1).permutation(50)
    decoded, failures = decode_probes([ProbeRef(f"{uri}#{row}") for row in rows], 12, threads=3)
    assert failures == []
    for row, probe in zip(rows, decoded, strict=True):
        expected = np.asarray(picture(12, 12, int(row)))
        np.testing.assert_array_equal(probe.canvas_SS3, expected)


def test_remote_files_work_alike(tmp_path: Path, put_memory: Callable[[str, bytes], str]) -> None:
    local = write(tmp_path / "p.parquet", {"image": IMAGES, "label": LABELS})
    uri = put_memory("sets/p.parquet", Path(local).read_bytes())
    refs = list_probes(uri)
    assert len(refs) == 12
    assert refs[0] == ProbeRef(f"{uri}#0", LABELS[0], "image")
    remote, failures = decode_probes(refs, 16)
    assert failures == []
    here, _ = decode_probes(list_probes(local), 16)
    assert [probe.probe_id for probe in remote] == [probe.probe_id for probe in here]


@pytest.mark.parametrize("uri", ["a.parquet", "a.parquet#x", "a.jpg#3", "#3", "a.parquet#-1"])
def test_other_uris_name_no_row(uri: str) -> None:
    assert parse_row_uri(uri) is None


def test_row_uris_may_hold_the_sign_themselves() -> None:
    assert parse_row_uri("s3://b/set#1.parquet#20") == ("s3://b/set#1.parquet", 20)
