"""Files that are no probes: what they are by their bytes or names, and what to do with them."""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from depara.probes.addresses import suffix_of

_CONVERT = "convert it to JPEG or PNG"
_UNPACK = "unpack it and name the folder"
_AS_PARQUET = "write it as Parquet with a column of encoded images"


@dataclass(frozen=True)
class Kind:
    """A kind of file that is not decoded.

    ``suffixes`` are in lower case, ``signatures`` its first bytes by offset; ``way_out`` is what a
    user can do.
    """

    name: str
    way_out: str
    suffixes: tuple[str, ...] = ()
    signatures: tuple[tuple[int, bytes], ...] = ()


RAW = Kind(
    "camera RAW",
    _CONVERT,
    (
        *(".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".iiq", ".k25", ".kdc"),
        *(".mef", ".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl"),
        *(".sr2", ".srf", ".srw", ".x3f"),
    ),
    (
        (0, b"FUJIFILMCCD-RAW"),
        *((0, start) for start in (b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FOVb", b"\0MRM")),
    ),
)
HEIC = Kind(
    "HEIC", "pip install pillow-heif, or convert it to JPEG or PNG", (".heic", ".heif", ".hif")
)
AVIF = Kind("AVIF", "pip install -U pillow, or convert it to JPEG or PNG", (".avif", ".avifs"))
VIDEO = Kind(
    "video",
    "save frames of it as images",
    (
        *(".3gp", ".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".webm"),
        ".wmv",
    ),
    ((8, b"AVI "), (0, b"\x1aE\xdf\xa3"), (0, b"\0\0\1\xba"), (0, b"\0\0\1\xb3"), (0, b"FLV\1")),
)
GIT_LFS = Kind(
    "Git LFS pointer",
    "run `git lfs pull` in its repository",
    signatures=((0, b"version https://git-lfs.github.com/spec/"),),
)
HTML = Kind("HTML page", "download the image again; it may need a login")
SVG = Kind("SVG drawing", "convert it to PNG", (".svg", ".svgz"))
BASE64 = Kind("base64 text of an image", "decode it with base64.b64decode")

KINDS = (
    HEIC,
    AVIF,
    Kind("JPEG XL", _CONVERT, (".jxl",), ((0, b"\xff\x0a"), (0, b"\0\0\0\x0cJXL \r\n\x87\n"))),
    Kind("JPEG XR", _CONVERT, (".jxr", ".wdp", ".hdp"), ((0, b"II\xbc\1"), (0, b"II\xbc\0"))),
    RAW,
    Kind("Photoshop", _CONVERT, (".psd", ".psb"), ((0, b"8BPS"),)),
    SVG,
    Kind("PDF", "export its pages as PNG", (".pdf",), ((0, b"%PDF"),)),
    Kind("PostScript", "convert it to PNG", (".ai", ".eps", ".ps"), ((0, b"%!PS"),)),
    Kind("OpenEXR", _CONVERT, (".exr",), ((0, b"v/1\1"),)),
    Kind("Radiance HDR", _CONVERT, (".hdr",), ((0, b"#?RADIANCE"), (0, b"#?RGBE"))),
    Kind("DDS", _CONVERT, (".dds",), ((0, b"DDS "),)),
    Kind("icon", _CONVERT, (".cur", ".icns", ".ico"), ((0, b"\0\0\1\0"), (0, b"icns"))),
    Kind("XCF", _CONVERT, (".xcf",), ((0, b"gimp xcf"),)),
    Kind("DICOM", _CONVERT, (".dcm", ".dicom"), ((128, b"DICM"),)),
    Kind("NIfTI volume", "save slices of it as PNG", (".nii", ".nii.gz"), ((344, b"n+1\0"),)),
    Kind("FITS", _CONVERT, (".fit", ".fits"), ((0, b"SIMPLE  ="),)),
    VIDEO,
    Kind("NumPy array", "save each image as PNG", (".npy", ".npz"), ((0, b"\x93NUMPY"),)),
    Kind("HDF5", "save each image as PNG", (".h5", ".hdf5"), ((0, b"\x89HDF"),)),
    Kind("MATLAB", "save each image as PNG", (".mat",), ((0, b"MATLAB 5.0"),)),
    Kind("Parquet", "name it as a source of its own", (".parquet",), ((0, b"PAR1"),)),
    Kind("Parquet by another suffix", "rename it to .parquet", (".parq", ".pq")),
    Kind("Arrow", _AS_PARQUET, (".arrow", ".feather"), ((0, b"ARROW1"), (0, b"FEA1"))),
    Kind("TFRecord", _AS_PARQUET, (".tfrecord", ".tfrecords")),
    Kind("LMDB", _AS_PARQUET, (".lmdb", ".mdb")),
    Kind("RecordIO", _AS_PARQUET, (".rec",)),
    Kind("pickle", _AS_PARQUET, (".pickle", ".pkl")),
    Kind(
        "archive",
        _UNPACK,
        (
            *(".7z", ".bz2", ".gz", ".rar", ".tar", ".tar.bz2", ".tar.gz", ".tar.xz", ".tgz"),
            *(".xz", ".zip", ".zst"),
        ),
        (
            *((0, b) for b in (b"PK\3\4", b"\x1f\x8b", b"Rar!", b"7z\xbc\xaf", b"\xfd7zXZ")),
            (257, b"ustar"),
        ),
    ),
    Kind("table", "labels are read from folders, text lists, Parquet", (".csv", ".jsonl", ".tsv")),
    GIT_LFS,
)

_HEIC_BRANDS = frozenset(
    (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs", b"mif1", b"msf1")
)
_BASE64_STARTS = (b"/9j/", b"iVBORw0KGgo", b"R0lGOD", b"UklGR", b"data:image/")
_COMPANIONS = frozenset(
    (
        *(".aae", ".db", ".htm", ".html", ".ini", ".ipynb", ".json", ".lnk", ".log", ".md"),
        *(".py", ".rst", ".sh", ".txt", ".url", ".xml", ".xmp", ".yaml", ".yml", ".crc"),
    )
)
"""Suffixes of what usually lies beside images and is not taken for one by anybody."""
_COMPANION_NAMES = frozenset(("readme", "license", "licence", "notice", "authors", "changelog"))
_NO_SUFFIX = ("no suffix", "name them in a text list, which takes any name")
_KINDS_SHOWN = 6


@dataclass(frozen=True)
class LeftOut:
    """Files of one kind that lie beside the probes and are none: how many, and what to do."""

    kind: str
    count: int
    way_out: str = ""


def kind_of_bytes(data: bytes) -> Kind | None:
    """Returns what a file is that no decoder takes, by its first bytes; None when nobody knows."""
    for kind in KINDS:
        for offset, start in kind.signatures:
            if data[offset : offset + len(start)] == start:
                return kind
    if brands := media_brands(data):
        if brands & {b"avif", b"avis"}:
            return AVIF
        if b"crx " in brands:
            return RAW
        return HEIC if brands & _HEIC_BRANDS else VIDEO
    start = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n")
    if start.startswith(_BASE64_STARTS):
        return BASE64
    start = start.lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return HTML
    return SVG if start.startswith(b"<") and b"<svg" in start else None


def media_brands(data: bytes) -> frozenset[bytes]:
    """Returns the brands that a file of the ISO base media family names: HEIC, AVIF, MP4, ..."""
    if data[4:8] != b"ftyp":
        return frozenset()
    end = min(int.from_bytes(data[:4], "big"), 256)
    return frozenset((data[8:12], *(data[at : at + 4] for at in range(16, end, 4))))


def kind_of_name(name: str) -> Kind | None:
    """Returns what a file is by its suffix; None when nobody knows."""
    lower = name.lower()
    for kind in KINDS:
        if kind.suffixes and lower.endswith(kind.suffixes):
            return kind
    return None


def count_left_out(names: Iterable[str]) -> tuple[LeftOut, ...]:
    """Returns the kinds of the named files, the commonest first.

    What nobody takes for an image is not counted: hidden files, readmes, side files of text. Files
    of an unknown kind are counted by their suffix.
    """
    counts: Counter[tuple[str, str]] = Counter()
    for name in names:
        base, suffix = posixpath.basename(name), suffix_of(name)
        if not base or base.startswith((".", "_")) or suffix in _COMPANIONS:
            continue
        if base.lower().partition(".")[0] in _COMPANION_NAMES:
            continue
        kind = kind_of_name(name)
        if kind is not None:
            counts[kind.name, kind.way_out] += 1
        else:
            counts[(suffix, "") if suffix else _NO_SUFFIX] += 1
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return tuple(LeftOut(kind, count, way_out) for (kind, way_out), count in ordered)


def describe_left_out(left_out: Iterable[LeftOut]) -> str:
    """Returns one line of what was left out and what to do: ``42 files: HEIC (40), ...``."""
    kinds = list(left_out)
    total = sum(one.count for one in kinds)
    parts = [f"{one.kind} ({one.count})" for one in kinds[:_KINDS_SHOWN]]
    if kinds[_KINDS_SHOWN:]:
        parts.append(f"others ({sum(one.count for one in kinds[_KINDS_SHOWN:])})")
    ways: dict[str, list[str]] = {}
    for one in kinds[:_KINDS_SHOWN]:
        if one.way_out:
            ways.setdefault(one.way_out, []).append(one.kind)
    advice = "; ".join(f"{', '.join(names)}: {way}" for way, names in ways.items())
    line = f"{total} {'file' if total == 1 else 'files'}: {', '.join(parts)}"
    return f"{line}. {advice}" if advice else line
