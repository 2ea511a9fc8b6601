"""Scans of any number of models, and their reports."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from benchmarks.lab.zoo_record import ZooTables
from benchmarks.lab.zoo_tables import write_zoo
from depara.report import WrittenReport, write_report
from depara.results import ScanResults, open_scan


@dataclass(frozen=True)
class Made:
    """A scan and its report."""

    scan: ScanResults
    report: WrittenReport
    path: Path

    @property
    def html(self) -> str:
        return self.path.read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Made]:
    """Returns the scan of so many models with its report; each is made once."""
    known: dict[int, Made] = {}

    def make(num_models: int) -> Made:
        if num_models not in known:
            output = str(tmp_path_factory.mktemp(f"zoo{num_models}"))
            zoo = ZooTables(num_models, num_layers=4)
            if num_models > 500:  # millions of rows: what the report does not read is not written
                zoo = replace(zoo, num_layers=2, intervals=("similarity",))
            write_zoo(output, zoo)
            scan = open_scan(output)
            report = write_report(scan)
            known[num_models] = Made(scan, report, Path(report.location))
        return known[num_models]

    return make
