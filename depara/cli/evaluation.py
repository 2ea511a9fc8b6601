"""The command that scores a scan's rankings against measured transfers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from depara.cli.options import AsCsv, AsJson, Output, ScanId
from depara.cli.output import errors_shown, print_answer, print_frame, print_lines
from depara.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd

    from depara.evaluation import Evaluation


def evaluate(
    output: Output,
    truth: Annotated[
        str,
        typer.Option(
            help="CSV or Parquet of target, source[, layer][, repeat], value; higher is better."
        ),
    ],
    relevant: Annotated[
        int, typer.Option(min=1, metavar="N", help="How many true best sources count as relevant.")
    ] = 5,
    scan: ScanId = None,
    to: Annotated[
        str | None, typer.Option(help="Folder for the results; default: beside the scan's tables.")
    ] = None,
    compare: Annotated[
        list[str] | None,
        typer.Option(
            metavar="A,B",
            help="Is A better than B? Mean difference over targets and the share of resamples in "
            "which A is better. May be given more than once.",
        ),
    ] = None,
    stability: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="N",
            help="Would other zoos agree on the best score? Over N random halves of the sources "
            "and targets, such as 100.",
        ),
    ] = 0,
    without_strongest: Annotated[
        int,
        typer.Option(
            min=0, metavar="K", help="Also without the K sources of the highest mean true value."
        ),
    ] = 0,
    weigh_by_reliability: Annotated[
        bool,
        typer.Option(
            "--weigh-by-reliability",
            help="Weigh the means over targets by how well the truth's repeats agree.",
        ),
    ] = False,
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="TARGET",
            help="Judge the scores with labels instead: this target of the truth is the task of "
            "the probes' labels.",
        ),
    ] = None,
    plot: Annotated[bool, typer.Option(help="Draw P@K, R@K and precision-recall.")] = True,
    csv: AsCsv = False,
    json: AsJson = False,
) -> None:
    """Scores every ranking of a scan against measured transfer truth, beside the baselines.

    Example: depara evaluate depara-out/digits --truth truth.csv --compare similarity,parameters
    """
    from depara.evaluation import (
        evaluate_labels,
        evaluate_scan,
        load_truth,
        plot_evaluation,
        write_evaluation,
    )
    from depara.results import open_scan
    from depara.results.tables import make_console
    from depara.store.layout import evaluation_folder
    from depara.store.storage import Storage

    with errors_shown():
        pairs = [_pair(text) for text in compare or ()]
        if csv and pairs and stability:
            raise ConfigError("--csv prints one table: leave out --compare or --stability")
        if labels is not None and (without_strongest or weigh_by_reliability or stability):
            raise ConfigError(
                "--labels judges one target: leave out --without-strongest, --stability and "
                "--weigh-by-reliability, which are over several"
            )
        results, measured = open_scan(output, scan), load_truth(truth)
        place = to or Storage(output).location(evaluation_folder(results.scan_id))
        if labels is not None and to is None:
            place = f"{place}/labels"
        judged, written = [], []
        for count in sorted({0, without_strongest}):
            if labels is not None:
                evaluation = evaluate_labels(results, measured, labels, relevant=relevant)
            else:
                evaluation = evaluate_scan(
                    results,
                    measured,
                    relevant=relevant,
                    without_strongest=count,
                    weigh_by_reliability=weigh_by_reliability,
                )
            one = _judge(evaluation, count, pairs, stability)
            folder = f"{place}/without_strongest_{count}" if count else place
            written += write_evaluation(evaluation, folder, paired=one.paired, setups=one.setups)
            written += plot_evaluation(evaluation, folder) if plot else []
            judged.append(one)
        if csv or json:
            print_answer(_table(judged), csv=csv, json=json, record=_record(judged))
            return
        for one in judged:
            _print(one)
        console = make_console()
        for path in written:
            console.print(f"written: {path}", markup=False, highlight=False, soft_wrap=True)


@dataclass(frozen=True)
class _Judged:
    """An evaluation, without so many of the strongest sources, and what else was asked of it."""

    evaluation: Evaluation
    without_strongest: int
    paired: pd.DataFrame | None
    setups: pd.DataFrame | None


def _pair(text: str) -> tuple[str, str]:
    names = [name.strip() for name in text.split(",")]
    if len(names) != 2 or not all(names):
        raise ConfigError(
            f"--compare {text!r} names no two scores: write them as A,B, such as "
            "--compare similarity,cka"
        )
    return names[0], names[1]


def _judge(
    evaluation: Evaluation, without_strongest: int, pairs: list[tuple[str, str]], setups: int
) -> _Judged:
    import pandas as pd

    if without_strongest:  # fewer targets may be left, and then fewer baselines
        pairs = [pair for pair in pairs if set(pair) <= set(evaluation.values)]
    compared = [evaluation.compare(score, other) for score, other in pairs]
    return _Judged(
        evaluation,
        without_strongest,
        pd.concat(compared, ignore_index=True) if compared else None,
        evaluation.stability(setups) if setups else None,
    )


def _table(judged: list[_Judged]) -> pd.DataFrame:
    """Returns the one table that CSV prints: the means, or the pairs, or the setups asked for."""
    import pandas as pd

    tables = []
    for one in judged:
        asked = one.paired if one.paired is not None else one.setups
        table = one.evaluation.summary() if asked is None else asked.copy()
        if len(judged) > 1:
            table.insert(0, "without_strongest", one.without_strongest)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _record(judged: list[_Judged]) -> dict[str, object]:
    from depara.evaluation import describe

    records = [describe(one.evaluation, paired=one.paired, setups=one.setups) for one in judged]
    rest = {"without_strongest": records[1]} if len(records) > 1 else {}
    return {**records[0], **rest}


def _print(one: _Judged) -> None:
    from depara.evaluation import evaluation_table
    from depara.results.tables import make_console

    if one.without_strongest:
        print_lines("", f"without the {one.without_strongest} strongest sources:")
    make_console().print(evaluation_table(one.evaluation))
    if one.paired is not None:
        targets = one.evaluation.num_queries
        for (score, other), rows in one.paired.groupby(["score", "other"], sort=False):
            shown = _labelled(rows.drop(columns=["score", "other"]))
            print_frame(shown, f"{score} minus {other}: mean difference over {targets} targets")
        print_lines("p_better: share of the resamples of the targets in which the first is better")
    if one.setups is not None:
        print_frame(_labelled(one.setups), "would other halves of sources and targets agree?")
        print_lines(
            "agreement: mean Kendall tau of the rankings of the scores by two setups",
            "same_winner: how often two setups have the same best score",
        )


def _labelled(rows: pd.DataFrame) -> pd.DataFrame:
    """Returns the rows with the metric and its k in one column."""
    import pandas as pd

    from depara.evaluation import metric_label

    pairs = zip(rows["metric"], rows["k"], strict=True)
    labels = [metric_label(metric, None if pd.isna(k) else k) for metric, k in pairs]
    return rows.drop(columns="k").assign(metric=labels)
