"""The commands that answer: recommend, matrix, tree, diff."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from depara.cli.options import AsCsv, AsJson, Lambda, Output, ScanId, Target, Top
from depara.cli.output import errors_shown, print_answer, print_frame, print_lines

if TYPE_CHECKING:
    import pandas as pd

    from depara.answers import DataRecommendation, Recommendation, ScanChanges

_MOST_COLUMNS = 12

Score = Annotated[str, typer.Option(help="Score column of the similarity table.")]


def recommend(
    output: Output,
    target: Target,
    budget: Annotated[
        int | None,
        typer.Option(min=1, help="How many fine-tunings you can afford: says which to try."),
    ] = None,
    scan: ScanId = None,
    top: Top = 10,
    csv: AsCsv = False,
    json: AsJson = False,
) -> None:
    """Says what to start from for a target, how sure that is, and what it costs.

    Example: depara recommend depara-out/digits parity --budget 3
    """
    from depara.answers import recommend as recommend_for
    from depara.scan import open_scan

    with errors_shown():
        found = recommend_for(open_scan(output, scan), target)
        if csv or json:
            print_answer(found.frame(), csv=csv, json=json, record=found.record(budget))
            return
        print_lines(f"{target}: {found.sentence}.", *(f"note: {one}" for one in found.warnings))
        print_frame(shown_candidates(found).head(top), f"sources for {target}")
        print_lines("[low,high]: 5-95 % over resampled probes; GFLOP to the cut, ms, MB: one probe")
        if budget is not None:
            print_lines(*_trial_lines(found, budget))


def data(
    output: Output,
    scan: ScanId = None,
    top: Top = 10,
    csv: AsCsv = False,
    json: AsJson = False,
) -> None:
    """Says what to start from for the labelled probes themselves, by the scores with labels.

    Example: depara data depara-out/digits
    """
    from depara.answers import recommend_for_labels
    from depara.scan import open_scan

    with errors_shown():
        found = recommend_for_labels(open_scan(output, scan))
        if csv or json:
            print_answer(found.frame(), csv=csv, json=json, record=found.record())
            return
        print_lines(f"{found.target}: {found.sentence}.")
        print_frame(
            _shown_data(found).head(top), "models by their mean rank, and the rank by each score"
        )
        print_lines(f"by score: rank by {', '.join(found.scores)}")
        if found.others:
            print_lines(f"which the consensus does not count: {', '.join(found.others)}")
        print_lines("[low,high]: 5-95 % over random halves of the probes")


def matrix(
    output: Output,
    score: Score = "similarity",
    weight: Lambda = None,
    scan: ScanId = None,
    csv: AsCsv = False,
    json: AsJson = False,
) -> None:
    """Prints a score of every source (columns) for every target (rows), at their output layers.

    Example: depara matrix depara-out/digits --score cka --csv > matrix.csv
    """
    from depara.answers import matrix as matrix_of
    from depara.scan import open_scan

    with errors_shown():
        table = matrix_of(open_scan(output, scan), score, weight)
        shown = table if csv else table.iloc[:, :_MOST_COLUMNS]
        more = len(table.columns) - len(shown.columns)
        print_answer(
            shown.reset_index(),
            title=f"{score}: targets in rows, sources in columns"
            + (f"; {more} more sources: --csv has all" if more else ""),
            csv=csv,
            json=json,
            record=table.to_dict("index"),
        )


def tree(
    output: Output,
    score: Score = "similarity",
    weight: Lambda = None,
    newick: Annotated[bool, typer.Option("--newick", help="Print it in Newick format.")] = False,
    scan: ScanId = None,
    csv: AsCsv = False,
    json: AsJson = False,
) -> None:
    """Draws which models belong together: a tree by mean similarity (average linkage).

    Example: depara tree depara-out/digits --newick > zoo.nwk
    """
    from depara.answers import model_tree
    from depara.scan import open_scan

    with errors_shown():
        found = model_tree(open_scan(output, scan), score, weight)
        if newick:
            print_lines(found.newick())
        elif csv or json:
            print_answer(found.frame(), csv=csv, json=json)
        else:
            print_lines(*found.lines())


def diff(
    output: Output,
    before: Annotated[
        str | None, typer.Argument(help="Earlier scan; default: the one before the later scan.")
    ] = None,
    after: Annotated[
        str | None, typer.Argument(help="Later scan; default: the latest one.")
    ] = None,
    csv: AsCsv = False,
    json: AsJson = False,
) -> None:
    """Tells two scans apart: models, first choices, ranks, settings; what is real, what noise.

    Example: depara diff depara-out/digits
    """
    from depara.answers import diff as changes_since
    from depara.scan import open_scan

    with errors_shown():
        found = changes_since(open_scan(output, after), before)
        if csv or json:
            print_answer(found.frame(), csv=csv, json=json, record=found.record())
        else:
            print_lines(*_change_lines(found))


def shown_candidates(found: Recommendation) -> pd.DataFrame:
    """Returns what fits on a line of each candidate; costs that are known of none are left out."""
    import pandas as pd

    from depara.answers.standings import SYMBOLS

    frame = found.frame()
    ends = (frame[name].map("{:.2f}".format) for name in ("low", "high"))
    intervals = [f" [{low},{high}]" for low, high in zip(*ends, strict=True)]
    costs = {
        "parameters": frame["num_parameters"].map("{:,}".format, na_action="ignore"),
        "GFLOP": frame["gflop"].map("{:.3g}".format, na_action="ignore"),
        "ms": (frame["seconds_per_probe"] * 1e3).map("{:.3g}".format, na_action="ignore"),
        "MB": (frame["bytes_per_probe"] / 1e6).map("{:.3g}".format, na_action="ignore"),
        "licence": frame["licence"],
    }
    shown = pd.DataFrame(
        {
            "rank": frame["rank"],
            "source": frame["source_model"],
            "cut": frame["cut"],
            "standing": [f"{SYMBOLS[one]} {one}" for one in frame["standing"]],
            "similarity": [
                f"{value:.3f}{'' if pd.isna(low) else interval}"
                for value, low, interval in zip(
                    frame["similarity"], frame["low"], intervals, strict=True
                )
            ],
            "first in": frame["p_first"].map("{:.0%}".format, na_action="ignore"),
            **costs,
        }
    )
    return shown.dropna(axis="columns", how="all")


def _shown_data(found: DataRecommendation) -> pd.DataFrame:
    """Returns what fits on a line of each model."""
    import pandas as pd

    from depara.answers.standings import SYMBOLS

    frame = found.frame()
    places = frame.columns.get_loc("num_agree")
    assert isinstance(places, int)
    scores = frame.iloc[:, places + 1 :]
    ends = zip(frame["rank"], frame["rank_low"], frame["rank_high"], strict=True)
    return pd.DataFrame(
        {
            "rank": [
                f"{one}{'' if pd.isna(low) else f' [{low},{high}]'}" for one, low, high in ends
            ],
            "model": frame["model_id"],
            "cut": frame["cut"],
            "standing": [f"{SYMBOLS[one]} {one}" for one in frame["standing"]],
            "first in": frame["p_first"].map("{:.0%}".format, na_action="ignore"),
            "agree": [f"{one}/{found.num_scores}" for one in frame["num_agree"]],
            "by score": [" ".join(map(str, row)) for row in scores.to_numpy()],
        }
    )


def _trial_lines(found: Recommendation, budget: int) -> list[str]:
    trials = found.trials(budget)
    lines = [f"with {budget} trials, try:" if budget > 1 else "with one trial, try:"]
    reasons = {"general": "the zoo's generally best source", "own": "the target's own best"}
    for place, one in enumerate(trials, start=1):
        lines.append(f"  {place}. {one.model}, cut at {one.cut} ({reasons[one.reason]})")
    known = found.expected_regret(budget)
    if known is None:
        lines.append("what that would lose is not known: `depara evaluate` tells, with a truth")
    else:
        k, regret = known
        what = "trial" if k == 1 else "trials"
        lines.append(f"measured: {k} such {what} lost {regret:.0%} of the true range on average")
    return lines


def _change_lines(found: ScanChanges) -> list[str]:
    lines = [f"from {found.before} to {found.after}"]
    for what in ("new", "removed", "changed", "failed", "recovered"):
        names = getattr(found, what)
        if names:
            lines.append(f"{what}: {', '.join(names)}")
    if len(lines) == 1:
        lines.append("models: the same")
    same = found.num_targets - len(found.first_choices)
    lines.append(f"first choices: {same} of {found.num_targets} are the same")
    lines += [
        f"  {one.target}: {one.before} → {one.after}: {one.verdict} ({one.why})"
        for one in found.first_choices
    ]
    lines.append(f"ranks that moved: {found.num_moves}")
    lines += [
        f"  {one.target}: {one.source} {one.before} → {one.after}: {one.verdict}"
        for one in found.moves
    ]
    lines.append("settings: " + ("the same" if not found.settings else ""))
    lines += [f"  {one.name}: {one.before} → {one.after}" for one in found.settings]
    return lines
