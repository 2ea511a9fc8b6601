"""The tables of a scan, and their equality up to rounding."""

from __future__ import annotations

import pandas as pd
from pandas.testing import assert_frame_equal

from depara import open_scan
from depara.store.schemas import CALIBRATED

NOT_COMPARED = {"models", "failures"}
"""They tell what was done in a scan, and how long it took."""


def tables(output: str, scan_id: str | None = None) -> dict[str, pd.DataFrame]:
    """All tables of a scan that two scans of the same zoo must agree in."""
    scan = open_scan(output, scan_id)
    return {name: scan.table(name) for name in scan.manifest["tables"] if name not in NOT_COMPARED}


def assert_equal(one: dict[str, pd.DataFrame], other: dict[str, pd.DataFrame]) -> None:
    """Same tables, rows and order; numbers to 1e-6."""
    assert one.keys() == other.keys()
    for name, frame in one.items():
        assert_table_equal(frame, other[name])


def assert_table_equal(one: pd.DataFrame, other: pd.DataFrame, atol: float = 1e-6) -> None:
    """Same rows and order; numbers to ``atol``, distances from chance (in deviations) to 1e-4."""
    z = [column for column in one if column in CALIBRATED]
    assert list(one) == list(other)
    assert_frame_equal(one.drop(columns=z), other.drop(columns=z), rtol=0, atol=atol)
    assert_frame_equal(one[z], other[z], rtol=1e-4, atol=1e-4)
