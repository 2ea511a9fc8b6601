"""What a search found: which numbers are exact, which are estimates, and what may be missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from depara.similarity.combine import describe_terms

_FEW = 0.5
"""Graphs that may be missing from a list before it is said as a warning."""


@dataclass(frozen=True)
class Nearest:
    """The graphs nearest to one graph of a scan, as sources for it.

    ``rows`` are ranked: ``similarity`` and its terms are exact and as the scan's own table has
    them, null where ``is_exact`` is false; ``estimate`` and ``deviation`` are of sketches.
    ``missed`` is at most about how many graphs belong into the rows and were left out before they
    were compared. ``error`` is the root mean square of estimate less exact value over the short
    list, ``expected_error`` that of the deviations; both None where nothing is exact.
    """

    scan_id: str
    model_id: str
    layer: str
    terms: Mapping[str, float]
    rows: pd.DataFrame
    is_exact: bool
    num_graphs: int
    num_estimated: int
    num_compared: int
    num_made: int
    missed: float
    error: float | None
    expected_error: float | None
    left_out: tuple[str, ...]
    not_kept: str
    seconds: Mapping[str, float]

    @property
    def lines(self) -> tuple[str, ...]:
        """What to know of the rows, in sentences."""
        chosen = f"{self.num_estimated} of {self.num_graphs} graphs by the first cut"
        if self.num_estimated == self.num_graphs:
            chosen = f"all {self.num_graphs} graphs"
        lines = []
        if self.is_exact:
            lines += [
                f"similarity ({describe_terms(self.terms)}) and its terms are exact; estimate and "
                "deviation are of sketches",
                f"sketches estimated {chosen}, {self.num_compared} were compared exactly",
            ]
        else:
            lines += [
                f"estimates of {describe_terms(self.terms)}, none of them exact: each is off by up "
                "to its deviation in two cases of three",
                f"sketches estimated {chosen}",
            ]
        if self.error is not None:
            lines.append(
                f"there estimates were off by {self.error:.4f} (root mean square), at most "
                f"{self.expected_error:.4f} was expected"
            )
        if self.missed >= _FEW:
            lines.append(
                f"warning: up to about {self.missed:.0f} graphs that belong here may be missing, "
                "left out by their estimates: raise --top"
            )
        elif (self.num_compared if self.is_exact else self.num_estimated) < self.num_graphs:
            lines.append(f"missing from the list: at most about {self.missed:.2g} graphs")
        if self.not_kept:
            lines.append(f"warning: sketches are not kept, each search makes them: {self.not_kept}")
        return tuple(lines)

    def record(self) -> dict[str, Any]:
        """Returns everything as JSON-ready values."""
        plain = {name: value for name, value in vars(self).items() if name != "rows"}
        return {**plain, "lines": self.lines, "graphs": self.rows.to_dict("records")}
