"""What to start from for every target, how sure that is, what simpler scores would have said."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from depara.answers import Recommender
from depara.answers.recommender import SAFE, UNSTABLE
from depara.report.grid import STANDINGS, Grid, Int32, first_of, popular
from depara.report.tables import Column, Table, known
from depara.texts import shown_line

BASELINES = ("rsa", "dds", "cka")
"""Simpler scores whose first choices stand beside DEPARA's."""
LABELS = {"rsa": "RSA", "dds": "DDS", "cka": "CKA", "popular": "popularity"}
_MOST_NAMED = 6


@dataclass(frozen=True)
class Figure:
    """One number of the first screen, what it counts, and a sign where it is to be minded."""

    value: str
    about: str
    is_warning: bool = False


def choices_table(grid: Grid, others: Mapping[str, Int32]) -> Table:
    """Returns one row per target: its first choice, the interval, who is as good, the baselines.

    Args:
        others: see `baselines`.
    """
    names, targets = grid.models, grid.targets
    firsts = _firsts(grid)
    low_MM, high_MM = grid.interval
    good = grid.standing_MM == STANDINGS.index("as good")
    rows = []
    for target in targets:
        first = int(firsts[target])
        value = known(grid.similarity_MM[target, first])
        ends = (known(values[target, first]) for values in (low_MM, high_MM))
        equals = [names[one] for one in grid.ranked(int(target)) if good[target, one]]
        rows.append(
            [
                shown_line(names[target]),
                shown_line(names[first]),
                shown_line(grid.layers.names_G[grid.cut_MM[target, first]]),
                [value, *ends, known(grid.null_MM[target, first])],
                known(grid.sure["p_first"][target, first]),
                [shown_line(name) for name in equals],
                *(
                    [shown_line(names[one[target]]), int(one[target]) == first]
                    if one[target] >= 0
                    else None
                    for one in others.values()
                ),
            ]
        )
    columns = [
        Column("target", "target", "name", about="model that stands for the target task"),
        Column("first", "start from", "name", about="first in the model ranking"),
        Column("cut", "cut at", "text", about="its best layer for the target (DEPARA, Eq. 6)"),
        Column("similarity", "similarity", "interval", about="with its 5 to 95 % interval"),
        Column("p_first", "first in", "safe", about="share of resamples of the probes"),
        Column("as_good", "as good", "names", about="cannot be told from the first"),
        *(Column(name, LABELS[name], "choice") for name in others),
    ]
    return Table("choices", "First choices", columns, rows, domain=_domain(grid))


def baselines(grid: Grid) -> dict[str, Int32]:
    """Returns what simpler scores, and popularity, would start from: a source per model, or -1."""
    simple = [name for name in BASELINES if name in grid.scores]
    found = {name: first_of(grid.scores[name], grid.models) for name in simple}
    return {**found, "popular": popular(grid.similarity_MM, grid.models)}


def _firsts(grid: Grid) -> NDArray[np.intp]:
    firsts: NDArray[np.intp] = np.argmin(np.nan_to_num(grid.rank_MM, nan=np.inf), axis=1)
    return firsts


def _domain(grid: Grid) -> tuple[float, float]:
    """Returns the ends of one scale for the intervals of all first choices."""
    firsts, targets = _firsts(grid), grid.targets
    ends = [values[targets, firsts[targets]] for values in (*grid.interval, grid.null_MM)]
    every = np.concatenate([*ends, grid.similarity_MM[targets, firsts[targets]]])
    known_ends = every[np.isfinite(every)]
    return float(known_ends.min()), float(known_ends.max())


def figures(grid: Grid, table: Table) -> list[Figure]:
    """Returns the numbers of the first screen."""
    found = []
    shares = [row[4] for row in table.rows if row[4] is not None]
    count = len(table.rows)
    if shares:
        safe = sum(one >= SAFE for one in shares)
        about = f"first choices are safe: first in {100 * SAFE:.0f} % of the resamples and more"
        found.append(Figure(f"{safe} of {count}", about, 2 * safe < count))
    stability = grid.scan.table("stability")
    if len(stability):
        half = stability.iloc[0]
        about = f"rank correlation of the ranking by {int(half['num_probes'])} probes with this one"
        found.append(Figure(f"{half['correlation']:.2f}", about, half["correlation"] < UNSTABLE))
    places = [place for place, one in enumerate(table.columns) if one.kind == "choice"]
    simple = [place for place in places if table.columns[place].key in BASELINES]
    if simple:
        same = sum(all(row[place] and row[place][1] for place in simple) for row in table.rows)
        labels = ", ".join(table.columns[place].label for place in simple)
        found.append(Figure(f"{same} of {count}", f"first choices are also those of {labels}"))
    best = shown_line(grid.models[int(np.nanargmax(grid.means(0)))])
    found.append(Figure(best, "is the generally best source: most similar to the zoo on average"))
    return found


def warnings(grid: Grid, table: Table) -> Iterator[str]:
    """Yields what is to be distrusted, in plain words."""
    yield from Recommender(grid.scan).scan_warnings
    unsafe = [row[0] for row in table.rows if row[4] is not None and row[4] < SAFE]
    if unsafe:
        yield (
            f"{_counted(unsafe, 'target')}: the first choice is not safe, first in less than "
            f"{100 * SAFE:.0f} % of the resamples; try those that are as good, or take more probes"
        )
    if table.rows and all(row[4] is None for row in table.rows):
        yield "how sure the rankings are is not known: the scan has no resamples"
    below = [row[0] for row in table.rows if row[3][3] is not None and row[3][0] <= row[3][3]]
    if below:
        yield (
            f"{_counted(below, 'target')}: the first choice is no closer than its own "
            "random-weights twin; no source of this zoo is related, as far as these probes show"
        )
    notes = grid.scan.table("notes")
    noisy = notes[(notes["stage"] == "extract") & (notes["kind"] == "conditioning")]["model_id"]
    if len(noisy):
        names = [shown_line(str(one)) for one in dict.fromkeys(noisy)]
        yield (
            f"{_counted(names, 'model')}: maps of some layers are rounding noise; go by "
            "edge_similarity there (see the notes)"
        )


def _counted(names: list[str], what: str) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    plural = "" if len(names) == 1 else "s"
    return f"{len(names)} {what}{plural} ({', '.join(names[:_MOST_NAMED])}{more})"
