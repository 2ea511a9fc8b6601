"""The tables of a scan, and their equality up to rounding."""

from __future__ import annotations

import pandas as pd

from depara import open_scan
from depara.store.schemas import CALIBRATED

NOT_COMPARED = {"models", "failures"}
"""They tell what was done in a scan, and how long it took."""


def tables(output: str, scan_id: str | None = None) -> dict[str, pd.DataFrame]:
    """All tables of a scan that two scans of the same zoo must agree in."""
    scan = open_scan(output, scan_id)
    return {name: scan.table(name) for name in scan.manifest["tables"] if name not in NOT_COMPARED}


def assert_equal(one: dict[str, pd.DataFrame], other: dict[str, pd.DataFrame]) -> None:
    """Same tables, rows and order; numbers to 1e-6, in deviations from chance to 1e-4."""
    assert one.keys() == other.keys()
    for name, frame in one.items():
        z = [column for column in frame if column in CALIBRATED]
        others = frame.columns.drop(z)
        pd.testing.assert_frame_equal(frame[others], other[name][others], rtol=0, atol=1e-6)
        pd.testing.assert_frame_equal(frame[z], other[name][z], rtol=1e-4, atol=1e-4)
