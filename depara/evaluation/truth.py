"""Measured transfers: how well each source, or each layer of a source, really served each target.

A truth file is a long table, CSV or Parquet, anywhere: ``target, source, value`` to score rankings
of models, ``target, source, layer, value`` to score rankings of layers. Higher values are better.
A column ``repeat`` (such as a seed) tells repeated measurements of one transfer apart: the truth is
their mean, and how well they agree bounds what any score can reach.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd

from depara.errors import SchemaError, StoreError, near_names
from depara.locations import open_binary
from depara.types import Float64

Kind = Literal["models", "layers"]

_REQUIRED = ("target", "source", "value")
_KEYS = ("target", "source", "layer")
_KNOWN = (*_KEYS, "repeat", "value")
_SHOWN = 5
"""How many bad rows, names or pairs a message lists."""


@dataclass(frozen=True, eq=False)
class Truth:
    """Measured transfers, one row each, sorted by their names.

    ``table`` has the columns ``target, source, value`` or ``target, source, layer, value``: texts,
    and float64 (higher = better; any unit, that may differ between targets). When it is given with
    a column ``repeat``, it becomes the mean over the repeats, and ``repeats`` holds what was given:
    the same columns and ``repeat``, a text. Else ``repeats`` is None. ``origin`` says where it
    comes from.

    Raises:
        SchemaError: missing or unknown columns, empty names, a value that is no finite number, a
            transfer that is given twice, or one that some repeats of its ranking lack.
    """

    table: pd.DataFrame
    origin: str = "truth"
    repeats: pd.DataFrame | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        checked = _checked(self.table, self.origin)
        if "repeat" in checked.columns:
            _check_complete(checked, self.keys, self.origin)
            object.__setattr__(self, "repeats", checked)
            checked = checked.groupby(self.keys)["value"].agg(_mean).reset_index()
        object.__setattr__(self, "table", checked)

    @property
    def kind(self) -> Kind:
        """``layers`` when the table tells the layers of a source apart, else ``models``."""
        return "layers" if "layer" in self.table.columns else "models"

    @property
    def keys(self) -> list[str]:
        """The columns that name one transfer."""
        return [name for name in _KEYS if name in self.table.columns]

    def without_sources(self, names: Collection[str]) -> Truth:
        """Returns the truth without the transfers from some sources, repeats and all.

        Raises:
            SchemaError: nothing is left.
        """
        rows = self.table if self.repeats is None else self.repeats
        return Truth(rows[~rows["source"].isin(list(names))], self.origin)


def load_truth(uri: str) -> Truth:
    """Returns the truth in a CSV (``.csv``) or Parquet (``.parquet``) file, local or remote.

    Raises:
        StoreError: the file cannot be read.
        SchemaError: it is no such table, with rows and columns named (see `Truth`).
    """
    try:
        with open_binary(uri) as file:
            if uri.lower().endswith((".parquet", ".pq")):
                table = pd.read_parquet(file)
            else:
                table = pd.read_csv(
                    file,
                    dtype=str,
                    keep_default_na=False,  # a model may be called NA
                    skipinitialspace=True,
                    encoding="utf-8-sig",
                )
    except FileNotFoundError as error:
        raise StoreError(f"there is no truth file {uri}") from error
    except OSError as error:
        raise StoreError(f"cannot read the truth file {uri}: {error}") from error
    except ValueError as error:  # pandas' and Arrow's errors of parsing are ValueErrors
        reason = " ".join(str(error).split())
        raise SchemaError(
            f"{uri} is no CSV (.csv) or Parquet (.parquet) table: {reason}"
        ) from error
    if not isinstance(table.index, pd.RangeIndex):  # pandas' way to take one field too many
        raise SchemaError(f"{uri} has rows with more fields than its header: remove the extra ones")
    return Truth(table, uri)


def _checked(table: pd.DataFrame, origin: str) -> pd.DataFrame:
    """Returns the table with its known columns, typed and sorted by name."""
    table = table.rename(columns=lambda name: str(name).strip())
    _check_columns([str(name) for name in table.columns], origin)
    keys = [name for name in (*_KEYS, "repeat") if name in table.columns]
    names = {name: _names(table[name], name, origin) for name in keys}
    checked = pd.DataFrame({**names, "value": _values(table["value"], origin)})
    if checked.empty:
        raise SchemaError(f"{origin} holds no transfers: it has a header and no rows")
    twice = checked[checked.duplicated(keys, keep="first")]
    if len(twice):
        pairs = ", ".join(" / ".join(row) for row in twice[keys].head(_SHOWN).itertuples(False))
        raise SchemaError(
            f"{origin} gives {len(twice)} transfers more than once ({' / '.join(keys)}: {pairs}): "
            "keep one row each, or tell repeated measurements apart in a column 'repeat'"
        )
    return checked.sort_values(keys).reset_index(drop=True)


def _mean(values: pd.Series) -> float:
    """Returns the mean, summed without rounding, so that the order of repeats changes nothing."""
    return math.fsum(values) / len(values)


def _check_complete(repeats: pd.DataFrame, keys: list[str], origin: str) -> None:
    """Refuses a mean over repeats that not all candidates of a ranking were measured in.

    Repeats differ in level as well as in noise: such means could not be compared.
    """
    rows = repeats[repeats["target"] != repeats["source"]]
    lacking = []
    for _, ranking in rows.groupby(keys[:-1]):
        measured = ranking.pivot(index=keys, columns="repeat", values="value").isna()
        for transfer, is_missing in zip(measured.index, measured.to_numpy(), strict=True):
            lacks = measured.columns[is_missing]
            if len(lacks):
                lacking.append(f"{' / '.join(transfer)} lacks {', '.join(lacks[:_SHOWN])}")
    if lacking:
        more = f" and {len(lacking) - _SHOWN} more" if len(lacking) > _SHOWN else ""
        raise SchemaError(
            f"{origin} has {len(lacking)} transfers that were not measured in every repeat of "
            f"their ranking ({' / '.join(keys)}: {'; '.join(lacking[:_SHOWN])}{more}): measure "
            "them there too, or leave out these transfers or these repeats"
        )


def _check_columns(columns: list[str], origin: str) -> None:
    needed = (
        "target, source, value (and layer, when layers are ranked; and repeat, when measured more "
        "than once)"
    )
    got = ", ".join(columns) or "none"
    for name in _REQUIRED:
        if name not in columns:
            hint = near_names(name, [column for column in columns if column not in _KNOWN])
            raise SchemaError(
                f"{origin} has no column {name!r}; {hint or 'rename the one that holds it'} "
                f"It needs {needed}, got {got}"
            )
    unknown = [name for name in columns if name not in _KNOWN]
    if unknown:
        hint = near_names(unknown[0], _KNOWN) or "remove it"
        raise SchemaError(
            f"{origin} has an unknown column {unknown[0]!r}; {hint} It needs {needed}, got {got}"
        )
    if len(columns) != len(set(columns)):
        raise SchemaError(f"{origin} has a column twice: {got}")


def _names(column: pd.Series, name: str, origin: str) -> pd.Series:
    missing = np.asarray(column.isna(), dtype=np.bool_)
    text = column.astype(str).str.strip()
    bad = np.flatnonzero(missing | np.asarray(text == "", dtype=np.bool_))
    if len(bad):
        raise SchemaError(f"{origin} has no {name} in {_rows(bad)}")
    return text


def _values(column: pd.Series, origin: str) -> Float64:
    values = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        shown = ", ".join(repr(column.iloc[row]) for row in bad[:_SHOWN])
        raise SchemaError(
            f"{origin} has values that are no finite numbers in {_rows(bad)}: {shown}; "
            "leave out transfers that were not measured"
        )
    return values


def _rows(places: np.ndarray) -> str:
    """Returns ``rows 1, 2 and 7 more``: data rows counted from 1, the header not counted."""
    shown = ", ".join(str(place + 1) for place in places[:_SHOWN])
    more = f" and {len(places) - _SHOWN} more" if len(places) > _SHOWN else ""
    return f"row{'s' if len(places) > 1 else ''} {shown}{more}"
