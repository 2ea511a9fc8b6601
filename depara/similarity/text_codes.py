"""Columns of texts as codes that order like the texts, so that rankings sort numbers.

``R`` rows of a table.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Codes = NDArray[np.int32]


def text_codes(table: pa.Table, names: Sequence[str]) -> tuple[list[str], dict[str, Codes]]:
    """Returns the texts of some columns, sorted, and each column as places in them ``(R,)``.

    Texts of dictionaries may have no row. No row may be null.
    """
    columns = {name: _dictionary(table[name]) for name in names}
    words = sorted({word for one in columns.values() for word in one.dictionary.to_pylist()})
    place_of = {word: place for place, word in enumerate(words)}
    codes = {}
    for name, column in columns.items():
        places = [place_of[word] for word in column.dictionary.to_pylist()]
        codes[name] = np.array(places, dtype=np.int32)[column.indices.to_numpy()]
    return words, codes


def texts_of(codes: Codes, words: Sequence[str]) -> pa.DictionaryArray:
    """Returns the texts of codes, as a dictionary."""
    return pa.DictionaryArray.from_arrays(codes, pa.array(words, pa.string()))


def _dictionary(column: pa.ChunkedArray) -> pa.DictionaryArray:
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    return column.unify_dictionaries().combine_chunks()
