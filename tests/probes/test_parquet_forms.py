"""Usual forms of Parquet image tables: how bytes stand in them, paths, shards, partitions."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from depara.errors import ProbeError
from depara.probes import decode_probes
from depara.types import ProbeRef
from tests.probes.pictures import encode, list_probes, picture

IMAGES = [encode(picture(20, 16, seed)) for seed in range(6)]
HUGGING_FACE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def write(path: Path, columns: dict[str, Any], **options: Any) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path, **options)
    return str(path)


def ids(refs: list[ProbeRef]) -> list[str]:
    decoded, failures = decode_probes(refs, 16)
    assert failures == []
    return [probe.probe_id for probe in decoded]


@pytest.fixture
def photos(tmp_path: Path) -> list[ProbeRef]:
    """The images as files ``photos/N.png``."""
    (tmp_path / "photos").mkdir()
    for number, image in enumerate(IMAGES):
        (tmp_path / "photos" / f"{number}.png").write_bytes(image)
    return list_probes(str(tmp_path / "photos"))


def structs(rows: list[tuple[bytes | None, str | None]], kind: pa.DataType = HUGGING_FACE) -> Any:
    return pa.array([{"bytes": data, "path": path} for data, path in rows], kind)


FORMS: dict[str, Callable[[], Any]] = {
    "binary": lambda: pa.array(IMAGES, pa.binary()),
    "large": lambda: pa.array(IMAGES, pa.large_binary()),
    "view": lambda: pa.array(IMAGES, pa.binary_view()),
    "dictionary": lambda: pa.array(IMAGES, pa.binary()).dictionary_encode(),
    "fixed": lambda: pa.array([i.ljust(4096, b"\0") for i in IMAGES], pa.binary(4096)),
    "struct": lambda: structs([(image, "somewhere.png") for image in IMAGES]),
    "struct of bytes": lambda: pa.array(
        [{"bytes": i} for i in IMAGES], pa.struct([("bytes", pa.large_binary())])
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_bytes_are_bytes_in_whatever_form(
    form: str, tmp_path: Path, photos: list[ProbeRef]
) -> None:
    uri = write(tmp_path / "p.parquet", {"image": FORMS[form]()}, row_group_size=4)
    refs = list_probes(uri)
    assert [ref.uri for ref in refs] == [f"{uri}#{row}" for row in range(6)]
    assert ids(refs) == ids(photos)


@pytest.mark.parametrize("prefix", ["", "data:image/png;base64,"])
def test_base64_text(prefix: str, tmp_path: Path, photos: list[ProbeRef]) -> None:
    texts = [prefix + base64.b64encode(image).decode() for image in IMAGES]
    uri = write(tmp_path / "p.parquet", {"img": texts})
    with pytest.raises(ProbeError, match=r"if 'img' holds .* set probes\.column: img"):
        list_probes(uri)
    refs = list_probes(uri, column="img")
    assert refs[0] == ProbeRef(f"{uri}#0", None, "img")
    assert ids(refs) == ids(photos)


@pytest.mark.parametrize("statistics", [True, False])
@pytest.mark.parametrize("kind", [pa.binary(), pa.null()], ids=str)
def test_rows_that_only_name_a_path_are_read_beside_the_file(
    kind: pa.DataType, statistics: bool, tmp_path: Path, photos: list[ProbeRef]
) -> None:
    struct = pa.struct([("bytes", kind), ("path", pa.string())])
    cells = structs([(None, f"photos/{n}.png") for n in range(6)], struct)
    columns = {"image": cells, "label": [0, 1] * 3}
    uri = write(tmp_path / "p.parquet", columns, write_statistics=statistics)
    refs = list_probes(uri)
    assert [ref.uri for ref in refs] == [ref.uri for ref in photos]
    assert [ref.label for ref in refs] == ["0", "1"] * 3
    assert ids(refs) == ids(photos)


def test_columns_of_paths_absolute_relative_and_remote(
    tmp_path: Path, photos: list[ProbeRef], put_memory: Callable[[str, bytes], str]
) -> None:
    remote = put_memory("far/2.png", IMAGES[2])
    texts = ["photos/0.png", photos[1].uri, remote]
    uri = write(tmp_path / "p.parquet", {"file_name": texts, "label": ["a", None, "b"]})
    with pytest.raises(ProbeError, match=r"set probes\.column: file_name"):
        list_probes(uri)
    refs = {ref.uri: ref.label for ref in list_probes(uri, column="file_name")}
    assert refs == {photos[0].uri: "a", photos[1].uri: None, remote: "b"}
    beside = put_memory(
        "far/p.parquet", Path(write(tmp_path / "q.parquet", {"url": ["2.png"]})).read_bytes()
    )
    assert list_probes(beside, column="url") == [ProbeRef(remote)]


def test_rows_of_bytes_and_of_paths_in_one_table(tmp_path: Path, photos: list[ProbeRef]) -> None:
    rows = [(image, None) if n % 2 else (None, f"photos/{n}.png") for n, image in enumerate(IMAGES)]
    uri = write(tmp_path / "p.parquet", {"image": structs(rows)}, row_group_size=2)
    refs = list_probes(uri)
    assert {ref.uri for ref in refs} == {
        *(photos[n].uri for n in (0, 2, 4)),
        *(f"{uri}#{n}" for n in (1, 3, 5)),
    }
    assert sorted(ids(refs)) == sorted(ids(photos))


def test_paths_that_lead_nowhere_are_refused_and_some_of_them_cost_themselves(
    tmp_path: Path, photos: list[ProbeRef]
) -> None:
    uri = write(tmp_path / "p.parquet", {"image": structs([(None, "1.png"), (None, "2.png")])})
    with pytest.raises(
        ProbeError, match=r"none of its 2 files is there \(first: .*1\.png\).*embed"
    ):
        list_probes(uri)
    write(tmp_path / "p.parquet", {"image": structs([(None, "1.png"), (None, "photos/2.png")])})
    decoded, failures = decode_probes(list_probes(uri), 16)
    assert [probe.uri for probe in decoded] == [photos[2].uri]
    assert "1.png: does not exist" in failures[0].message


def test_shards_without_rows_are_passed_over(tmp_path: Path) -> None:
    folder = tmp_path / "shards"
    write(folder / "0.parquet", {"image": IMAGES[:3]})
    write(folder / "1.parquet", {"image": pa.array([], pa.binary())})
    write(folder / "2.parquet", {"image": pa.array([], pa.null())})
    (folder / "_SUCCESS").write_text("")
    (folder / ".0.parquet.crc").write_bytes(b"x")
    (folder / "_metadata").write_bytes(b"PAR1")
    (folder / "_delta_log").mkdir()
    write(folder / "_delta_log" / "0.checkpoint.parquet", {"add": [1]})
    assert len(list_probes(str(folder))) == len(list_probes(f"{folder}/*.parquet")) == 3
    (folder / "0.parquet").unlink()
    with pytest.raises(ProbeError, match=r"each of 2 Parquet files: has no rows"):
        list_probes(str(folder))


def test_partitions_give_labels(tmp_path: Path) -> None:
    for value, image in zip(("cat", "d%20g", "__HIVE_DEFAULT_PARTITION__"), IMAGES, strict=False):
        write(tmp_path / "t" / f"label={value}" / "p.parquet", {"image": [image]})
    labels = {Path(r.uri).parent.name: r.label for r in list_probes(str(tmp_path / "t"))}
    assert list(labels.values()) == [None, "cat", "d g"]
    write(tmp_path / "u" / "kind=x" / "p.parquet", {"image": IMAGES[:1], "label": ["y"]})
    assert [ref.label for ref in list_probes(str(tmp_path / "u"))] == ["y"]
    assert [r.label for r in list_probes(str(tmp_path / "u"), label_column="kind")] == ["x"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([3, -1, None], ["3", "-1", None]),
        (pa.array(["a", None, "a"]).dictionary_encode(), ["a", None, "a"]),
        ([1.0, float("nan"), None], ["1.0", None, None]),
        ([b"cat", b"caf\xe9", b""], ["cat", "caf\udce9", ""]),
        (pa.nulls(3), [None] * 3),
    ],
    ids=["int", "dictionary", "float", "bytes", "null"],
)
def test_labels_of_many_types(values: Any, expected: list[str | None], tmp_path: Path) -> None:
    uri = write(tmp_path / "p.parquet", {"image": IMAGES[:3], "label": values})
    assert [ref.label for ref in list_probes(uri, column="image")] == expected


def test_shards_whose_columns_differ(tmp_path: Path, photos: list[ProbeRef]) -> None:
    write(tmp_path / "s" / "0.parquet", {"image": IMAGES[:2], "label": [1, 2]})
    write(tmp_path / "s" / "1.parquet", {"img": pa.array(IMAGES[2:4]).dictionary_encode()})
    write(tmp_path / "s" / "2.parquet", {"image": structs([(i, None) for i in IMAGES[4:]])})
    assert ids(list_probes(str(tmp_path / "s"))) == ids(photos)


def test_a_checksum_beside_the_images_is_no_second_column(tmp_path: Path) -> None:
    md5 = pa.array([bytes(16)] * 6, pa.binary(16))
    uri = write(tmp_path / "p.parquet", {"md5": md5, "image": IMAGES})
    assert {ref.column for ref in list_probes(uri)} == {"image"}


@pytest.mark.parametrize(
    ("column", "words"),
    [
        ([[[1, 2], [3, 4]]], "'image': has arrays of numbers: .*bytes of a PNG"),
        ([[IMAGES[0], IMAGES[1]]], "'image': has lists of images: write one image a row"),
        (
            pa.array([[{"bytes": IMAGES[0], "path": ""}]], pa.list_(HUGGING_FACE)),
            "has lists of images",
        ),
    ],
    ids=["pixels", "list of bytes", "list of structs"],
)
def test_forms_that_are_not_read_are_named(column: Any, words: str, tmp_path: Path) -> None:
    uri = write(tmp_path / "p.parquet", {"image": column, "size": [1]})
    with pytest.raises(ProbeError, match=words):
        list_probes(uri)
    with pytest.raises(ProbeError, match=words.partition(": ")[2] or words):
        list_probes(uri, column="image")


@pytest.mark.parametrize("name", ["a.arrow", "b.feather", "c.tar", "d.tfrecord", "e.pq"])
def test_other_tables_are_named_for_what_they_are(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(
        ProbeError, match=r"no source of probes but of the kind .* \((write|unpack|rename)"
    ):
        list_probes(str(tmp_path / name))
