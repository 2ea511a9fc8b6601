"""Arguments and options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

Output = Annotated[str, typer.Argument(help="Folder or s3://bucket/prefix that scans write to.")]
ScanId = Annotated[str | None, typer.Option("--scan", help="Scan id; default: the latest one.")]
Top = Annotated[int, typer.Option("--top", min=1, help="How many rows to show.")]
Lambda = Annotated[
    float | None,
    typer.Option("--lambda", min=0, help="Weight of the edge similarity; default: the scan's."),
]
AsCsv = Annotated[bool, typer.Option("--csv", help="Print CSV instead of a table.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Target = Annotated[str, typer.Argument(help="Model that stands for the target task.")]
