"""Remote sources over a real S3 protocol, and over fsspec in general."""

from __future__ import annotations

import io
from collections.abc import Callable

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from depara.errors import ConfigError, ProbeError
from depara.probes import decode_probes
from depara.types import ProbeRef
from tests.probes.pictures import encode, list_probes, picture

Put = Callable[[str, bytes], str]


def test_s3_prefix_glob_list_and_parquet(put_s3: Put) -> None:
    images = [encode(picture(40, 30, seed), "JPEG") for seed in range(3)]
    put_s3("photos/cat/a.jpg", images[0])
    put_s3("photos/dog/b.JPG", images[1])
    put_s3("photos/dog/.hidden.jpg", images[1])
    put_s3("photos/readme.md", b"text")
    put_s3("photos2/c.jpg", images[2])
    expected = [
        ProbeRef("s3://probes/photos/cat/a.jpg", "cat"),
        ProbeRef("s3://probes/photos/dog/b.JPG", "dog"),
    ]
    assert list_probes("s3://probes/photos") == expected
    assert list_probes("s3://probes/photos/") == expected
    assert [ref.uri for ref in list_probes("s3://probes/photos*/**/*.jpg")] == [
        "s3://probes/photos/cat/a.jpg",
        "s3://probes/photos/dog/.hidden.jpg",
        "s3://probes/photos2/c.jpg",
    ]
    assert list_probes("s3://probes/photos2/c.jpg") == [ProbeRef("s3://probes/photos2/c.jpg")]

    put_s3("lists/p.txt", b"../photos/cat/a.jpg\tfelis\ns3://probes/photos2/c.jpg\n")
    listed = list_probes("s3://probes/lists/p.txt")
    assert listed == [
        ProbeRef("s3://probes/photos/cat/a.jpg", "felis"),
        ProbeRef("s3://probes/photos2/c.jpg"),
    ]

    buffer = io.BytesIO()
    pq.write_table(pa.table({"image": images}), buffer, row_group_size=1)
    put_s3("sets/p.parquet", buffer.getvalue())
    rows = list_probes("s3://probes/sets/p.parquet")
    assert list_probes("s3://probes/sets") == rows
    refs = [*listed, *rows, ProbeRef("s3://probes/photos/gone.jpg")]
    decoded, [failure] = decode_probes(refs, 16, threads=2)
    assert [probe.uri for probe in decoded] == [ref.uri for ref in refs[:-1]]
    assert [probe.probe_id for probe in decoded[:2]] == [
        decoded[2].probe_id,
        decoded[4].probe_id,
    ]
    assert failure.error_type == "ProbeError"
    assert failure.message.startswith("s3://probes/photos/gone.jpg: does not exist")


def test_s3_sources_that_are_not_there(put_s3: Put) -> None:
    put_s3("docs/readme.md", b"text")
    for missing in ("s3://probes/nothing", "s3://no-such-bucket-here/photos", "s3://probes/x.txt"):
        with pytest.raises(ProbeError, match=rf"{missing}: does not exist"):
            list_probes(missing)
    with pytest.raises(ProbeError, match="no image among 1 files"):
        list_probes("s3://probes/docs")
    with pytest.raises(ProbeError, match="matches 0 files"):
        list_probes("s3://probes/docs/*.jpg")


def test_a_storage_that_cannot_be_reached_is_one_clear_error(
    put_s3: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    import s3fs

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("Access Denied")

    monkeypatch.setattr(s3fs.S3FileSystem, "find", refuse)
    with pytest.raises(ProbeError, match=r"s3://probes/photos: cannot be read \(PermissionError"):
        list_probes("s3://probes/photos")


def test_other_storages(put_memory: Put) -> None:
    first = put_memory("photos/cat/a.png", encode(picture(40, 30)))
    second = put_memory("photos/dog/b.png", encode(picture(40, 30, seed=1)))
    refs = list_probes("memory://photos")
    assert [ref.label for ref in refs] == ["cat", "dog"]
    decoded, failures = decode_probes(refs, 16)
    assert failures == []
    expected, _ = decode_probes([ProbeRef(first), ProbeRef(second)], 16)
    assert [probe.probe_id for probe in decoded] == [probe.probe_id for probe in expected]
    with pytest.raises(ConfigError, match="no storage known for 'nosuch'"):
        list_probes("nosuch://bucket/photos")
