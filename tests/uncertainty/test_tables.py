"""The tables of a whole plan: schemas, keys, agreement with the scan's rankings, any order."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from depara.similarity import TileScores, layer_ranking, model_ranking, similarity_tile
from depara.store.schemas import TABLES
from depara.uncertainty import (
    BlockUncertainty,
    PlanLimits,
    UncertaintySettings,
    block_uncertainty,
    plan_uncertainty,
    uncertainty_tables,
)
from tests.similarity.engine.array_block import random_block
from tests.uncertainty.zoo import labels

NUM_PROBES, PLENTY_BYTES = 24, 1 << 30
TERMS = {"node": 1.0, "edge": 2.0}
LABELS = labels(5, 3)
OUTPUTS = [place for place, label in enumerate(LABELS) if label.is_output]
GRAPHS = random_block(len(LABELS), NUM_PROBES, 20)
SETTINGS = UncertaintySettings(num_resamples=50, num_subsets=4)


def scan_scores() -> TileScores:
    target = GRAPHS.part(OUTPUTS)
    return similarity_tile(GRAPHS, target, num_probes=NUM_PROBES, memory_bytes=PLENTY_BYTES)


@pytest.fixture(scope="module")
def blocks() -> list[BlockUncertainty]:
    """All tasks of a plan for three workers."""
    targets = [LABELS[place] for place in OUTPUTS]
    limits = PlanLimits(
        num_probes=NUM_PROBES,
        num_pixels=20,
        memory_bytes=PLENTY_BYTES,
        settings=SETTINGS,
        workers=3,
    )
    plan = plan_uncertainty(LABELS, targets, limits)
    assert len(plan.tasks) > 3
    found = []
    for task in plan.tasks:
        rows, columns = list(task.sources), list(task.targets)
        found.append(
            block_uncertainty(
                GRAPHS.part(rows),
                GRAPHS.part([OUTPUTS[place] for place in columns]),
                sources=[LABELS[place] for place in rows],
                targets=[targets[place] for place in columns],
                num_probes=NUM_PROBES,
                terms=TERMS,
                memory_bytes=PLENTY_BYTES,
                settings=plan.settings,
                rankings=task.rankings,
            )
        )
    return found


@pytest.fixture(scope="module")
def tables(blocks: list[BlockUncertainty]) -> dict[str, pa.Table]:
    return uncertainty_tables(blocks)


@pytest.fixture(scope="module")
def scan() -> dict[str, pd.DataFrame]:
    """The scan's own tables from the same graphs."""
    scores = scan_scores()
    combined = scores.node_AB + TERMS["edge"] * scores.edge_AB
    similarity = pd.DataFrame(
        [
            {
                "source_model": source.model_id,
                "source_layer": source.layer,
                "target_model": LABELS[target].model_id,
                "target_layer": LABELS[target].layer,
                "node_similarity": scores.node_AB[a, b],
                "edge_similarity": scores.edge_AB[a, b],
                "similarity": combined[a, b],
            }
            for a, source in enumerate(LABELS)
            for b, target in enumerate(OUTPUTS)
        ]
    )
    outputs = {LABELS[place].model_id: LABELS[place].layer for place in OUTPUTS}
    depths = {(label.model_id, label.layer): label.depth for label in LABELS}
    return {
        "similarity": similarity,
        "model_ranking": model_ranking(similarity, outputs).to_pandas(),
        "layer_ranking": layer_ranking(similarity, outputs, depths).to_pandas(),
    }


def test_tables_have_their_schemas_with_units(tables: dict[str, pa.Table]):
    assert list(tables) == ["uncertainty", "rank_uncertainty", "stability"]
    for name, table in tables.items():
        assert table.schema.equals(TABLES[name], check_metadata=True)
        assert table.num_rows
        for field in table.schema:
            assert field.metadata[b"description"]
            assert not table[field.name].null_count


def test_without_blocks_tables_are_empty():
    for name, table in uncertainty_tables([]).items():
        assert table.schema.equals(TABLES[name], check_metadata=True)
        assert table.num_rows == 0


def test_the_order_of_the_blocks_is_irrelevant(
    blocks: list[BlockUncertainty], tables: dict[str, pa.Table]
):
    for order in (blocks[::-1], blocks[2:] + blocks[:2]):
        again = uncertainty_tables(order)
        for name, table in tables.items():
            if name == "stability":
                columns = ["correlation", "low", "high"]
                for column in columns:
                    np.testing.assert_allclose(table[column], again[name][column], atol=1e-12)
            else:
                assert again[name].equals(table), name


def test_scores_are_those_of_the_similarity_table(
    tables: dict[str, pa.Table], scan: dict[str, pd.DataFrame]
):
    found = tables["uncertainty"].to_pandas()
    key = ["target_model", "target_layer", "source_model", "source_layer"]
    assert not found.duplicated([*key, "score"]).any()
    pd.testing.assert_frame_equal(found, found.sort_values([*key, "score"], ignore_index=True))
    assert len(found) == 3 * (15 - 3) * 5
    assert (found["num_resamples"] == 50).all()
    assert (found["low"] < found["high"]).all()
    wide = found.pivot(index=key, columns="score", values="value").reset_index()
    both = wide.merge(scan["similarity"], on=key, suffixes=("", "_of_scan"), validate="1:1")
    assert len(both) == len(wide)
    for score in ("node_similarity", "edge_similarity", "similarity"):
        np.testing.assert_allclose(both[score], both[f"{score}_of_scan"], atol=1e-5)


@pytest.mark.parametrize("ranking", ["model", "layer"])
def test_ranks_join_the_scans_rankings_row_by_row(
    tables: dict[str, pa.Table], scan: dict[str, pd.DataFrame], ranking: str
):
    found = tables["rank_uncertainty"].to_pandas().query("ranking == @ranking")
    expected = scan[f"{ranking}_ranking"].rename(columns={"layer": "source_layer"})
    assert len(found) == len(expected) == {"model": 5 * 4, "layer": 5 * 4 * 3}[ranking]
    for column in ("target_model", "source_model", "source_layer", "rank"):
        assert found[column].tolist() == expected[column].tolist()
    group = ["target_model", *(["source_model"] if ranking == "layer" else [])]
    np.testing.assert_allclose(found.groupby(group)["p_first"].sum(), 1)
    assert (found["rank_low"] >= 1).all()
    assert (found["rank_low"] <= found["rank_high"]).all()


def test_stability_is_of_all_targets(tables: dict[str, pa.Table]):
    found = tables["stability"].to_pandas()
    assert found["fraction"].tolist() == pytest.approx([1 / 2, 1 / 4, 1 / 8])
    assert found["num_probes"].tolist() == [12, 6, 3]
    assert (found["num_subsets"] == 4).all()
    assert (found["low"] <= found["correlation"]).all()
    assert (found["correlation"] <= found["high"]).all()
