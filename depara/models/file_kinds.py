"""What a file that is no checkpoint is instead, told by its first bytes, and what to do about it.

A download that went wrong, an archive that was not unpacked, or another program's format is named
for what it is; only a file that nothing is known of is called damaged.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

HEAD_BYTES = 2048
"""How many first bytes tell: a tar archive says what it is at byte 257."""

_LFS = b"version https://git-lfs.github.com/spec/"
_AGAIN = "the download went wrong: fetch the file itself again"
_UNPACK = "unpack it and name the weights file in it"
_CONVERT = "load it with its own program and save the tensors as .safetensors"
_TITLE = re.compile(r"<title[^>]*>\s*(.{1,80}?)\s*</title>", re.IGNORECASE | re.DOTALL)
_XML_CODE = re.compile(r"<Code>\s*(\w{1,60})\s*</Code>")
_LFS_SIZE = re.compile(r"^size (\d+)$", re.MULTILINE)
_TAR_MAGIC_AT = 257

_BY_START: tuple[tuple[bytes, str, str], ...] = (
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file (Keras or TensorFlow)", _CONVERT),
    (b"GGUF", "a GGUF file (llama.cpp)", "name the safetensors weights that it was made from"),
    (b"\x93NUMPY", "a NumPy array (.npy)", _CONVERT),
    (b"MATLAB 5.0 MAT-file", "a MATLAB file", _CONVERT),
    (b"\x1f\x8b", "a gzip archive", _UNPACK),
    (b"BZh", "a bzip2 archive", _UNPACK),
    (b"\xfd7zXZ\x00", "an xz archive", _UNPACK),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive", _UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", _UNPACK),
    (b"Rar!\x1a\x07", "a RAR archive", _UNPACK),
    (b"%PDF-", "a PDF document", _AGAIN),
    (b"\x89PNG\r\n\x1a\n", "a PNG image", "name the weights file"),
    (b"\xff\xd8\xff", "a JPEG image", "name the weights file"),
)


def foreign_kind(path: Path) -> str | None:
    """Returns what the file is and what to do about it; None when it is none of the known kinds.

    Such as ``is a Git LFS pointer ...: run 'git lfs pull' ...``. Archives in zip form, which
    checkpoints are too, are not told apart here.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if not head:
        return "the file is empty: the download or the copy went wrong, fetch it again"
    for start, what, fix in _BY_START:
        if head.startswith(start):
            return f"is {what}, no PyTorch checkpoint: {fix}"
    for told in (_tar, _flatbuffer, _onnx, _text):
        found = told(head)
        if found is not None:
            return found
    return None


def _tar(head: bytes) -> str | None:
    if head[_TAR_MAGIC_AT : _TAR_MAGIC_AT + 5] != b"ustar":
        return None
    return f"is a tar archive, no PyTorch checkpoint: {_UNPACK}"


def _flatbuffer(head: bytes) -> str | None:
    if head[4:8] != b"TFL3":
        return None
    return f"is a TensorFlow Lite model, no PyTorch checkpoint: {_CONVERT}"


def _onnx(head: bytes) -> str | None:
    """ONNX: field 1 (the IR version, a small number), then field 2 (the producer) or 7 or 8."""
    if len(head) < 3 or head[0] != 0x08 or head[1] > 0x20 or head[2] not in (0x12, 0x3A, 0x42):
        return None
    return (
        "is an ONNX model, no PyTorch checkpoint: name the PyTorch weights that it was exported "
        "from"
    )


def _text(head: bytes) -> str | None:
    """Returns what a file that begins as text is."""
    text = head.decode("utf-8-sig", errors="replace").lstrip()
    if head.startswith(_LFS):
        size = _LFS_SIZE.search(text)
        whole = f" of {int(size[1]):,} bytes" if size else ""
        return (
            f"is a Git LFS pointer, not the file{whole} that it stands for: run 'git lfs install' "
            "and 'git lfs pull' in its repository"
        )
    start = text[:200].lower()
    if start.startswith(("<!doctype html", "<html", "<head", "<body")):
        title = _TITLE.search(text)
        named = f" ({' '.join(title[1].split())!r})" if title else ""
        return f"is a web page{named}, such as a login or an error page: {_AGAIN}"
    if start.startswith(("<?xml", "<error")):
        code = _XML_CODE.search(text)
        named = f" with the error {code[1]}" if code else ""
        return f"is the XML answer of a storage{named}: {_AGAIN}"
    if start.startswith(("{", "[")) and _is_json_text(head):
        return _json(text)
    return None


def _is_json_text(head: bytes) -> bool:
    return b"\x00" not in head


def _json(text: str) -> str:
    shown = " ".join(text.split())[:80]
    try:
        content = json.loads(text)
    except ValueError:
        content = None
    if isinstance(content, dict) and ("error" in content or "message" in content):
        return f"is the JSON answer of a server ({shown}): {_AGAIN}"
    return f"is a JSON file ({shown}), no checkpoint: name the weights file"


_ZIP_KINDS: tuple[tuple[Callable[[str], bool], str, str], ...] = (
    (lambda name: name.endswith(".npy"), "NumPy arrays (.npz)", _CONVERT),
    (lambda name: name.endswith(".weights.h5"), "a Keras model", _CONVERT),
)


def zip_kind(names: list[str]) -> str:
    """Returns what a zip archive that is no checkpoint holds, and what to do.

    Args:
        names: of its members.
    """
    for holds, what, fix in _ZIP_KINDS:
        if any(holds(name) for name in names):
            return f"a zip file, but no PyTorch checkpoint: it holds {what}: {fix}"
    members = ", ".join(repr(name) for name in names[:3]) or "nothing"
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"a zip file, but no PyTorch checkpoint: it holds {members}{more}: {_UNPACK}"
