"""Tables of the report: what the page shows as rows, sorts, searches, and gives as CSV and JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from depara.texts import shown_line

STATIC_ROWS = 200
"""Rows written as HTML; the rest of a longer table is built by the page as one scrolls."""
_SAMPLE_ROWS = 20

Kind = Literal[
    "text", "name", "names", "choice", "number", "whole", "share", "safe", "interval", "sign"
]
"""``safe``: a share that is marked where it is low; ``name``: a model; ``names``: several;
``choice``: whether a model is the first choice, ``[name, same]``; ``sign``: a standing;
``interval``: ``[value, low, high, floor]``."""

NUMERIC: frozenset[Kind] = frozenset({"number", "whole", "share", "safe"})


@dataclass(frozen=True)
class Column:
    """One column; ``digits`` are decimals of a number, ``about`` says what it is, with its unit."""

    key: str
    label: str
    kind: Kind = "text"
    digits: int = 3
    about: str = ""

    @property
    def is_numeric(self) -> bool:
        """Whether it stands to the right."""
        return self.kind in NUMERIC


@dataclass(frozen=True)
class Table:
    """Rows of cells; ``domain`` are the ends of the scale of its intervals."""

    name: str
    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Any]]
    domain: tuple[float, float] = (0.0, 1.0)

    @property
    def is_virtual(self) -> bool:
        """Whether the page builds its rows as one scrolls."""
        return len(self.rows) > STATIC_ROWS

    @property
    def static_rows(self) -> Sequence[Sequence[Any]]:
        """The rows written as HTML: of a long table those that are read without scripts."""
        if self.is_virtual and not self.has_cards:
            return self.rows[:_SAMPLE_ROWS]
        return self.rows[:STATIC_ROWS]

    @property
    def has_cards(self) -> bool:
        """Whether rows become cards on a narrow screen: the first choices."""
        return self.name == "choices"

    def record(self, models: Mapping[str, int]) -> dict[str, Any]:
        """Returns the table as JSON; the names of models are their places in the list of them."""

        def packed(kind: Kind, value: Any) -> Any:
            if kind == "name":
                return models.get(value, value)
            if kind == "names":
                return [models.get(one, one) for one in value]
            if kind == "choice" and value is not None:
                return [models.get(value[0], value[0]), int(value[1])]
            if kind == "interval":
                return [rounded(one) for one in value]
            return rounded(value) if isinstance(value, float) else value

        return {
            "columns": [
                {"key": one.key, "label": one.label, "kind": one.kind, "digits": one.digits}
                for one in self.columns
            ],
            "domain": list(self.domain),
            "rows": [
                [packed(column.kind, cell) for column, cell in zip(self.columns, row, strict=True)]
                for row in self.rows
            ],
        }


def rounded(value: float | None, digits: int = 5) -> float | None:
    """Returns a number with so many significant digits; None for what is not finite."""
    if value is None or value != value or value in (float("inf"), float("-inf")):
        return None
    return float(f"{value:.{digits}g}")


def known(value: Any) -> Any:
    """Returns a cell's value as Python's own; None for NaN, NA and null."""
    if value is None:
        return None
    item = getattr(value, "item", None)
    value = item() if item is not None else value
    if isinstance(value, float) and value != value:
        return None
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    return shown_line(value) if isinstance(value, str) else value
