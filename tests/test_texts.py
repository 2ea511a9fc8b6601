"""Texts of any origin: storable as UTF-8, shown without control signs, and names that come back."""

from __future__ import annotations

import io
import os
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from depara.texts import make_streams_total, shown, shown_line, storable, unescaped


@given(st.binary(max_size=20))
def test_any_file_name_becomes_utf8_text(name: bytes) -> None:
    text = storable(os.fsdecode(name))
    text.encode("utf-8")
    if b"\\" not in name:
        assert os.fsencode(unescaped(text)) == name


@given(st.text(st.characters(), max_size=20))
def test_valid_texts_are_stored_as_they_are(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        storable(text).encode()
    else:
        assert storable(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("caf\udce9.png", r"caf\xe9.png"),
        ("\ud800", r"\ud800"),
        ("café كلب 猫", "café كلب 猫"),
        ("a\x1b[2Jb\x9b\x07", r"a\x1b[2Jb\x9b\x07"),
        ("gpj\u202egnp", r"gpj\u202egnp"),
        ("one\ttwo\nthree\r", "one\ttwo\nthree\\x0d"),
    ],
)
def test_what_a_terminal_is_given(text: str, expected: str) -> None:
    assert shown(text) == expected
    assert shown_line(text) == expected.replace("\n", r"\n").replace("\t", r"\t")


def test_a_stream_of_another_encoding_takes_every_text(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, "ascii"))
    make_streams_total()
    print("é…\udce9")
    sys.stdout.flush()
    assert raw.getvalue().strip() == rb"\xe9\u2026\udce9"
