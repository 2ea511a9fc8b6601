"""Figures as files: the suffix decides, the same bytes each time, and plain words where none go."""

from __future__ import annotations

import subprocess
import sys
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from depara.errors import ConfigError, StoreError
from depara.pictures.files import (
    check_place,
    drawing,
    encode_figure,
    shortened,
    signed,
    write_picture,
)
from depara.pictures.page import Page, characters, title_lines
from depara.store.storage import Storage

pytest.importorskip("matplotlib")

HOSTILE = "$\\frac{<script>alert(1)</script>--> & 模型 \x1b[31m\u202e"


def page(text: str = "words") -> Page:
    with drawing():
        made = Page(2, 1)
        made.text(0.1, 0.1, text)
        made.axes(0.5, 0.5, 0.4, 0.4).imshow([[0, 1], [2, 3]])
    return made


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_the_suffix_decides_and_the_bytes_are_the_same_each_time(kind: str, tmp_path: Path) -> None:
    start = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[kind]
    place = write_picture(page().figure, str(tmp_path / "new" / f"picture.{kind.upper()}"))
    assert place == str(tmp_path / "new" / f"picture.{kind.upper()}")
    data = Path(place).read_bytes()
    assert data.startswith(start)
    assert data == encode_figure(page().figure, kind)
    if kind == "png":
        with Image.open(BytesIO(data)) as image:
            assert image.size == (320, 160)


def test_the_settings_of_the_user_change_nothing() -> None:
    import matplotlib

    expected = encode_figure(page().figure, "png")
    with matplotlib.rc_context({"font.size": 30, "savefig.dpi": 20, "savefig.bbox": "tight"}):
        assert encode_figure(page().figure, "png") == expected


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_hostile_text_is_drawn_as_text(kind: str) -> None:
    from xml.etree import ElementTree

    data = encode_figure(
        page(shortened(HOSTILE, 80)).figure, kind
    )  # no warning: no glyphs for some
    if kind == "svg":
        tags = {element.tag.rpartition("}")[2] for element in ElementTree.fromstring(data).iter()}
        assert "script" not in tags
        assert b"<script" not in data


def test_a_picture_goes_to_a_remote_storage() -> None:
    place = write_picture(page().figure, "memory://pictures/deep/one.png")
    assert place == "memory://pictures/deep/one.png"
    assert Storage("memory://pictures/deep").read("one.png").startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("x.jpg", r"one of \.png, \.svg, \.pdf; got \.jpg"),
        ("x", "got none"),
        (".png", "got none"),
        ("x.png/", r"is a folder: give a file name, such as x\.png/picture\.png"),
        ("s3://bucket", "names no file"),
        ("s3://bucket/x", "got none"),
        ("https://host/x.png", "web address"),
        ("a\x1b[31m.gif", r"a\\x1b\[31m.gif"),
    ],
)
def test_a_place_that_cannot_be_is_refused_in_plain_words(place: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        check_place(place)


def test_an_existing_folder_and_an_unwritable_place_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "folder.png"
    folder.mkdir()
    with pytest.raises(ConfigError, match="is a folder"):
        write_picture(page().figure, str(folder))
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match=r"cannot write .*file/x\.png: Not a directory"):
        write_picture(page().figure, str(tmp_path / "file" / "x.png"))


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ConfigError, match=r'pip install "depara\[plot\]"'), drawing():
        pass


def test_long_texts_are_shortened_in_the_middle_and_wrapped() -> None:
    assert shortened("abcdefghij", 7) == "abc…hij"
    assert shortened("abcdefghij", 10) == "abcdefghij"
    assert shortened("a\nb", 10) == "a\\nb"
    lines = title_lines(["title"], "word " * 60, 5)
    assert len(lines) > 3
    assert all(len(line.text) <= characters(5, line.size) for line in lines)


def test_numbers_have_a_true_minus_sign_and_zero_has_none() -> None:
    assert signed(-0.126, 2) == "−0.13"
    assert signed(-0.001, 2) == "0.00"
    assert signed(0.5, 1) == "0.5"


def test_pictures_load_neither_pyplot_nor_torch_and_matplotlib_only_to_draw() -> None:
    code = (
        "import depara.pictures, sys; "
        "print([name in sys.modules for name in ('matplotlib', 'PIL', 'torch')]); "
        "from depara.pictures.files import drawing; "
        "context = drawing(); context.__enter__(); "
        "print('matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["[False, False, False]", "False"]
