"""The command that writes the report: report."""

from __future__ import annotations

from typing import Annotated

import typer

from depara.cli.options import AsCsv, AsJson, Output, ScanId
from depara.cli.output import errors_shown, print_answer, print_lines


def report(
    output: Output,
    to: Annotated[
        str | None,
        typer.Option(
            "--to", "-o", help="HTML file, local or s3://; default: beside the scan's tables."
        ),
    ] = None,
    pictures: Annotated[
        int | None,
        typer.Option(min=0, help="Attributions and graphs of so many models; default: at most 40."),
    ] = None,
    scan: ScanId = None,
    csv: AsCsv = False,
    json: AsJson = False,
) -> None:
    """Writes the report of a scan: one HTML file that needs nothing else. Every scan writes one.

    Example: depara report depara-out/digits -o report.html
    """
    with errors_shown():
        import pandas as pd

        from depara.report import write_report
        from depara.results import open_scan

        written = write_report(open_scan(output, scan), to, pictures)
        if csv or json:
            print_answer(pd.DataFrame([vars(written)]), csv=csv, json=json, record=vars(written))
            return
        print_lines(
            f"report: {written.location}",
            f"{written.num_bytes / 1e3:,.0f} kB, of which {written.picture_bytes / 1e3:,.0f} kB "
            f"are pictures; {written.seconds:.1f} s",
        )
