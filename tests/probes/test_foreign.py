"""What is read, what is not and why: by bytes, by name, and in one line for a whole folder."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from depara.errors import ProbeError
from depara.probes import decode_probes, find_probes
from depara.probes.foreign import LeftOut, count_left_out, describe_left_out
from depara.probes.formats import OPTIONAL
from depara.probes.image import decode_image
from depara.types import ProbeRef
from tests.probes.pictures import encode, picture

PICTURE = picture(60, 40)


def media(brand: bytes, *others: bytes) -> bytes:
    brands = brand + b"\0\0\0\0" + b"".join(others)
    return (len(brands) + 8).to_bytes(4, "big") + b"ftyp" + brands + b"\0" * 300


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\xff\x0a" + b"\0" * 40, ["JPEG XL", "convert it"]),
        (b"\0\0\0\x0cJXL \r\n\x87\n" + b"\0" * 40, ["JPEG XL"]),
        (media(b"crx ", b"isom"), ["camera RAW"]),
        (media(b"qt  "), ["video", "frames"]),
        (b"FUJIFILMCCD-RAW 0201", ["camera RAW"]),
        (b"8BPS\0\1", ["Photoshop"]),
        (b"%PDF-1.7", ["PDF"]),
        (b"\n<!DOCTYPE html><p>", ["HTML page", "download the image again"]),
        (b"<?xml version='1.0'?>\n<svg xmlns='x'>", ["SVG"]),
        (b"version https://git-lfs.github.com/spec/v1\noid", ["Git LFS pointer", "git lfs pull"]),
        (b"\0" * 128 + b"DICM", ["DICOM"]),
        (b"\0" * 344 + b"n+1\0", ["NIfTI"]),
        (b"\x93NUMPY\1", ["NumPy"]),
        (b"PK\3\4zip", ["archive", "unpack"]),
        (b"iVBORw0KGgoAAAANSUhEUg", ["base64", "b64decode"]),
        (b"", ["is empty (0 bytes)"]),
        (b"\0" * 5000, ["5000 bytes that are all zero"]),
        (b"hello", ["starts with b'hello'"]),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_other_bytes_are_named_for_what_they_are(data: bytes, words: list[str]) -> None:
    with pytest.raises(ProbeError) as caught:
        decode_image(data, needed_px=64)
    for word in words:
        assert word in str(caught.value)
    assert "damaged" not in str(caught.value)


def test_heic_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("depara.probes.formats.OPTIONAL", {})
    for data in (media(b"heic", b"mif1"), media(b"mif1", b"heic")):
        with pytest.raises(ProbeError, match=r"\(HEIC\): pip install pillow-heif"):
            decode_image(data, needed_px=64)
    with pytest.raises(ProbeError, match=r"\(AVIF\)"):
        decode_image(media(b"mif1", b"avif"), needed_px=64)


def test_heic_with_its_package() -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    file = io.BytesIO()
    pillow_heif.from_pillow(picture(400, 240)).save(file, quality=95)
    decoded = decode_image(file.getvalue(), needed_px=16)
    assert decoded.full_size == decoded.rgb.size == (400, 240)
    difference = np.asarray(decoded.rgb).astype(int) - np.asarray(picture(400, 240))
    assert np.abs(difference).mean() < 4


@pytest.mark.skipif("AVIF" not in {kind.name for kind in OPTIONAL}, reason="Pillow without AVIF")
def test_avif_is_read_and_turned() -> None:
    exif = Image.Exif()
    exif[274] = 6
    decoded = decode_image(encode(PICTURE, "AVIF", quality=95, exif=exif), needed_px=64)
    assert decoded.orientation == 6
    assert np.abs(np.asarray(decoded.rgb).astype(int) - np.asarray(PICTURE)).mean() < 4


@pytest.mark.parametrize("kind", ["QOI", "TGA", "MPO"])
def test_rarer_formats_that_pillow_reads(kind: str) -> None:
    rgb = decode_image(encode(PICTURE, kind), needed_px=64).rgb
    assert np.abs(np.asarray(rgb).astype(int) - np.asarray(PICTURE)).mean() < 4


def test_the_preview_of_a_camera_file_is_no_probe() -> None:
    for tags in ({50706: b"\1\4\0\0"}, {254: 1, 330: 8}):
        with pytest.raises(ProbeError, match="camera RAW"):
            decode_image(encode(PICTURE, "TIFF", tiffinfo=tags), needed_px=64)
    assert decode_image(encode(PICTURE, "TIFF", tiffinfo={254: 1}), 64).full_size == (60, 40)


def test_a_tiff_of_16_bits_whose_zero_is_white() -> None:
    values = np.arange(0, 65536, 1024, dtype=np.uint16).reshape(8, 8)
    usual, turned = (
        decode_image(encode(Image.fromarray(values), "TIFF", tiffinfo={262: zero}), 64).rgb
        for zero in (1, 0)
    )
    np.testing.assert_allclose(np.asarray(turned).astype(int), 255 - np.asarray(usual), atol=1)


def test_a_form_that_pillow_does_not_read_is_no_damage() -> None:
    data = bytearray(encode(PICTURE, "BMP"))
    data[30] = 9  # a compression that nobody has
    with pytest.raises(ProbeError, match=r"is a BMP image of a form that Pillow .* does not read"):
        decode_image(bytes(data), needed_px=64)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data", "ignore:Tag data larger than file")
def test_a_truncated_exif_block_does_not_cost_the_image() -> None:
    exif = Image.Exif()
    exif[274], exif[270] = 6, "x" * 100
    for kind in ("JPEG", "PNG", "WEBP"):
        data = encode(PICTURE, kind, exif=exif.tobytes()[:40])
        assert decode_image(data, needed_px=64).full_size == (60, 40)


def test_a_folder_is_read_as_far_as_pillow_goes_and_the_rest_is_counted(tmp_path: Path) -> None:
    for name, kind in {
        "a.JPE": "JPEG",
        "b.mpo": "MPO",
        "c.j2k": "JPEG2000",
        "d.tga": "TGA",
    }.items():
        (tmp_path / name).write_bytes(encode(PICTURE, kind))
    others = [
        *(f"IMG_{number}.JXL" for number in range(4)),
        *("x.nef", "y.CR2", "scan.dcm", "shard.parquet", "live.MOV", "labels.csv", "hash0f", "z.q"),
        *("readme.md", "README", ".hidden.jxl", "Thumbs.db", "note.txt", "a.xml", "_SUCCESS"),
    ]
    for name in others:
        (tmp_path / name).write_bytes(b"x")
    found = find_probes(str(tmp_path))
    assert [Path(ref.uri).name for ref in found.refs] == ["a.JPE", "b.mpo", "c.j2k", "d.tga"]
    assert decode_probes(found.refs, 16)[1] == []
    counts = {one.kind: one.count for one in found.left_out}
    assert counts == {
        "JPEG XL": 4,
        "camera RAW": 2,
        "DICOM": 1,
        "Parquet": 1,
        "video": 1,
        "table": 1,
        "no suffix": 1,
        ".q": 1,
    }
    (tmp_path / "shard.parquet").unlink()
    assert find_probes(f"{tmp_path}/*").left_out == find_probes(str(tmp_path)).left_out
    line = describe_left_out(found.left_out)
    assert line.startswith("12 files: JPEG XL (4), camera RAW (2), ")
    assert "others (2)" in line
    assert "JPEG XL, camera RAW" in line


def test_what_another_source_takes_is_not_left_out(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encode(PICTURE))
    (tmp_path / "b").write_bytes(encode(picture(30, 30)))
    (tmp_path / "list.txt").write_text("b\n")
    assert find_probes(str(tmp_path)).left_out[0].kind == "no suffix"
    found = find_probes([str(tmp_path), str(tmp_path / "list.txt")])
    assert (len(found.refs), found.left_out) == (2, ())


def test_a_folder_without_images_says_what_is_there(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.jxl").write_bytes(b"x")
    with pytest.raises(ProbeError, match=r"no image among 3 files: .*found were 3 files: JPEG XL"):
        find_probes(str(tmp_path))
    with pytest.raises(ProbeError, match=r"no image among them.*JPEG XL"):
        find_probes(f"{tmp_path}/*.jxl")
    with pytest.raises(ProbeError, match=r"is no source of probes but of the kind JPEG XL"):
        find_probes(f"{tmp_path}/1.jxl")


def test_one_file_is_one_file() -> None:
    assert describe_left_out(count_left_out(["a.xyz"])) == "1 file: .xyz (1)"
    assert count_left_out(["d/.x.jxl", "d/README.md", ""]) == ()
    assert describe_left_out([LeftOut("A", 2, "do b")]) == "2 files: A (2). A: do b"


def test_a_name_that_is_no_utf8_is_found_again_by_what_tables_say(tmp_path: Path) -> None:
    raw = str(tmp_path / "caf\udce9.png")
    with open(raw, "wb") as file:
        file.write(encode(PICTURE))
    assert find_probes(str(tmp_path)).refs == (ProbeRef(raw),)
    (tmp_path / "list.txt").write_text("caf\\xe9.png\n")
    assert find_probes(str(tmp_path / "list.txt")).refs == (ProbeRef(raw),)
    assert decode_probes([ProbeRef(raw)], 16)[1] == []
