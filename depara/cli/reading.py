"""The commands that read finished scans: models, layers, table, scans."""

from __future__ import annotations

from typing import Annotated

import typer

from depara.cli.options import AsCsv, Lambda, Output, ScanId, Top
from depara.cli.output import errors_shown, print_frame

_SCORES = ["similarity", "node_similarity", "edge_similarity"]


def models(
    output: Output,
    target: Annotated[str, typer.Argument(help="Model that stands for the target task.")],
    scan: ScanId = None,
    top: Top = 20,
    weight: Lambda = None,
    csv: AsCsv = False,
) -> None:
    """Ranks the other models as sources for a target."""
    from depara.report import open_scan

    with errors_shown():
        ranking = open_scan(output, scan).rank_models(target, weight)
        columns = ["rank", "source_model", "source_layer", *_SCORES]
        print_frame(ranking[columns].head(top), f"sources for {target}", csv)


def layers(
    output: Output,
    target: Annotated[str, typer.Argument(help="Model that stands for the target task.")],
    source: Annotated[str, typer.Argument(help="Model to cut.")],
    scan: ScanId = None,
    top: Top = 20,
    weight: Lambda = None,
    csv: AsCsv = False,
) -> None:
    """Ranks the layers of a source for a target: where to cut."""
    from depara.report import open_scan

    with errors_shown():
        ranking = open_scan(output, scan).rank_layers(target, source, weight)
        columns = ["rank", "layer", "depth", *_SCORES]
        print_frame(ranking[columns].head(top), f"cuts of {source} for {target}", csv)


def table(
    output: Output,
    name: Annotated[str, typer.Argument(help="models, layers, probes, similarity, failures, ...")],
    scan: ScanId = None,
    top: Top = 20,
    csv: AsCsv = False,
) -> None:
    """Shows the first rows of any table of a scan."""
    from depara.report import open_scan

    with errors_shown():
        frame = open_scan(output, scan).table(name)
        print_frame(frame.head(top), f"{name}: {len(frame)} rows", csv)


def scans(output: Output, csv: AsCsv = False) -> None:
    """Lists the finished scans, oldest first, with what each of them reused."""
    from depara.report import list_scans

    with errors_shown():
        frame = list_scans(output)
        if not csv:  # what fits on a line
            frame = frame.drop(columns=["sequence", "probes"])
            frame["finished_at"] = frame["finished_at"].str.slice(0, 16).str.replace("T", " ")
        print_frame(frame, f"scans in {output}", csv)
