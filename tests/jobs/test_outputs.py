"""Whole scans that keep what classifiers return: files, scores, and where there are none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from depara.maintenance import verify_output
from depara.scan import open_scan
from depara.store.graphs import open_graph
from depara.store.storage import Storage
from tests.jobs.inline import scan_inline, tiny
from tests.oracle import labelled as oracle


def classifier(name: str, seed: int, kind: str = "Classifier", **fields: Any) -> dict[str, Any]:
    """One model with logits behind its last layer."""
    return {**tiny(name, seed, **fields), "source": f"python:tests.jobs.zoo:{kind}"}


MODELS = [classifier("a", 1), classifier("b", 2), tiny("encoder", 3)]


def outputs_of(root: str) -> dict[tuple[str, str], np.ndarray | None]:
    """What is kept beside each graph, by model and layer."""
    layers = open_scan(root).table("layers")
    names = zip(layers["model_id"], layers["layer"], layers["graph_key"], strict=True)
    return {(m, layer): open_graph(Storage(root), key).read_outputs() for m, layer, key in names}


def test_labelled_probes_keep_logits_beside_the_output_layer(photos: Path, tmp_path: Path) -> None:
    summary = scan_inline(str(tmp_path), photos, MODELS, similarity={"hard": [50]}, labels=True)
    assert summary.failures == ()
    found = outputs_of(str(tmp_path))
    kept = {name for name, values in found.items() if values is not None}
    assert kept == {("a", "code"), ("b", "code")}
    assert {found[name].shape for name in kept} == {(12, 5)}  # type: ignore[union-attr]
    scan = open_scan(str(tmp_path))
    labels = scan.table("probes")["label"].tolist()
    scores = scan.table("label_scores").set_index(["model_id", "layer", "score"])
    for model, layer in kept:
        expected = oracle.leep(found[model, layer], labels)
        assert abs(scores.loc[(model, layer, "leep"), "value"] - expected) < 1e-6
    for name in (("a", "block1", "leep"), ("encoder", "code", "nce")):
        assert "no return value" in scores.loc[name, "reason"]
    assert scores["value"].xs("knn@hard50", level="score").notna().all()
    ranking = scan.table("label_ranking")
    assert set(ranking["num_scores"]) == {8}
    assert "leep" in set(ranking["score"])
    assert verify_output(Storage(str(tmp_path))).problems == ()


def test_graphs_made_without_are_used_and_say_so_and_fresh_ones_have_it(
    photos: Path, tmp_path: Path
) -> None:
    root = str(tmp_path)
    scan_inline(root, photos, MODELS[:2], store_outputs=False, labels=True)
    first = open_scan(root).table("layers")["graph_key"].tolist()
    scan_inline(root, photos, MODELS[:2], labels=True)
    assert all(values is None for values in outputs_of(root).values())
    scores = open_scan(root).table("label_scores")
    assert scores[scores["score"] == "leep"]["reason"].str.contains("--fresh").all()
    scan_inline(root, photos, MODELS[:2], fresh=True, labels=True)
    assert open_scan(root).table("layers")["graph_key"].tolist() == first
    assert sum(values is not None for values in outputs_of(root).values()) == 2
    scores = open_scan(root).table("label_scores")
    assert scores[scores["score"] == "leep"]["value"].notna().sum() == 2


def test_without_labels_it_is_kept_where_it_is_asked_for(photos: Path, tmp_path: Path) -> None:
    probes = {"source": str(photos / "discs"), "count": 12}
    for name, store, count in (("off", None, 0), ("on", True, 1)):
        root = str(tmp_path / name)
        scan_inline(root, photos, MODELS[1:], probes=probes, store_outputs=store, labels=True)
        assert sum(values is not None for values in outputs_of(root).values()) == count


def test_a_return_value_that_depends_on_the_batch_is_not_kept_and_noted(
    photos: Path, tmp_path: Path
) -> None:
    models = [classifier("a", 1, "ComparesInBatch"), MODELS[1]]
    assert scan_inline(str(tmp_path), photos, models, labels=True).failures == ()
    kept = {name for name, values in outputs_of(str(tmp_path)).items() if values is not None}
    assert kept == {("b", "code")}
    notes = open_scan(str(tmp_path)).table("notes")
    (message,) = notes[notes["kind"] == "outputs"]["message"]
    assert "depends on the others of its batch" in message


def test_the_return_value_is_the_cut_where_the_model_is_cut_there(
    photos: Path, tmp_path: Path
) -> None:
    models = [classifier("a", 1, layers=["output"]), classifier("b", 2, layers=["output"])]
    scan_inline(str(tmp_path), photos, models, labels=True)
    found = outputs_of(str(tmp_path))
    assert set(found) == {("a", "output"), ("b", "output")}
    layers = open_scan(str(tmp_path)).table("layers")
    for model, key in zip(layers["model_id"], layers["graph_key"], strict=True):
        values = found[model, "output"]
        assert values is not None
        wide = torch.from_numpy(values).double()
        grams = open_graph(Storage(str(tmp_path)), key).read_grams()
        np.testing.assert_allclose(grams.raw_NN, (wide @ wide.T).numpy(), rtol=1e-5, atol=1e-6)


def test_other_shares_of_hard_probes_are_scored_anew(photos: Path, tmp_path: Path) -> None:
    root = str(tmp_path)
    for hard in ([], [50], [50, 25], []):
        scan_inline(root, photos, MODELS[:2], similarity={"hard": hard}, labels=True)
        scores = set(open_scan(root).table("label_scores")["score"])
        assert {name for name in scores if name.startswith("knn")} == {
            "knn",
            *(f"knn@hard{percent}" for percent in hard),
        }
        ranked = set(open_scan(root).table("label_ranking")["score"])
        assert {f"logme@hard{percent}" for percent in hard} <= ranked
