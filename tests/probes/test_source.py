"""Local sources: folders, globs, lists, packages, joins, and the errors of each."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from depara.errors import ConfigError, ProbeError
from depara.probes import decode_probes
from depara.types import ProbeRef
from tests.probes.pictures import encode, list_probes, picture


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two classes and a loose image, with files that are no images or are hidden."""
    names = ["cat/a.jpg", "cat/deep/b.PNG", "dog/c.JPEG", "d.webp", "notes.md", "empty/x.csv"]
    for name in [*names, ".hidden.jpg", ".thumbs/e.jpg", "cat/._a.jpg"]:
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return tmp_path / "photos"


def names_and_labels(refs: list[ProbeRef], root: Path) -> dict[str, str | None]:
    assert [ref.uri for ref in refs] == sorted(ref.uri for ref in refs)
    return {Path(ref.uri).relative_to(root).as_posix(): ref.label for ref in refs}


def test_folder_is_walked_with_the_class_folders_as_labels(photos: Path) -> None:
    assert names_and_labels(list_probes(str(photos)), photos) == {
        "cat/a.jpg": "cat",
        "cat/deep/b.PNG": "cat",
        "dog/c.JPEG": "dog",
        "d.webp": None,
    }


def test_one_sub_folder_is_no_class(photos: Path) -> None:
    (photos / "dog" / "c.JPEG").unlink()
    assert set(names_and_labels(list_probes(f"{photos}/"), photos).values()) == {None}


def test_relative_sources_come_back_absolute(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(photos.parent)
    expected = list_probes(str(photos))
    assert list_probes("photos") == expected
    assert list_probes("./photos/../photos") == expected
    assert list_probes(f"file://{photos}") == expected
    monkeypatch.setenv("HOME", str(photos.parent))
    assert list_probes("~/photos") == expected


def test_links_are_followed_once(photos: Path) -> None:
    outside = photos.parent / "more"
    outside.mkdir()
    (outside / "f.jpg").write_bytes(b"x")
    (photos / "bird").symlink_to(outside)
    (photos / "dog" / "loop").symlink_to(photos)
    listed = names_and_labels(list_probes(str(photos)), photos)
    assert listed["bird/f.jpg"] == "bird"
    assert len(listed) == 5


def test_folder_without_images_says_what_it_looks_for(tmp_path: Path) -> None:
    (tmp_path / "readme.md").write_text("hello")
    with pytest.raises(ProbeError, match=r"no image among 1 files: .*\.jpeg .*\.png"):
        list_probes(str(tmp_path))
    (tmp_path / "readme.md").unlink()
    with pytest.raises(ProbeError, match="no image among 0 files"):
        list_probes(str(tmp_path))


def test_folder_of_parquet_files(tmp_path: Path) -> None:
    image = encode(picture(20, 20))
    for part in range(2):
        pq.write_table(pa.table({"image": [image, image]}), tmp_path / f"train-{part}.parquet")
    refs = list_probes(str(tmp_path))
    assert [Path(ref.uri).name for ref in refs] == [
        "train-0.parquet#0",
        "train-0.parquet#1",
        "train-1.parquet#0",
        "train-1.parquet#1",
    ]
    assert list_probes(str(tmp_path / "*.parquet")) == refs


def test_globs(photos: Path) -> None:
    assert names_and_labels(list_probes(str(photos / "*" / "*")), photos) == {
        "cat/a.jpg": None,
        "dog/c.JPEG": None,
    }
    assert len(list_probes(str(photos / "**" / "*.[jJ]*"))) == 2
    with pytest.raises(ProbeError, match="matches 1 files and no image"):
        list_probes(str(photos / "*.md"))
    with pytest.raises(ProbeError, match="matches 0 files"):
        list_probes(str(photos / "nothing*"))


def test_a_folder_whose_name_is_like_a_glob(tmp_path: Path) -> None:
    folder = tmp_path / "set [1]?"
    folder.mkdir()
    (folder / "a[0].png").write_bytes(encode(picture(20, 20)))
    refs = list_probes(str(folder))
    assert len(refs) == 1
    assert decode_probes(refs, 8)[1] == []


def test_text_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    text = (
        "\ufeff# my probes\r\n"
        "\r\n"
        "images/a b.jpg\tcat\r\n"
        "  ../c.jpg  \n"
        "/data/d.jpg\t\n"
        "~/e.jpg\n"
        "s3://bucket/key/f.jpg\tdog house\n"
        "package://somewhere/g.jpg\n"
        "set.parquet#7\n"
    )
    (tmp_path / "list.txt").write_bytes(text.encode())
    refs = {ref.uri: ref.label for ref in list_probes(str(tmp_path / "list.txt"))}
    assert refs == {
        f"{tmp_path}/images/a b.jpg": "cat",
        f"{tmp_path.parent}/c.jpg": None,
        "/data/d.jpg": None,
        f"{tmp_path}/home/e.jpg": None,
        "s3://bucket/key/f.jpg": "dog house",
        "package://somewhere/g.jpg": None,
        f"{tmp_path}/set.parquet#7": None,
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xfe\x00a", r"list\.txt: is not UTF-8 text"),
        (b"# nothing\n\n", r"list\.txt: lists no image"),
        (b"", r"list\.txt: lists no image"),
        (b"a.jpg\nb.jpg\tcat\tblack\n", r"list\.txt, line 2: has more than one tab"),
    ],
)
def test_bad_text_lists(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "list.txt").write_bytes(content)
    with pytest.raises(ProbeError, match=message):
        list_probes(str(tmp_path / "list.txt"))


def test_missing_sources_name_what_is_near(photos: Path) -> None:
    with pytest.raises(ProbeError, match=r"photo: does not exist; did you mean 'photos'\?"):
        list_probes(str(photos.parent / "photo"))
    with pytest.raises(ProbeError, match=r"x/y\.txt: does not exist: name a folder"):
        list_probes(str(photos / "x" / "y.txt"))


def test_other_files_are_no_source(photos: Path) -> None:
    with pytest.raises(ProbeError, match=r"notes\.md: is no source of probes: name a folder"):
        list_probes(str(photos / "notes.md"))


@pytest.mark.parametrize("source", ["", "  ", [], ["", "x"]])
def test_empty_sources(source: str | list[str]) -> None:
    with pytest.raises(ProbeError, match=r"probes\.source is (an )?empty"):
        list_probes(source)


def test_sources_are_joined_and_each_uri_is_listed_once(photos: Path) -> None:
    (photos.parent / "list.txt").write_text("photos/cat/a.jpg\tfirst\nphotos/z.jpg\n")
    refs = list_probes(
        [str(photos.parent / "list.txt"), str(photos), str(photos / "dog" / "c.JPEG")]
    )
    listed = names_and_labels(refs, photos)
    assert len(refs) == len(listed) == 5
    assert listed["cat/a.jpg"] == "first"


def test_package_sources_stay_portable(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = photos.parent / "a_package_of_photos"
    os.rename(photos, package)
    (package / "__init__.py").write_text("raise RuntimeError('a package is never imported')")
    (package / "list.txt").write_text("cat/a.jpg\n")
    monkeypatch.syspath_prepend(photos.parent)
    assert [ref.uri for ref in list_probes("package://a_package_of_photos/cat")] == [
        "package://a_package_of_photos/cat/a.jpg",
        "package://a_package_of_photos/cat/deep/b.PNG",
    ]
    assert [ref.uri for ref in list_probes("package://a_package_of_photos/*/*.j*")] == [
        "package://a_package_of_photos/cat/a.jpg"
    ]
    assert list_probes("package://a_package_of_photos/list.txt") == [
        ProbeRef("package://a_package_of_photos/cat/a.jpg")
    ]
    with pytest.raises(ConfigError, match="pip install no-such-package"):
        list_probes("package://no_such_package/photos")


@pytest.mark.shared
def test_real_photos_are_found(shared_data: Path) -> None:
    for name, count in (("visda200", 200), ("imagenet100", 100)):
        refs = list_probes(str(shared_data / "probes" / name))
        assert len(refs) == count
        assert {ref.label for ref in refs} == {None}
    both = list_probes(str(shared_data / "probes"))
    assert {ref.label for ref in both} == {"visda200", "imagenet100"}
