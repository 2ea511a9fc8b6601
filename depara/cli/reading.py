"""The commands that read finished scans: models, layers, table, scans."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from depara.catalog import TERMS
from depara.cli.options import AsCsv, AsJson, Lambda, Output, ScanId, Target, Top
from depara.cli.output import errors_shown, print_answer

if TYPE_CHECKING:
    import pandas as pd

_SCORES = ["similarity", "node_similarity", "edge_similarity"]


def models(
    output: Output,
    target: Target,
    scan: ScanId = None,
    top: Top = 20,
    weight: Lambda = None,
    csv: AsCsv = False,
    json: AsJson = False,
) -> None:
    """Ranks the other models as sources for a target.

    Example: depara models depara-out/digits parity --top 5
    """
    from depara.results import open_scan

    with errors_shown():
        ranking = open_scan(output, scan).rank_models(target, weight)
        columns = ["rank", "source_model", "source_layer", *_SCORES]
        print_answer(ranking[columns].head(top), f"sources for {target}", csv=csv, json=json)


def layers(
    output: Output,
    target: Target,
    source: Annotated[str, typer.Argument(help="Model to cut.")],
    scan: ScanId = None,
    top: Top = 20,
    weight: Lambda = None,
    csv: AsCsv = False,
    json: AsJson = False,
) -> None:
    """Ranks the layers of a source for a target: where to cut.

    Example: depara layers depara-out/digits parity class10
    """
    from depara.results import open_scan

    with errors_shown():
        opened = open_scan(output, scan)
        ranking = opened.rank_layers(target, source, weight)
        columns = ["rank", "layer", "depth", *_SCORES]
        if opened.has_layer_terms:
            weights = opened.layer_terms
            weighted = [term.column for name, term in TERMS.items() if weights.get(name)]
            columns = ["rank", "layer", "depth", "similarity", *weighted]
        title = f"cuts of {source} for {target}"
        print_answer(ranking[columns].head(top), title, csv=csv, json=json)


def table(
    output: Output,
    name: Annotated[str, typer.Argument(help="models, layers, probes, similarity, failures, ...")],
    scan: ScanId = None,
    top: Top = 20,
    csv: AsCsv = False,
    json: AsJson = False,
) -> None:
    """Shows the first rows of any table of a scan.

    Example: depara table depara-out/digits failures
    """
    from depara.results import open_scan

    with errors_shown():
        frame = open_scan(output, scan).table(name)
        print_answer(frame.head(top), f"{name}: {len(frame)} rows", csv=csv, json=json)


def scans(
    output: Output,
    time: Annotated[
        bool, typer.Option("--time", help="Show where the time went instead, s, and bytes.")
    ] = False,
    csv: AsCsv = False,
    json: AsJson = False,
) -> None:
    """Lists the finished scans, oldest first, with what each of them reused.

    Example: depara scans depara-out/digits --time
    """
    from depara.results import list_scans, list_times

    with errors_shown():
        if time:
            frame = list_times(output)
            if not (csv or json):
                frame = _fitted(frame)
            print_answer(frame, f"time of the scans in {output}, s", csv=csv, json=json)
            return
        frame = list_scans(output)
        if not (csv or json):  # what fits on a line
            frame = frame.drop(columns=["sequence", "probes"])
            frame["finished_at"] = _minute(frame["finished_at"])
        print_answer(frame, f"scans in {output}", csv=csv, json=json)


def _minute(iso: pd.Series[str]) -> pd.Series[str]:
    return iso.str.slice(0, 16).str.replace("T", " ")


def _fitted(times: pd.DataFrame) -> pd.DataFrame:
    """Returns a table of times as it fits on a line."""
    frame = times[["scan_id", "seconds"]].copy()
    for name in times.columns:
        if name.endswith("_s"):
            frame[name.removesuffix("_s")] = times[name]
    frame["busy %"] = (times["busy"] * 100).round().astype("Int64")
    frame["read MB"] = times["read_bytes"].astype("Float64") / 1e6
    frame["wrote MB"] = times["written_bytes"].astype("Float64") / 1e6
    return frame
