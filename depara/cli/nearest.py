"""The command that searches a zoo for the graphs nearest to one of its graphs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from depara.cli.options import AsCsv, AsJson, Output, ScanId
from depara.cli.output import errors_shown, print_answer, print_frame, print_lines, stages_shown

if TYPE_CHECKING:
    from depara.nearest import Nearest


def nearest(
    output: Output,
    model: Annotated[str, typer.Argument(help="Model that stands for the target task.")],
    layer: Annotated[
        str | None, typer.Option(help="Its layer, any of the scan; default: the output layer.")
    ] = None,
    top: Annotated[int, typer.Option("--top", min=1, help="How many graphs to find.")] = 50,
    exact: Annotated[
        bool,
        typer.Option(
            "--exact/--no-exact",
            help="Compare the short list exactly; else all numbers are estimates of sketches.",
        ),
    ] = True,
    scan: ScanId = None,
    csv: AsCsv = False,
    json: AsJson = False,
) -> None:
    """Searches all graphs of a zoo, all models at all layers, for the best sources of a graph.

    By sketches, which are made the first time and kept beside the graphs; for zoos where comparing
    all pairs is too much, and for layers that the scan's table of pairs does not have as targets.

    Example: depara nearest depara-out/digits parity --top 10
    """
    from depara.scan import open_scan

    with errors_shown():
        opened = open_scan(output, scan)
        with stages_shown() as on_progress:
            found = opened.nearest(
                model, layer=layer, top=top, exact=exact, on_progress=on_progress
            )
        for reason in found.left_out:
            print_lines(f"left out: {reason}; run the scan again", err=True)
        if csv or json:
            print_answer(found.rows, csv=csv, json=json, record=found.record())
        else:
            _print(found)


def _print(found: Nearest) -> None:
    rows = found.rows.dropna(axis="columns", how="all")
    print_frame(rows, f"nearest to {found.model_id} at {found.layer}")
    print_lines(*found.lines)
