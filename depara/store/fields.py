"""Columns that say what they hold: the meaning, with its unit, is in the Parquet metadata."""

from __future__ import annotations

import pyarrow as pa


def described_field(name: str, kind: pa.DataType, meaning: str, *, null: bool = False) -> pa.Field:
    """Returns a column with its meaning.

    Args:
        name: of the column.
        kind: its type.
        meaning: what it holds, with the unit.
        null: whether it may be null.
    """
    return pa.field(name, kind, nullable=null, metadata={"description": meaning})
