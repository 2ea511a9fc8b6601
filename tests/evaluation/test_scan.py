"""A finished scan is judged by its own tables: outputs for models, all layers for layers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from depara.catalog import TERMS
from depara.errors import ConfigError
from depara.evaluation import Truth, evaluate_scan, evaluate_scores
from depara.evaluation.metrics import BUDGETS
from depara.evaluation.scan import hybrid_scores, score_columns, transfer_scores
from depara.results import ScanResults, open_scan
from depara.similarity import layer_ranking, model_ranking
from depara.similarity.general import generally_best
from depara.store.scans import finish_scan, write_table
from depara.store.schemas import CALIBRATED, NEIGHBOURS, TABLES
from depara.store.storage import Storage

MODELS = ("a", "b", "c", "d", "e")
LAYERS = ("early", "late", "output")
GFLOP = {"a": 1.0, "b": 9.0, "c": 3.0, "d": 5.0, "e": 4.0}
OUTPUTS = {**dict.fromkeys(MODELS, "output"), "e": "late"}


OWN_TERMS = [term.column for term in TERMS.values() if term.column not in NEIGHBOURS]


def similarity_table() -> pa.Table:
    rng = np.random.default_rng(0)
    graphs = [(model, layer) for model in MODELS for layer in LAYERS]
    rows = [
        (
            *source,
            *target,
            *rng.uniform(-1, 1, size=len(OWN_TERMS) + 1),
            *[None] * len(NEIGHBOURS | CALIBRATED),
            10,
        )
        for source in graphs
        for target in graphs
    ]
    schema = TABLES["similarity"]
    columns = list(zip(*rows, strict=True))
    return pa.table(dict(zip(schema.names, columns, strict=True))).cast(schema)


def models_table() -> pa.Table:
    rows = [
        {
            "model_id": model,
            "source": "python:x:y",
            "num_parameters": 100 - place,
            "status": "computed",
            "seconds": 1.0,
        }
        for place, model in enumerate(MODELS)
    ]
    failed = {"model_id": "broken", "source": "python:x:y", "status": "failed", "seconds": 1.0}
    return pa.Table.from_pylist([*rows, failed], schema=TABLES["models"])


def layers_table() -> pa.Table:
    rows = [
        {"model_id": model, "layer": layer, "depth": depth, "depth_fraction": (depth + 1) / 3}
        | {"num_features": 1, "graph_key": "k", "is_output": layer == OUTPUTS[model]}
        | {"gflop": GFLOP[model] * (depth + 1)}
        for model in MODELS
        for depth, layer in enumerate(LAYERS)
    ]
    return pa.Table.from_pylist(rows, schema=TABLES["layers"])


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> ScanResults:
    storage = Storage(str(tmp_path_factory.mktemp("out")))
    similarity = similarity_table()
    depths = {(m, layer): depth for m in MODELS for depth, layer in enumerate(LAYERS)}
    failure = {"model_id": "broken", "stage": "resolve", "error_type": "X", "message": "no weights"}
    tables = {
        "similarity": similarity,
        "model_ranking": model_ranking(similarity, OUTPUTS),
        "layer_ranking": layer_ranking(similarity, OUTPUTS, depths),
        "models": models_table(),
        "layers": layers_table(),
        "failures": pa.Table.from_pylist([failure], schema=TABLES["failures"]),
    }
    for name, table in tables.items():
        write_table(storage, "scan1", name, table)
    finish_scan(storage, "scan1", {})
    return open_scan(storage.root)


def truth_by(scan: ScanResults, score: str, kind: str) -> Truth:
    """A truth that one score of the scan predicts without a fault."""
    table = scan.table("similarity")
    is_target = table["target_layer"] == table["target_model"].map(OUTPUTS)
    if kind == "models":
        is_target &= table["source_layer"] == table["source_model"].map(OUTPUTS)
    table = table[is_target & (table["source_model"] != table["target_model"])]
    names = {"target_model": "target", "source_model": "source", score: "value"}
    columns = ["target", "source", "value"]
    if kind == "layers":
        names["source_layer"] = "layer"
        columns.append("layer")
    return Truth(table.rename(columns=names)[columns])


@pytest.mark.parametrize("kind", ["models", "layers"])
@pytest.mark.parametrize("score", ["similarity", "edge_similarity"])
def test_the_score_that_made_the_truth_ranks_best(scan: ScanResults, score: str, kind: str) -> None:
    evaluation = evaluate_scan(scan, truth_by(scan, score, kind), relevant=2)
    names = {"similarity", *OWN_TERMS}
    assert set(evaluation.scores) == names | ({"hybrid"} if kind == "models" else set())
    assert evaluation.scan_id == "scan1"
    assert evaluation.left_out == ()
    assert evaluation.num_queries == {"models": 5, "layers": 20}[kind]
    assert evaluation.num_candidates == {"models": (4, 4), "layers": (3, 3)}[kind]
    spearman = evaluation.means("spearman")["value"]
    assert spearman[score] == pytest.approx(1)
    assert (spearman[[name for name in evaluation.scores if name != score]] < 0.9).all()


def test_a_truth_of_layers_judges_what_ranks_layers(scan: ScanResults) -> None:
    weights = {"terms": {"node": 1.0, "edge": 1.0}, "layer_terms": {"node": 1.0, "edge": 3.0}}
    with_own = replace(scan, manifest={"config": {"similarity": weights}})
    truth = truth_by(scan, "similarity", "layers")
    table = scan.table("similarity").rename(
        columns={"target_model": "target", "source_model": "source", "source_layer": "layer"}
    )
    value = table["node_similarity"] + 3 * table["edge_similarity"]
    keys = ["target", "source", "layer"]
    is_output = table["target_layer"] == table["target"].map(OUTPUTS)
    own = truth.table[keys].merge(table[keys].assign(value=value)[is_output], on=keys)
    evaluation = evaluate_scan(with_own, Truth(own), relevant=2)
    spearman = evaluation.means("spearman")["value"]
    assert spearman["layer_similarity"] == pytest.approx(1)
    assert spearman["similarity"] < 0.9
    assert "layer_similarity" not in evaluate_scan(scan, Truth(own), relevant=2).scores
    of_models = evaluate_scan(with_own, truth_by(scan, "similarity", "models"), relevant=2)
    assert "layer_similarity" not in of_models.scores


def test_baselines_know_the_parameters_and_depths_of_the_scan(scan: ScanResults) -> None:
    for kind, baseline, values in (
        ("models", "parameters", {name: -place for place, name in enumerate(MODELS)}),
        # At the output layer: e is cut one layer earlier, and so costs less than c.
        ("models", "gflop", {"a": 0, "e": 1, "c": 2, "d": 3, "b": 4}),
        ("layers", "depth", {name: place for place, name in enumerate(LAYERS)}),
    ):
        truth = truth_by(scan, "similarity", kind)
        column = "source" if kind == "models" else "layer"
        truth = Truth(truth.table.assign(value=truth.table[column].map(values)))
        evaluation = evaluate_scan(scan, truth, relevant=1)
        assert evaluation.means("spearman").loc[baseline, "value"] == pytest.approx(1)


def test_models_that_failed_are_named_with_the_others_that_are_left_out(scan: ScanResults) -> None:
    table = truth_by(scan, "similarity", "models").table
    extra = pd.DataFrame({"target": ["a"], "source": ["broken"], "value": [0.0]})
    evaluation = evaluate_scan(scan, Truth(pd.concat([table, extra])), relevant=2)
    assert evaluation.left_out == (
        "models that failed in the scan: 'broken'",
        "models of the truth that were not scored: 'broken'",
    )


def test_a_truth_of_other_models_is_refused(scan: ScanResults) -> None:
    truth = Truth(pd.DataFrame({"target": ["A1"] * 2, "source": ["x", "y"], "value": [1.0, 2.0]}))
    with pytest.raises(ConfigError, match="nothing can be evaluated"):
        evaluate_scan(scan, truth, relevant=1)


def test_every_numeric_column_is_a_score_but_counts_and_interval_ends() -> None:
    similarity = similarity_table().drop_columns(list(NEIGHBOURS))
    rng = np.random.default_rng(0)
    later = {
        "cka": pa.array(rng.uniform(size=len(similarity)), pa.float32()),
        "directed": pa.array([None, *rng.uniform(size=len(similarity) - 1)], pa.float64()),
        "wins": pa.array(rng.integers(0, 9, size=len(similarity)), pa.int32()),
        "similarity_low": pa.array(np.zeros(len(similarity))),
        "similarity_high": pa.array(np.ones(len(similarity))),
        "note": pa.array(["text"] * len(similarity)),
    }
    for name, column in later.items():
        similarity = similarity.append_column(name, column)
    scores = [*OWN_TERMS, "similarity", "cka", "directed", "wins"]
    assert score_columns(similarity.schema) == scores
    frame = transfer_scores(similarity, OUTPUTS, "models")
    assert list(frame.columns) == ["target", "source", *scores]
    assert len(frame) == len(MODELS) * (len(MODELS) - 1)
    assert (frame[scores].dtypes == np.float64).all()
    truth = Truth(frame[["target", "source"]].assign(value=frame["cka"]))
    evaluation = evaluate_scores(truth, frame, relevant=2)
    assert evaluation.means("spearman").loc["cka", "value"] == pytest.approx(1)


def test_models_that_are_no_target_are_left_out_of_the_scores() -> None:
    outputs = {"a": "output", "b": "output"}
    frame = transfer_scores(similarity_table(), outputs, "layers")
    assert set(frame["target"]) == {"a", "b"}
    assert len(frame) == 2 * (len(MODELS) - 1) * len(LAYERS)
    assert len(transfer_scores(similarity_table(), outputs, "models")) == 2


def test_the_hybrid_rule_puts_the_generally_best_source_first() -> None:
    names = "abcd"
    similarity = np.array(
        [[0, 5, 4, 1], [2, 0, 6, 1], [3, 4, 0, 9], [2, 5, 1, 0]], dtype=float
    )  # targets in rows
    scores = pd.DataFrame(
        [
            {"target": names[t], "source": names[s], "similarity": similarity[t, s]}
            for t in range(4)
            for s in range(4)
            if s != t
        ]
    )
    hybrid = scores.assign(hybrid=hybrid_scores(scores))
    for t, target in enumerate(names):
        rows = hybrid[hybrid["target"] == target].sort_values("hybrid", ascending=False)
        means = {
            names[s]: np.mean([similarity[o, s] for o in range(4) if o not in (s, t)])
            for s in range(4)
            if s != t
        }
        first = max(sorted(means), key=lambda name: means[name])
        rest = hybrid[(hybrid["target"] == target) & (hybrid["source"] != first)]
        rest = rest.sort_values("similarity", ascending=False)
        assert rows["source"].tolist() == [first, *rest["source"]]


def test_the_regret_of_a_budget_is_that_of_the_hybrid_trials(scan: ScanResults) -> None:
    truth = truth_by(scan, "edge_similarity", "models")
    evaluation = evaluate_scan(scan, truth, relevant=2)
    ranking = scan.table("model_ranking")
    best = generally_best(ranking)
    for budget in BUDGETS:
        lost = []
        for target, rows in truth.table.groupby("target"):
            mine = ranking[ranking["target_model"] == target].sort_values("rank")
            rest = [name for name in mine["source_model"] if name != best[str(target)]]
            tried = [best[str(target)], *rest][:budget]
            found = rows.loc[rows["source"].isin(tried), "value"].max()
            highest, lowest = rows["value"].max(), rows["value"].min()
            lost.append((highest - found) / (highest - lowest))
        value = evaluation.means("regret", budget).loc["hybrid", "value"]
        assert value == pytest.approx(np.mean(lost)), budget
    assert BUDGETS == (1, 2, 3, 5)


def test_without_the_strongest_the_scan_is_one_that_never_had_them(scan: ScanResults) -> None:
    truth = truth_by(scan, "node_similarity", "models")
    strongest = truth.table.groupby("source")["value"].mean().idxmax()
    found = evaluate_scan(scan, truth, relevant=1, without_strongest=1)
    assert repr(strongest) in found.left_out[0]
    scores = transfer_scores(scan.arrow_table("similarity"), OUTPUTS, "models")
    scores = scores[scores["source"] != strongest]
    # The generally best source is that of what is left, too.
    scores["hybrid"] = hybrid_scores(scores)
    kept = Truth(truth.table[truth.table["source"] != strongest])
    expected = evaluate_scores(kept, scores, relevant=1)
    for metric, k in (("spearman", None), ("regret", 1)):
        pd.testing.assert_frame_equal(
            found.means(metric, k).loc[list(expected.scores)],
            expected.means(metric, k).loc[list(expected.scores)],
        )
