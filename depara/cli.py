"""The `depara` command: reads finished scans. Needs neither torch nor Ray."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from depara._version import __version__
from depara.errors import DeparaError

app = typer.Typer(
    name="depara",
    help="Reads DEPARA scans: which pretrained model, cut at which layer, should a task start "
    "from? Scans are made by `python -m jobs.scan scan.yaml`.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Output = Annotated[str, typer.Argument(help="Folder or s3://bucket/prefix that scans write to.")]
ScanId = Annotated[str | None, typer.Option("--scan", help="Scan id; default: the latest one.")]
Top = Annotated[int, typer.Option("--top", min=1, help="How many rows to show.")]
Lambda = Annotated[
    float | None,
    typer.Option("--lambda", min=0, help="Weight of the edge similarity; default: the scan's."),
]
AsCsv = Annotated[bool, typer.Option("--csv", help="Print CSV instead of a table.")]


@app.callback(invoke_without_command=True)
def main(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Reads DEPARA scans."""
    if version:
        typer.echo(f"depara {__version__}")
        raise typer.Exit


@app.command()
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

    with _errors_shown():
        ranking = open_scan(output, scan).rank_models(target, weight)
        columns = ["rank", "source_model", "source_layer", *_SCORES]
        _print(ranking[columns].head(top), f"sources for {target}", csv)


@app.command()
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

    with _errors_shown():
        ranking = open_scan(output, scan).rank_layers(target, source, weight)
        columns = ["rank", "layer", "depth", *_SCORES]
        _print(ranking[columns].head(top), f"cuts of {source} for {target}", csv)


@app.command()
def table(
    output: Output,
    name: Annotated[str, typer.Argument(help="models, layers, probes, similarity, failures, ...")],
    scan: ScanId = None,
    top: Top = 20,
    csv: AsCsv = False,
) -> None:
    """Shows the first rows of any table of a scan."""
    from depara.report import open_scan

    with _errors_shown():
        frame = open_scan(output, scan).table(name)
        _print(frame.head(top), f"{name}: {len(frame)} rows", csv)


@app.command()
def scans(output: Output, csv: AsCsv = False) -> None:
    """Lists the finished scans, oldest first."""
    from depara.report import list_scans

    with _errors_shown():
        _print(list_scans(output), f"scans in {output}", csv)


@app.command()
def evaluate(
    output: Output,
    truth: Annotated[
        str,
        typer.Option(help="CSV or Parquet of target, source[, layer], value; higher is better."),
    ],
    relevant: Annotated[
        int, typer.Option(min=1, help="How many true best sources count as relevant.")
    ] = 5,
    scan: ScanId = None,
    to: Annotated[
        str | None, typer.Option(help="Folder for the results; default: beside the scan's tables.")
    ] = None,
    plot: Annotated[bool, typer.Option(help="Draw P@K, R@K and precision-recall.")] = True,
    csv: AsCsv = False,
) -> None:
    """Scores every ranking of a scan against measured transfer truth, beside the baselines."""
    from depara.evaluation import (
        evaluate_scan,
        evaluation_table,
        load_truth,
        plot_evaluation,
        write_evaluation,
    )
    from depara.report import open_scan
    from depara.report.tables import make_console
    from depara.store.scans import scan_folder
    from depara.store.storage import Storage

    with _errors_shown():
        results = open_scan(output, scan)
        evaluation = evaluate_scan(results, load_truth(truth), relevant=relevant)
        place = to or Storage(output).location(f"{scan_folder(results.scan_id)}/evaluation")
        written = [*write_evaluation(evaluation, place)]
        written += plot_evaluation(evaluation, place) if plot else []
        if csv:
            typer.echo(evaluation.summary().to_csv(index=False), nl=False)
            return
        console = make_console()
        console.print(evaluation_table(evaluation))
        for path in written:
            console.print(f"written: {path}", markup=False, highlight=False, soft_wrap=True)


_SCORES = ["similarity", "node_similarity", "edge_similarity"]


def _print(frame: object, title: str, csv: bool) -> None:
    import pandas as pd

    from depara.report.tables import frame_table, make_console

    assert isinstance(frame, pd.DataFrame)
    if csv:
        typer.echo(frame.to_csv(index=False), nl=False)
    else:
        make_console().print(frame_table(frame, title))


@contextmanager
def _errors_shown() -> Iterator[None]:
    """A user's mistake ends with one message and exit code 2."""
    try:
        yield
    except DeparaError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from error
