"""The report that ends a scan: whatever becomes of it, the scan is complete."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from depara.results import ScanResults

_LOG = logging.getLogger("depara.report")


@dataclass(frozen=True)
class ReportOutcome:
    """Where the report of a scan lies, or why there is none."""

    location: str | None
    reason: str | None = None

    @property
    def line(self) -> str:
        """What the summary says of it."""
        if self.location is not None:
            return f"report: {self.location}"
        return f"note: no report was written ({self.reason}); `depara report` tries again"


def end_with_report(results: ScanResults) -> ReportOutcome:
    """Writes the report beside the tables of a finished scan; a failure is what is returned."""
    try:
        from depara.report import write_report

        return ReportOutcome(write_report(results).location)
    except Exception as error:  # noqa: BLE001 - recorded, and the scan is complete
        _LOG.debug("no report was written", exc_info=True)
        return ReportOutcome(None, f"{type(error).__name__}: {error}")
