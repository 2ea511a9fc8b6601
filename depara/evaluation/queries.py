"""What can be evaluated: the transfers that both the truth and the scores know, as queries.

``C`` candidates of a query, ``Q`` queries, ``R`` repeats of the truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from depara.errors import ConfigError, SchemaError, near_names
from depara.evaluation.truth import Kind, Truth
from depara.types import Float64

_SHOWN = 5
"""How many names a message lists."""


@dataclass(frozen=True, eq=False)
class Query:
    """One ranking to be judged: the sources of a target, or the layers of a source for a target.

    ``source`` is None when sources are ranked. ``candidates`` are the names of the sources or of
    the layers, sorted; ``truth_C`` their measured values, higher = better, not all equal;
    ``repeats_RC`` the repeated measurements that these are the means of, None without repeats.
    """

    target: str
    source: str | None
    candidates: tuple[str, ...]
    truth_C: Float64
    repeats_RC: Float64 | None = None

    def __post_init__(self) -> None:
        assert self.truth_C.shape == (len(self.candidates),)
        assert np.isfinite(self.truth_C).all()

    @property
    def label(self) -> str:
        """The target, or the target and the source whose layers are ranked, as messages have it."""
        return f"{self.target!r}" + ("" if self.source is None else f" from {self.source!r}")


@dataclass(frozen=True, eq=False)
class Matched:
    """The queries, each score's values for them (``Q`` arrays ``(C,)``), and what was left out."""

    kind: Kind
    queries: tuple[Query, ...]
    scores: dict[str, list[Float64]]
    left_out: tuple[str, ...]


def match(truth: Truth, scores: pd.DataFrame | None, relevant: int) -> Matched:
    """Returns the transfers that truth and scores share, one query per target (or target, source).

    A model is never its own source. A query needs more candidates than ``relevant``, and a truth
    that tells them apart; others are left out, and said to be. A score that is missing (NaN) for
    some candidates of a query ranks them last, 1 below the lowest.

    Args:
        truth: the measured transfers.
        scores: the columns ``target, source`` (and ``layer``) and one numeric column per score;
            None stands for no scores, and then all the truth is used.
        relevant: how many candidates count as relevant, the best by truth.

    Raises:
        ConfigError: nothing is left to evaluate, with near names and the reasons.
        SchemaError: the scores lack a key column or name a transfer twice.
    """
    if relevant < 1:
        raise ConfigError(f"relevant is {relevant}: at least 1 source must count as relevant")
    keys = truth.keys
    table = truth.table[truth.table["target"] != truth.table["source"]]
    left_out: list[str] = []
    names: list[str] = []
    if scores is not None:
        scores, names = _checked_scores(scores, keys)
        left_out = _unmatched(table, scores, keys)
        table = table.merge(scores, on=keys, how="inner", validate="one_to_one")
    queries, columns, small = _group(table, keys, names, relevant)
    if truth.repeats is not None:
        queries = _with_repeats(queries, truth.repeats, keys)
    left_out += small
    if not queries:
        raise ConfigError(_nothing_left(truth, left_out, relevant))
    return Matched(truth.kind, tuple(queries), columns, tuple(left_out))


def _checked_scores(scores: pd.DataFrame, keys: list[str]) -> tuple[pd.DataFrame, list[str]]:
    missing = [name for name in keys if name not in scores.columns]
    if missing:
        raise SchemaError(f"the scores lack the columns {', '.join(missing)}")
    names = [str(name) for name in scores.columns if name not in keys]
    twice = scores[scores.duplicated(keys)]
    if len(twice):
        raise SchemaError(
            f"the scores name {len(twice)} transfers twice, first {tuple(twice[keys].iloc[0])}"
        )
    return scores[scores["target"] != scores["source"]], names


def _group(
    table: pd.DataFrame, keys: list[str], names: Sequence[str], relevant: int
) -> tuple[list[Query], dict[str, list[Float64]], list[str]]:
    """Returns the queries of the shared transfers, their scores, and the queries left out."""
    by, candidate = keys[:-1], keys[-1]
    queries: list[Query] = []
    scores: dict[str, list[Float64]] = {name: [] for name in names}
    few: list[str] = []
    flat: list[str] = []
    for group, rows in table.sort_values(keys).groupby(by, sort=True):
        truth_C = rows["value"].to_numpy(dtype=np.float64)
        label = " from ".join(repr(part) for part in group)
        if len(rows) <= max(relevant, 1):
            few.append(f"{label} ({len(rows)})")
        elif truth_C.min() == truth_C.max():
            flat.append(label)
        else:
            source = str(group[1]) if len(group) > 1 else None
            queries.append(Query(str(group[0]), source, tuple(rows[candidate]), truth_C))
            for name in names:
                scores[name].append(_known_last(rows[name].to_numpy(dtype=np.float64)))
    what = "sources" if candidate == "source" else "layers"
    left_out = []
    if few:
        left_out.append(
            f"targets with fewer than {relevant + 1} {what} in common, which {relevant} relevant "
            f"ones need: {some(few)}"
        )
    if flat:
        left_out.append(f"targets whose {what} are all equally good: {some(flat)}")
    return queries, scores, left_out


def _with_repeats(queries: list[Query], repeats: pd.DataFrame, keys: list[str]) -> list[Query]:
    """Returns the queries with what their true values are the means of."""
    by, candidate = keys[:-1], keys[-1]
    rankings = dict(iter(repeats.groupby(by)))
    found = []
    for query in queries:
        name = (query.target,) if query.source is None else (query.target, query.source)
        wide = rankings[name].pivot(index="repeat", columns=candidate, values="value")
        measured_RC = wide[list(query.candidates)].dropna().to_numpy(dtype=np.float64)
        found.append(replace(query, repeats_RC=measured_RC))
    return found


def _known_last(score_C: Float64) -> Float64:
    """Returns the score with its missing values below all others, tied."""
    known = np.isfinite(score_C)
    if known.all():
        return score_C
    lowest = score_C[known].min() if known.any() else 0.0
    filled: Float64 = np.where(known, score_C, lowest - 1.0)
    return filled


def _unmatched(table: pd.DataFrame, scores: pd.DataFrame, keys: list[str]) -> list[str]:
    """Returns what only one of the two knows, in words with near names."""
    known = sorted(set(scores["target"]) | set(scores["source"]))
    measured = sorted(set(table["target"]) | set(table["source"]))
    unknown = [name for name in measured if name not in set(known)]
    extra = [name for name in known if name not in set(measured)]
    left_out = []
    if unknown:
        named = [f"{name!r} {_near(name, extra or known)}".strip() for name in unknown]
        left_out.append(f"models of the truth that were not scored: {some(named)}")
    if extra:
        left_out.append(f"scored models that the truth lacks: {some([repr(n) for n in extra])}")
    both = table[table["target"].isin(known) & table["source"].isin(known)]
    pairs = both.merge(scores[keys], on=keys, how="left", indicator=True)
    missing = pairs.loc[pairs["_merge"] == "left_only", keys]
    if len(missing):
        shown = [" / ".join(row) for row in missing.itertuples(index=False)]
        hint = _near_layer(missing, scores) if "layer" in keys else ""
        left_out.append(
            f"measured transfers without a score ({' / '.join(keys)}): {some(shown)}{hint}"
        )
    return left_out


def _near_layer(missing: pd.DataFrame, scores: pd.DataFrame) -> str:
    row = missing.iloc[0]
    layers = sorted(set(scores.loc[scores["source"] == row["source"], "layer"]))
    hint = near_names(row["layer"], layers) or f"{row['source']} has {some(layers)}"
    return f"; {row['layer']!r}: {hint}"


def _near(name: str, candidates: Sequence[str]) -> str:
    hint = near_names(name, candidates)
    return f"({hint})" if hint else ""


def some(names: Sequence[str]) -> str:
    """Returns the first names and how many more there are, for a message."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _nothing_left(truth: Truth, left_out: list[str], relevant: int) -> str:
    reasons = "; ".join(left_out) or "it measures no model with another one as its source"
    fewer = f", or ask for fewer than {relevant} relevant ones" if relevant > 1 else ""
    return (
        f"{truth.origin}: nothing can be evaluated. Left out: {reasons}. "
        f"Name models and layers as the scan does{fewer}"
    )
