"""The transferability matrix: every source against every target, at their output layers."""

from __future__ import annotations

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pandas.api.types import is_float_dtype

from depara.catalog import SCORES, z_column
from depara.errors import ConfigError, near_names
from depara.results import ScanResults
from depara.similarity import at_lambda
from depara.store.artifacts import plain_texts
from depara.store.schemas import TABLES

_SUM = "similarity"


def matrix(
    scan: ScanResults, score: str = "similarity", lambda_: float | None = None
) -> pd.DataFrame:
    """Returns a score between the output graphs of all models: rows are targets, columns sources.

    Both are in the order of the scan file, random-weights twins left out; a model with itself, and
    what was not compared, is NaN.

    Args:
        scan: an open scan.
        score: a score column of the ``similarity`` table.
        lambda_: weight of the edge similarity in ``similarity``; None is the scan's own.

    Raises:
        ConfigError: no such score, it was not computed, or a lambda for another score.
        StoreError: a table is missing or damaged.
    """
    if lambda_ is not None and score != _SUM:
        raise ConfigError(f"a lambda belongs to the score {_SUM!r}, not to {score!r}: leave it out")
    ranking = scan.table("model_ranking")
    outputs = dict(zip(ranking["target_model"], ranking["target_layer"], strict=True))
    columns = TABLES["similarity"].names
    parts = [_between_outputs(table, outputs) for table in scan.arrow_parts("similarity", columns)]
    frame = pd.concat([one for one in parts if len(one)] or parts[:1], ignore_index=True)
    frame = _with_score(frame, score, scan.lambda_, lambda_)
    names = [name for name in scan.models() if name in outputs]
    wide = frame.pivot_table(index="target_model", columns="source_model", values=score)
    return wide.reindex(index=names, columns=names).rename_axis(index="target", columns="source")


def _between_outputs(similarity: pa.Table, outputs: dict[str, str]) -> pd.DataFrame:
    layers = pa.array(sorted(set(outputs.values())), pa.string())
    for side in ("source", "target"):
        names = similarity[f"{side}_layer"].cast(pa.string())
        similarity = similarity.filter(pc.is_in(names, value_set=layers))
    frame = plain_texts(similarity).to_pandas()
    is_output = pd.Series(True, frame.index)
    for side in ("source", "target"):
        is_output &= frame[f"{side}_model"].map(outputs) == frame[f"{side}_layer"]
    kept: pd.DataFrame = frame[is_output & (frame["source_model"] != frame["target_model"])]
    return kept


def _with_score(frame: pd.DataFrame, score: str, own: float, lambda_: float | None) -> pd.DataFrame:
    known = [name for name in frame.columns if is_float_dtype(frame[name])]
    if score not in known:
        hint = near_names(score, known) or f"the scores are {', '.join(known)}"
        raise ConfigError(f"no score {score!r}: {hint}")
    if frame[score].isna().all() and len(frame):
        of_score = {z_column(name): repr(name) for name in SCORES}.get(score, "it")
        raise ConfigError(
            f"the scan did not compute {score!r}: name {of_score} in similarity.scores and scan "
            "again"
        )
    if lambda_ is None:
        return frame
    values, edges = frame[score].to_numpy(), frame["edge_similarity"].to_numpy()
    return frame.assign(**{score: at_lambda(values, edges, own, lambda_)})
