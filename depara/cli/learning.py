"""The command that learns a ranking from past transfers."""

from __future__ import annotations

from typing import Annotated

import typer

from depara.cli.options import AsCsv, AsJson, Output, ScanId, Top
from depara.cli.output import errors_shown, print_answer, print_frame, print_lines


def learn(
    output: Output,
    truth: Annotated[
        str,
        typer.Option(help="Past transfers: CSV or Parquet of target, source, value[, repeat]."),
    ],
    target: Annotated[
        str | None, typer.Option(help="Model that stands for the target task; default: all.")
    ] = None,
    relevant: Annotated[
        int, typer.Option(min=1, metavar="N", help="How many true best sources count as relevant.")
    ] = 5,
    scan: ScanId = None,
    top: Top = 10,
    csv: AsCsv = False,
    json: AsJson = False,
) -> None:
    """Learns from your past transfers which source serves what, if that beats popularity.

    Example: depara learn depara-out/digits --truth past.csv --target mirror
    """
    from depara.evaluation import describe, evaluation_table, load_truth
    from depara.learning import learn as learned_from
    from depara.results import open_scan
    from depara.results.tables import make_console

    with errors_shown():
        found = learned_from(open_scan(output, scan), load_truth(truth), relevant=relevant)
        ranking = found.table if target is None else found.of(target)
        if csv or json:
            record = {
                "sentence": found.sentence,
                "ranked_by": found.ranked_by,
                "weights": found.weights,
                "evaluation": describe(found.evaluation),
                "ranking": ranking.to_dict("records"),
            }
            print_answer(ranking, csv=csv, json=json, record=record)
            return
        make_console().print(evaluation_table(found.evaluation))
        shares = sorted(found.weights.items(), key=lambda item: -item[1])
        used = ", ".join(f"{name} {value:.2f}" for name, value in shares if value > 0)
        print_lines(f"the ranker's weights, of rank fractions: {used}")
        print_lines(f"{found.sentence}.")
        if target is None:
            first = ranking[ranking["rank"] == 1]
            print_frame(
                first.drop(columns=["rank", "ranked_by"]), "the first source of every target"
            )
            return
        print_frame(ranking.drop(columns="ranked_by").head(top), f"sources for {target}")
