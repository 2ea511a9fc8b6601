"""The two rankings: order, ties, missing pairs, columns and types, speed of the many."""

from __future__ import annotations

import time
from itertools import product

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from depara.errors import SchemaError
from depara.similarity import layer_ranking, model_ranking
from tests.oracle import similarity as oracle

MODELS = ["vgg", "alex", "ZF", "res"]
LAYERS = ["conv2", "conv10", "fc"]  # in firing order, which is not that of the names
OUTPUTS = {"vgg": "fc", "alex": "conv2", "ZF": "fc", "res": "conv10"}
DEPTHS = {(model, layer): depth for model in MODELS for depth, layer in enumerate(LAYERS)}


def table_of(scores: dict[tuple[str, str, str, str], float]) -> pa.Table:
    names = list(zip(*scores, strict=True)) if scores else [[], [], [], []]
    similarity = np.array(list(scores.values()), dtype=np.float64)
    columns = ("source_model", "source_layer", "target_model", "target_layer")
    return pa.table(
        {
            **{c: pa.array(n, type=pa.string()) for c, n in zip(columns, names, strict=True)},
            "node_similarity": similarity / 3,
            "edge_similarity": similarity / 3,
            "similarity": similarity,
            "num_probes": np.full(len(similarity), 7, dtype=np.int32),
        }
    )


@pytest.fixture
def scores() -> dict[tuple[str, str, str, str], float]:
    """All graphs against all, with few distinct values: many ties; some pairs are missing."""
    rng = np.random.default_rng(0)
    keys = [(*a, *b) for a, b in product(product(MODELS, LAYERS), repeat=2)]
    kept = [keys[place] for place in rng.permutation(len(keys)) if rng.random() > 0.2]
    return {key: float(rng.integers(0, 4)) / 4 for key in kept}


def test_models_rank_as_the_slow_loop_ranks_them(scores: dict):
    ranking = model_ranking(table_of(scores), OUTPUTS).to_pandas()
    expected = oracle.rank_models(scores, OUTPUTS)
    for target in MODELS:
        rows = ranking[ranking["target_model"] == target]
        assert rows["source_model"].tolist() == expected[target]
        assert rows["rank"].tolist() == list(range(1, len(rows) + 1))
        for row in rows.itertuples():
            key = (row.source_model, row.source_layer, target, row.target_layer)
            assert row.source_layer == OUTPUTS[row.source_model]
            assert row.target_layer == OUTPUTS[target]
            assert row.similarity == scores[key]
            assert row.node_similarity == scores[key] / 3
    assert len(ranking) == sum(map(len, expected.values()))


def test_layers_rank_as_the_slow_loop_ranks_them(scores: dict):
    ranking = layer_ranking(table_of(scores), OUTPUTS, DEPTHS).to_pandas()
    count = 0
    for target, source in product(MODELS, repeat=2):
        rows = ranking[(ranking["target_model"] == target) & (ranking["source_model"] == source)]
        expected = oracle.rank_layers(scores, LAYERS, source, target, OUTPUTS[target])
        assert rows["layer"].tolist() == ([] if source == target else expected)
        assert rows["rank"].tolist() == list(range(1, len(rows) + 1))
        assert [DEPTHS[source, layer] for layer in rows["layer"]] == rows["depth"].tolist()
        count += len(rows)
    assert count == len(ranking) > 0
    order = ranking[["target_model", "source_model", "rank"]].apply(tuple, axis=1).tolist()
    assert order == sorted(order)


def test_layers_rank_by_a_sum_of_their_own(scores: dict):
    table = table_of(scores)
    rng = np.random.default_rng(3)
    gulp, edge = rng.random(table.num_rows), table["edge_similarity"].to_numpy()
    table = table.append_column("gulp", pa.array(gulp))
    ranking = layer_ranking(table, OUTPUTS, DEPTHS, {"edge": 0.5, "gulp": 2.0}).to_pandas()
    own = dict(zip(scores, (0.5 * edge + 2 * gulp).tolist(), strict=True))
    for target, source in product(MODELS, repeat=2):
        rows = ranking[(ranking["target_model"] == target) & (ranking["source_model"] == source)]
        expected = oracle.rank_layers(own, LAYERS, source, target, OUTPUTS[target])
        assert rows["layer"].tolist() == ([] if source == target else expected)
        for row in rows.itertuples():
            key = (source, row.layer, target, OUTPUTS[target])
            assert row.similarity == pytest.approx(own[key])
            assert row.gulp == gulp[list(scores).index(key)]


def test_columns_and_types_are_those_of_the_tables(scores: dict):
    models, layers = (
        model_ranking(table_of(scores), OUTPUTS),
        layer_ranking(table_of(scores), OUTPUTS, DEPTHS),
    )
    text, real, whole = pa.string(), pa.float64(), pa.int32()
    assert dict(zip(models.column_names, models.schema.types, strict=True)) == {
        "target_model": text,
        "rank": whole,
        "source_model": text,
        "source_layer": text,
        "target_layer": text,
        "similarity": real,
        "node_similarity": real,
        "node_centred": real,
        "edge_similarity": real,
        "directed": real,
        "gulp": real,
    }
    assert dict(zip(layers.column_names, layers.schema.types, strict=True)) == {
        "target_model": text,
        "source_model": text,
        "rank": whole,
        "layer": text,
        "depth": whole,
        "similarity": real,
        "node_similarity": real,
        "node_centred": real,
        "edge_similarity": real,
        "directed": real,
        "gulp": real,
    }


def test_the_order_of_rows_does_not_matter(scores: dict):
    table = table_of(scores)
    shuffled = table.take(np.random.default_rng(1).permutation(table.num_rows))
    assert model_ranking(table, OUTPUTS).equals(model_ranking(shuffled, OUTPUTS))
    assert layer_ranking(table, OUTPUTS, DEPTHS).equals(layer_ranking(shuffled, OUTPUTS, DEPTHS))


def test_frames_chunks_and_dictionaries_are_read_alike(scores: dict):
    table = table_of(scores)
    expected = model_ranking(table, OUTPUTS)
    chunked = pa.concat_tables([table.slice(0, 10), table.slice(10)])
    assert model_ranking(chunked, OUTPUTS).equals(expected)
    frame = table.to_pandas()
    assert model_ranking(frame, OUTPUTS).equals(expected)
    categories = frame.astype({"source_model": "category", "target_layer": "category"})
    assert model_ranking(categories, OUTPUTS).equals(expected)


def test_equal_similarities_come_by_name_and_by_depth():
    keys = [(m, layer, "ZF", "fc") for m in ("vgg", "alex", "res") for layer in reversed(LAYERS)]
    table = table_of(dict.fromkeys(keys, 0.5))
    models = model_ranking(table, OUTPUTS).to_pandas()
    assert models["source_model"].tolist() == ["alex", "res", "vgg"]
    layers = layer_ranking(table, OUTPUTS, DEPTHS).to_pandas()
    assert layers["layer"].tolist() == LAYERS * 3
    assert layers["source_model"].tolist() == ["alex"] * 3 + ["res"] * 3 + ["vgg"] * 3


def test_a_model_without_output_graph_is_no_target_and_ranks_nowhere(scores: dict):
    outputs = {model: layer for model, layer in OUTPUTS.items() if model != "vgg"}
    models = model_ranking(table_of(scores), outputs).to_pandas()
    assert "vgg" not in {*models["target_model"], *models["source_model"]}
    layers = layer_ranking(table_of(scores), outputs, DEPTHS).to_pandas()
    assert "vgg" not in set(layers["target_model"])
    assert "vgg" in set(layers["source_model"])


def test_one_model_alone_has_empty_rankings_with_their_columns():
    table = table_of({("vgg", "fc", "vgg", "fc"): 1.0})
    for ranking in (model_ranking(table, OUTPUTS), layer_ranking(table, OUTPUTS, DEPTHS)):
        assert ranking.num_rows == 0
        assert ranking.num_columns == 11
    assert model_ranking(table_of({}), OUTPUTS).num_rows == 0
    assert layer_ranking(table_of({}), OUTPUTS, DEPTHS).num_rows == 0


def test_what_is_missing_is_named(scores: dict):
    table = table_of(scores)
    with pytest.raises(SchemaError, match="lacks columns source_layer"):
        model_ranking(table.drop_columns(["source_layer"]), OUTPUTS)
    frame: pd.DataFrame = table.to_pandas()
    frame.loc[3, "similarity"] = np.nan
    with pytest.raises(SchemaError, match=r"similarity .* nulls"):
        model_ranking(frame, OUTPUTS)
    depths = {key: depth for key, depth in DEPTHS.items() if key != ("res", "conv2")}
    with pytest.raises(SchemaError, match=r"1 source layers .* 'conv2' of model 'res'"):
        layer_ranking(table, OUTPUTS, depths)


def test_half_a_million_pairs_take_seconds():
    """A loop over the rows, or over the pairs of models, would take minutes."""
    models = np.array([f"model-{place:03d}" for place in range(180)])
    source, target, layer = (
        axis.ravel() for axis in np.meshgrid(range(180), range(180), range(16))
    )
    similarity = np.random.default_rng(0).random(source.size)
    layers = np.array([f"block{place}" for place in range(16)])
    table = pa.table(
        {
            "source_model": models[source],
            "source_layer": layers[layer],
            "target_model": models[target],
            "target_layer": np.full(source.size, "block15"),
            "node_similarity": similarity,
            "edge_similarity": similarity,
            "similarity": similarity,
        }
    )
    outputs = dict.fromkeys(models.tolist(), "block15")
    depths = {(m, name): d for m in models.tolist() for d, name in enumerate(layers.tolist())}
    started = time.process_time()
    assert layer_ranking(table, outputs, depths).num_rows == 180 * 179 * 16
    assert model_ranking(table, outputs).num_rows == 180 * 179
    assert time.process_time() - started < 10
