"""The query behind each picture: the same numbers from the scan's own tables."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Query:
    """One picture's numbers, in SQL for DuckDB and in pandas."""

    sql: str
    pandas: str


def _quoted(text: str, quote: str) -> str:
    return text.replace(quote, quote * 2)


def queries(folder: str, example: str, lambda_: float) -> dict[str, Query]:
    """Returns the queries by picture.

    Args:
        folder: where the tables lie, a path or a URI.
        example: a target that stands in the queries of one target.
        lambda_: the weight of the edges.
    """

    def table(name: str) -> str:
        return "'" + _quoted(f"{folder}/{name}.parquet", "'") + "'"

    def frame(name: str) -> str:
        return f"pd.read_parquet({f'{folder}/{name}.parquet'!r})"

    target = "'" + _quoted(example, "'") + "'"
    return {
        "choices": Query(
            "select r.target_model, r.source_model, c.layer as cut, r.similarity,\n"
            "       u.low, u.high, s.p_first\n"
            f"from {table('model_ranking')} r\n"
            f"join {table('layer_ranking')} c\n"
            "  on c.target_model = r.target_model and c.source_model = r.source_model\n"
            "  and c.rank = 1\n"
            f"left join {table('uncertainty')} u\n"
            "  on u.target_model = r.target_model and u.source_model = r.source_model\n"
            "  and u.source_layer = r.source_layer and u.score = 'similarity'\n"
            f"left join {table('rank_uncertainty')} s\n"
            "  on s.target_model = r.target_model and s.source_model = r.source_model\n"
            "  and s.ranking = 'model'\n"
            "where r.rank = 1 order by r.target_model",
            "import pandas as pd\n"
            f"ranking = {frame('model_ranking')}\n"
            'first = ranking[ranking["rank"] == 1]\n'
            'print(first[["target_model", "source_model", "similarity"]])',
        ),
        "matrix": Query(
            "select target_model, source_model,\n"
            f"       node_similarity + {lambda_:g} * edge_similarity as score\n"
            f"from {table('similarity')} s\n"
            f"semi join {table('model_ranking')} r\n"
            "  using (target_model, source_model, source_layer, target_layer)",
            "import pandas as pd\n"
            f"ranking = {frame('model_ranking')}\n"
            'print(ranking.pivot(index="target_model", columns="source_model",'
            ' values="similarity"))',
        ),
        "target": Query(
            "select source_model, rank, similarity, null_similarity\n"
            f"from {table('model_ranking')}\n"
            f"where target_model = {target} order by rank",
            "import pandas as pd\n"
            f"ranking = {frame('model_ranking')}\n"
            f'print(ranking[ranking["target_model"] == {example!r}].sort_values("rank"))',
        ),
        "curves": Query(
            "select c.source_model, c.layer, c.depth, c.similarity, u.low, u.high\n"
            f"from {table('layer_ranking')} c\n"
            f"left join {table('uncertainty')} u\n"
            "  on u.target_model = c.target_model and u.source_model = c.source_model\n"
            "  and u.source_layer = c.layer and u.score = 'similarity'\n"
            f"where c.target_model = {target} order by c.source_model, c.depth",
            "import pandas as pd\n"
            f"cuts = {frame('layer_ranking')}\n"
            f'cuts = cuts[cuts["target_model"] == {example!r}]\n'
            'print(cuts.sort_values(["source_model", "depth"]))',
        ),
        "models": Query(
            "select source_model, avg(similarity) as good_source, count(*) filter (rank = 1)"
            " as first\n"
            f"from {table('model_ranking')} group by source_model order by good_source desc",
            "import pandas as pd\n"
            f"ranking = {frame('model_ranking')}\n"
            'print(ranking.groupby("source_model")["similarity"].mean())  # good sources\n'
            'print(ranking.groupby("target_model")["similarity"].mean())  # easy targets',
        ),
        "labels": Query(
            f"select * from {table('label_ranking')}\n"
            "where ranking = 'model' and score = 'consensus' order by rank",
            f"import pandas as pd\nprint({frame('label_ranking')})",
        ),
        "failures": Query(
            f"select * from {table('failures')}",
            f"import pandas as pd\nprint({frame('failures')})",
        ),
        "costs": Query(
            "select model_id, seconds, peak_memory_bytes\n"
            f"from {table('models')} order by seconds desc nulls last",
            f"import pandas as pd\nprint({frame('models')})",
        ),
        "evaluation": Query(
            "select score, metric, k, value, low, high\n"
            f"from {table('evaluation/evaluation')} where target is null and source is null",
            f"import pandas as pd\nprint({frame('evaluation/evaluation')})",
        ),
    }
