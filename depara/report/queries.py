"""The query behind each picture: the same numbers from the scan's own tables."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from depara.catalog import TERMS

_OF_FIRSTS = """select r.target_model, r.source_model, c.layer as cut, r.similarity,
       u.low, u.high, s.p_first
from <model_ranking> r
join <layer_ranking> c
  on c.target_model = r.target_model and c.source_model = r.source_model
  and c.rank = 1
left join <uncertainty> u
  on u.target_model = r.target_model and u.source_model = r.source_model
  and u.source_layer = r.source_layer and u.score = 'similarity'
left join <rank_uncertainty> s
  on s.target_model = r.target_model and s.source_model = r.source_model
  and s.ranking = 'model'
where r.rank = 1 order by r.target_model"""

_OF_CURVES = """select c.source_model, c.layer, c.depth, c.similarity, u.low, u.high
from <layer_ranking> c
left join <uncertainty> u
  on u.target_model = c.target_model and u.source_model = c.source_model
  and u.source_layer = c.layer and u.score = [layer_score]
where c.target_model = [target] order by c.source_model, c.depth"""

_OF_MATRIX = """select target_model, source_model,
       [similarity] as score
from <similarity> s
semi join <model_ranking> r
  using (target_model, source_model, source_layer, target_layer)"""

_QUERIES: dict[str, tuple[str, str]] = {
    "choices": (
        _OF_FIRSTS,
        "ranking = <model_ranking>\n"
        'first = ranking[ranking["rank"] == 1]\n'
        'print(first[["target_model", "source_model", "similarity"]])',
    ),
    "matrix": (
        _OF_MATRIX,
        "ranking = <model_ranking>\n"
        'print(ranking.pivot(index="target_model", columns="source_model", values="similarity"))',
    ),
    "target": (
        "select source_model, rank, similarity, null_similarity\n"
        "from <model_ranking>\nwhere target_model = [target] order by rank",
        "ranking = <model_ranking>\n"
        'print(ranking[ranking["target_model"] == [target]].sort_values("rank"))',
    ),
    "curves": (
        _OF_CURVES,
        "cuts = <layer_ranking>\n"
        'cuts = cuts[cuts["target_model"] == [target]]\n'
        'print(cuts.sort_values(["source_model", "depth"]))',
    ),
    "models": (
        "select source_model, avg(similarity) as good_source,\n"
        "       count(*) filter (rank = 1) as first\n"
        "from <model_ranking> group by source_model order by good_source desc",
        "ranking = <model_ranking>\n"
        'print(ranking.groupby("source_model")["similarity"].mean())  # good sources\n'
        'print(ranking.groupby("target_model")["similarity"].mean())  # easy targets',
    ),
    "labels": (
        "select * from <label_ranking>\n"
        "where ranking = 'model' and score = 'consensus' order by rank",
        "print(<label_ranking>)",
    ),
    "failures": ("select * from <failures>", "print(<failures>)"),
    "costs": (
        "select model_id, seconds, peak_memory_bytes\n"
        "from <models> order by seconds desc nulls last",
        "print(<models>)",
    ),
    "evaluation": (
        "select score, metric, k, value, low, high\n"
        "from <evaluation/evaluation> where target is null and source is null",
        "print(<evaluation/evaluation>)",
    ),
}
"""SQL and pandas of each picture: ``<table>`` is a table, ``[target]`` and ``[lambda]`` values."""


@dataclass(frozen=True)
class Query:
    """One picture's numbers, in SQL for DuckDB and in pandas."""

    sql: str
    pandas: str


def queries(
    folder: str,
    example: str,
    terms: Mapping[str, float],
    layer_score: str,
    in_parts: Collection[str] = (),
) -> dict[str, Query]:
    """Returns the queries by picture.

    Args:
        folder: where the tables lie, a path or a URI.
        example: a target that stands in the queries of one target.
        terms: weights of the terms of the similarity.
        layer_score: the score in ``uncertainty`` that ranks layers.
        in_parts: the tables that are a folder of parts each.
    """
    total = " + ".join(f"{weight:g} * {TERMS[name].column}" for name, weight in terms.items())
    sql = {
        "[target]": _text(example),
        "[similarity]": total,
        "[layer_score]": _text(layer_score),
    }
    pandas = {"[target]": repr(example)}

    def place(table: str, of_parts: str) -> str:
        return f"{folder}/{table}{of_parts if table in in_parts else '.parquet'}"

    return {
        name: Query(
            _filled(of_sql, lambda table: _text(place(table, "/*.parquet")), sql),
            "import pandas as pd\n"
            + _filled(of_pandas, lambda table: f"pd.read_parquet({place(table, '')!r})", pandas),
        )
        for name, (of_sql, of_pandas) in _QUERIES.items()
    }


def _filled(text: str, table: Callable[[str], str], values: Mapping[str, str]) -> str:
    return re.sub(
        r"<([a-z_/]+)>|\[(?:target|similarity|layer_score)\]",
        lambda found: table(found[1]) if found[1] else values[found[0]],
        text,
    )


def _text(value: str) -> str:
    """Returns a text as SQL writes it."""
    return "'" + value.replace("'", "''") + "'"
