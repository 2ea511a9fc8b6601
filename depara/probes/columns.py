"""The columns of a Parquet table of images: which holds the images and in what form, and labels."""

from __future__ import annotations

import base64
import binascii
import math
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import pyarrow as pa

from depara.errors import ProbeError, near_names

_BASE64_STARTS = ("/9j/", "iVBORw0KGgo", "R0lGOD", "UklGR", "data:image/")
_TEXT_NAMES = re.compile(r"(?i)image|img|file|path|ur[il]|photo|picture")
_NO_LABEL = "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True)
class ImageColumn:
    """A column of images: its name, and the columns inside the file of bytes and of paths.

    ``bytes_path`` is None where there are only paths, ``text_path`` where there are only bytes.
    Both are the same column where it holds text: base64, or paths.
    """

    name: str
    bytes_path: str | None
    text_path: str | None

    @property
    def holds_text(self) -> bool:
        """Whether one column of text holds paths or base64."""
        return self.bytes_path == self.text_path

    @staticmethod
    def encoded(cell: Any) -> bytes | None:
        """Returns the encoded image of a cell of bytes or of base64 text; None for any other."""
        if not isinstance(cell, str):
            return cell if isinstance(cell, bytes) else None
        if not is_base64(cell):
            return None
        text = cell.partition(",")[2] if cell.startswith("data:") else cell
        try:
            return base64.b64decode(text)
        except binascii.Error:
            return None


@dataclass(frozen=True)
class BoxColumns:
    """The columns of the boxes of a picture's objects, and of their classes."""

    boxes: str
    labels: str


def is_base64(text: str) -> bool:
    """Returns whether a text is an image in base64, bare or as a ``data:`` URL."""
    return text.startswith(_BASE64_STARTS)


def find_image_column(uri: str, schema: pa.Schema, column: str | None) -> ImageColumn:
    """Returns the named column of images, or for None the only column of encoded ones.

    Raises:
        ProbeError: no such column, none, or several.
    """
    names = [field.name for field in schema]
    listing = ", ".join(f"{field.name} ({field.type})" for field in schema)
    if column is None:
        # One of bytes of a fixed length may be a checksum: it counts where there is no other.
        for test in (_holds_bytes, _holds_fixed_bytes):
            candidates = [field.name for field in schema if test(_plain(field.type))]
            if candidates:
                break
        if len(candidates) == 1:
            return _image_column(candidates[0], schema.field(candidates[0]).type)
        found = (
            f"several columns of bytes ({', '.join(candidates)})"
            if candidates
            else "no column of image bytes"
        )
        raise ProbeError(
            f"{uri}: has {found}: {_advice(schema, bool(candidates))}; the columns are {listing}"
        )
    if column not in names:
        raise ProbeError(
            f"{uri}: has no column {column!r}{_hint(column, names)}; the columns are {listing}"
        )
    kind = _plain(schema.field(column).type)
    if not (_holds_bytes(kind) or _holds_fixed_bytes(kind) or _is_text(kind)):
        raise ProbeError(
            f"{uri}: column {column!r} holds {schema.field(column).type}, expected encoded images "
            "(binary, or a struct with binary 'bytes'), or text of paths or base64"
            f"{_what_it_is(kind)}; the columns are {listing}"
        )
    return _image_column(column, kind)


def find_label_column(
    uri: str, schema: pa.Schema, column: str | None, is_in_path: bool
) -> str | None:
    """Returns the column of labels; None where there is none to be found, or it is in the path.

    Raises:
        ProbeError: the named column is neither there nor in the path, or is nested.
    """
    name = "label" if column is None else column
    if name in schema.names and not pa.types.is_nested(schema.field(name).type):
        return name
    if column is None or (is_in_path and name not in schema.names):
        return None
    trouble = "is nested" if name in schema.names else "does not exist"
    raise ProbeError(
        f"{uri}: label column {name!r} {trouble}{_hint(name, schema.names)}; the columns are "
        f"{', '.join(schema.names)}"
    )


def check_box_columns(uri: str, schema: pa.Schema, boxes: BoxColumns) -> None:
    """Proves that a table has lists of boxes, and lists of their classes.

    Raises:
        ProbeError: a column is not there, or holds something else.
    """
    listing = ", ".join(f"{field.name} ({field.type})" for field in schema)
    for field, name, depth, what in (
        ("boxes_column", boxes.boxes, 2, "a list of [x0, y0, x1, y1] in px"),
        ("box_labels_column", boxes.labels, 1, "a list of classes, one per box"),
    ):
        if name not in schema.names:
            raise ProbeError(
                f"{uri}: probes.{field}: has no column {name!r}{_hint(name, schema.names)}; the "
                f"columns are {listing}"
            )
        inner, found = _plain(schema.field(name).type), 0
        while _is_list(inner):
            inner, found = _plain(inner.value_type), found + 1
        is_number = pa.types.is_integer(inner) or pa.types.is_floating(inner)
        if found != depth or pa.types.is_nested(inner) or (depth == 2 and not is_number):
            raise ProbeError(
                f"{uri}: probes.{field}: column {name!r} holds {schema.field(name).type}, expected "
                f"{what} for each picture; the columns are {listing}"
            )


def partition_value(uri: str, name: str) -> str | None:
    """Returns the value of a folder ``name=value`` in the path of a file, as Hive and Spark write.

    None where there is no such folder, or it stands for a missing value.
    """
    for part in reversed(uri.split("/")[:-1]):
        key, separator, value = part.partition("=")
        if separator and key == name:
            return None if value == _NO_LABEL else unquote(value)
    return None


def label_text(value: Any) -> str | None:
    """Returns a label as text; None for a missing one, such as the NaN of pandas."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)


def _image_column(name: str, kind: pa.DataType) -> ImageColumn:
    kind = _plain(kind)
    if _is_text(kind):
        return ImageColumn(name, name, name)
    if not pa.types.is_struct(kind):
        return ImageColumn(name, name, None)
    has_bytes = _is_bytes(_child(kind, "bytes"))
    has_path = _is_text(_child(kind, "path"))
    return ImageColumn(
        name, f"{name}.bytes" if has_bytes else None, f"{name}.path" if has_path else None
    )


def _holds_bytes(kind: pa.DataType) -> bool:
    """Whether it is a column of bytes, or a struct as Hugging Face writes images."""
    if not pa.types.is_struct(kind):
        return _is_bytes(kind)
    inner = _child(kind, "bytes")
    # A table whose images are all named by path may have no bytes at all, or bytes of no type.
    return _is_bytes(inner) or (_is_text(_child(kind, "path")) and pa.types.is_null(inner))


def _holds_fixed_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_fixed_size_binary(kind))


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)
    )


def _is_text(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def _plain(kind: pa.DataType) -> pa.DataType:
    """The type of the values, whether they stand in a dictionary or under an extension's name."""
    if pa.types.is_dictionary(kind):
        return _plain(kind.value_type)
    return _plain(kind.storage_type) if isinstance(kind, pa.BaseExtensionType) else kind


def _child(kind: pa.DataType, name: str) -> pa.DataType:
    place = kind.get_field_index(name)
    return _plain(kind.field(place).type) if place >= 0 else pa.null()


def _advice(schema: pa.Schema, has_bytes: bool) -> str:
    if has_bytes:
        return "set probes.column to the one that holds encoded images"
    kinds = {field.name: _plain(field.type) for field in schema}
    texts = [name for name, kind in kinds.items() if _is_text(kind)]
    named = [name for name in texts if _TEXT_NAMES.search(name)] or texts
    advice = []
    if texts:
        advice.append(
            f"if {' or '.join(map(repr, named))} holds the images' paths or base64 text, set "
            f"probes.column: {named[0]}"
        )
    advice += [f"{name!r}{words}" for name, kind in kinds.items() if (words := _what_it_is(kind))]
    return "; ".join(advice) or "name a table that holds encoded images"


def _what_it_is(kind: pa.DataType) -> str:
    """In words, where a type looks like images of a form that is not read."""
    if not _is_list(kind):
        return ""
    inner = _plain(kind.value_type)
    if _holds_bytes(inner) or _holds_fixed_bytes(inner):
        return ": has lists of images: write one image a row"
    while _is_list(inner):
        inner = _plain(inner.value_type)
    if pa.types.is_integer(inner) or pa.types.is_floating(inner):
        return ": has arrays of numbers: if they are pixels, write each as the bytes of a PNG"
    return ""


def _is_list(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _hint(name: str, names: list[str]) -> str:
    hint = near_names(name, [other for other in names if other != name])
    return f"; {hint}" if hint else ""
