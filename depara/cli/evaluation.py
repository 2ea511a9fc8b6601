"""The command that scores a scan's rankings against measured transfers."""

from __future__ import annotations

from typing import Annotated

import typer

from depara.cli.options import AsCsv, Output, ScanId
from depara.cli.output import errors_shown


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
    from depara.results import open_scan
    from depara.results.tables import make_console
    from depara.store.layout import evaluation_folder
    from depara.store.storage import Storage

    with errors_shown():
        results = open_scan(output, scan)
        evaluation = evaluate_scan(results, load_truth(truth), relevant=relevant)
        place = to or Storage(output).location(evaluation_folder(results.scan_id))
        written = [*write_evaluation(evaluation, place)]
        written += plot_evaluation(evaluation, place) if plot else []
        if csv:
            typer.echo(evaluation.summary().to_csv(index=False), nl=False)
            return
        console = make_console()
        console.print(evaluation_table(evaluation))
        for path in written:
            console.print(f"written: {path}", markup=False, highlight=False, soft_wrap=True)
