"""A finished scan judged by measured transfers."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from depara.catalog import TERMS
from depara.evaluation.ablation import without_strongest as leave_out_strongest
from depara.evaluation.baselines import Known
from depara.evaluation.evaluation import Evaluation
from depara.evaluation.judgement import evaluate_scores
from depara.evaluation.schema import HYBRID
from depara.evaluation.truth import Kind, Truth
from depara.results.results import ScanResults
from depara.similarity.combine import combine
from depara.similarity.general import generally_best
from depara.store.artifacts import plain_texts
from depara.store.schemas import CALIBRATED, TABLES

_NAMES = ("source_model", "source_layer", "target_model", "target_layer")
_NO_SCORES = ("num_probes", *CALIBRATED)
_INTERVAL_ENDS = ("_low", "_high")
_SHOWN = 5


def evaluate_scan(
    results: ScanResults,
    truth: Truth,
    *,
    relevant: int,
    bootstrap: int = 1000,
    seed: int = 0,
    without_strongest: int = 0,
    weigh_by_reliability: bool = False,
) -> Evaluation:
    """Returns how well every score of a scan ranks, against measured transfers.

    A truth of models judges the ranking of the sources of each target, both at their output layer
    (Song et al., CVPR 2020, section 3.3); a truth of layers judges the ranking of each source's
    layers against the target's output layer (Eq. 6). Beside the scores stand the baselines.

    Args:
        results: the scan.
        truth: measured transfers between models of the scan; the common part is evaluated.
        relevant: how many sources or layers, the best by truth, count as relevant.
        bootstrap: resamples of the targets for the 5-95 % intervals of the means; 0 for none.
        seed: of the bootstrap.
        without_strongest: how many sources of the highest mean true value to leave out, as if the
            scan had no such sources.
        weigh_by_reliability: each target counts its truth's reliability in the means.

    Raises:
        ConfigError: truth and scan have too little in common, with near names and the fix.
        StoreError: a table of the scan is missing or damaged.
    """
    outputs, _ = ranked_models(results)
    targets = None
    if truth.kind == "layers":  # of models, what is generally best depends on all targets
        targets = outputs.keys() & set(truth.table["target"]) or None
    scores = scan_scores(results, outputs, truth.kind, targets)
    if truth.kind == "layers" and results.has_layer_terms:
        columns = [term.column for term in TERMS.values() if term.column in scores]
        parts = {name: scores[name].to_numpy(np.float64) for name in columns}
        scores[results.layer_score] = combine(parts, results.layer_terms)
    remarks = _failed(results, truth)
    if without_strongest:
        truth, left, said = leave_out_strongest(truth, scores, without_strongest)
        assert left is not None
        scores = left
        remarks.append(said)
    if truth.kind == "models" and "similarity" in scores:
        scores[HYBRID] = hybrid_scores(scores)
    return evaluate_scores(
        truth,
        scores,
        relevant=relevant,
        known=known_of(results),
        bootstrap=bootstrap,
        seed=seed,
        scan_id=results.scan_id,
        remarks=remarks,
        weigh_by_reliability=weigh_by_reliability,
    )


def hybrid_scores(scores: pd.DataFrame) -> pd.Series[float]:
    """Returns the similarity with the zoo's generally best source of each target put first.

    The hybrid rule of Renggli et al., "Which model to transfer?", CVPR 2022: what
    `depara recommend --budget` tries.

    Args:
        scores: as `transfer_scores` gives them, of models.
    """
    names = {"target": "target_model", "source": "source_model"}
    first = generally_best(scores.rename(columns=names))
    span = float(scores["similarity"].max() - scores["similarity"].min())
    is_first = scores["target"].map(first) == scores["source"]
    return scores["similarity"] + (1 + span) * is_first


def score_columns(schema: pa.Schema) -> list[str]:
    """Returns the columns of a similarity table that rank: the numeric ones.

    ``num_probes`` is none, nor are distances from chance (``..._z``) and the ends of an interval
    (``..._low``, ``..._high``).
    """
    return [
        column.name
        for column in schema
        if (pa.types.is_floating(column.type) or pa.types.is_integer(column.type))
        and column.name not in _NO_SCORES
        and not column.name.endswith(_INTERVAL_ENDS)
    ]


def ranked_models(results: ScanResults) -> tuple[dict[str, str], set[str]]:
    """Returns the output layer of every target that a scan ranks sources for, and the sources."""
    outputs: dict[str, str] = {}
    sources: set[str] = set()
    columns = ["target_model", "target_layer", "source_model"]
    for part in map(plain_texts, results.arrow_parts("model_ranking", columns)):
        targets, layers = (part[name].to_pylist() for name in columns[:2])
        outputs |= dict(zip(targets, layers, strict=True))
        sources.update(pc.unique(part["source_model"]).to_pylist())
    return outputs, sources


def scan_scores(
    results: ScanResults,
    outputs: dict[str, str],
    kind: Kind,
    targets: Collection[str] | None = None,
) -> pd.DataFrame:
    """Returns `transfer_scores` of a scan, of some targets or of all; it is read part by part."""
    columns = [*_NAMES, *score_columns(TABLES["similarity"])]
    parts = [
        transfer_scores(plain_texts(part), outputs, kind)
        for part in results.arrow_parts("similarity", columns, targets)
    ]
    return pd.concat([one for one in parts if len(one)] or parts[:1], ignore_index=True)


def transfer_scores(similarity: pa.Table, outputs: dict[str, str], kind: Kind) -> pd.DataFrame:
    """Returns the scores of the transfers to each model's output graph, from a similarity table.

    Args:
        similarity: the scan's ``similarity`` table.
        outputs: the output layer of each model.
        kind: ``models`` takes each source at its output layer, ``layers`` at all its layers.

    Returns:
        ``target, source`` (and ``layer``), then one float64 column per score, NaN where it is null.
    """
    pairs = pa.table(
        {"model": list(outputs), "layer": list(outputs.values())},
        schema=pa.schema([("model", pa.string()), ("layer", pa.string())]),
    )
    kept = _at_outputs(similarity, pairs, "target")
    if kind == "models":
        kept = _at_outputs(kept, pairs, "source")
    kept = kept.filter(pc.not_equal(kept["source_model"], kept["target_model"]))
    columns = {"target": kept["target_model"], "source": kept["source_model"]}
    if kind == "layers":
        columns["layer"] = kept["source_layer"]
    names = [name for name in score_columns(similarity.schema) if _was_computed(similarity[name])]
    columns |= {name: kept[name].cast(pa.float64()) for name in names}
    frame = pa.table(columns).to_pandas()
    assert isinstance(frame, pd.DataFrame)
    return frame


def _was_computed(column: pa.ChunkedArray) -> bool:
    """A score that the scan file leaves out is null throughout."""
    return len(column) == 0 or column.null_count < len(column)


def _at_outputs(similarity: pa.Table, outputs: pa.Table, side: str) -> pa.Table:
    """Returns the rows whose source or target is a model at its output layer."""
    places = pc.index_in(similarity[f"{side}_model"], value_set=outputs["model"].combine_chunks())
    layer = outputs["layer"].take(places)
    is_output = pc.equal(similarity[f"{side}_layer"], layer)
    return similarity.filter(pc.fill_null(is_output, False))


def known_of(results: ScanResults) -> Known:
    """Returns what a scan knows of its models for the baselines: parameters, depths, operations."""
    models = results.table("models").dropna(subset=["num_parameters"])
    layers = results.table("layers")
    names = zip(layers["model_id"], layers["layer"], strict=True)
    outputs = layers[layers["is_output"]].dropna(subset=["gflop"])
    return Known(
        parameters=dict(zip(models["model_id"], models["num_parameters"], strict=True)),
        depths=dict(zip(names, layers["depth"], strict=True)),
        gflop=dict(zip(outputs["model_id"], outputs["gflop"], strict=True)),
    )


def _failed(results: ScanResults, truth: Truth) -> list[str]:
    """Returns a remark when the truth names models that failed in the scan."""
    measured = {*truth.table["target"], *truth.table["source"]}
    failures = results.table("failures")
    failed = sorted(measured & set(failures["model_id"]) - set(results.models()))
    if not failed:
        return []
    more = f" and {len(failed) - _SHOWN} more" if len(failed) > _SHOWN else ""
    shown = ", ".join(repr(name) for name in failed[:_SHOWN])
    return [f"models that failed in the scan: {shown}{more}"]
