"""What to start from for labelled probes, from a real scan and from its absence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from depara import open_scan
from depara.answers import recommend_for_labels
from depara.catalog import votes
from depara.errors import ConfigError
from tests.answers.scans import scan_of
from tests.jobs.inline import scan_inline, tiny


def test_a_scan_of_labelled_probes_ranks_models_and_cuts(scan_folder: str) -> None:
    scan = open_scan(scan_folder)
    found = scan.recommend_for_labels()
    assert sorted(found.models["model_id"]) == ["a", "b", "c"]
    assert found.models["rank"].tolist() == [1, 2, 3]
    assert (found.num_probes, found.num_classes) == (24, 2)
    defined = scan.table("label_scores").dropna(subset="value")
    assert set(found.scores) == set(defined["score"])
    assert found.others == ["lfc", "sfda", "ncti"]
    assert found.num_scores == len(found.scores) - 3
    first = found.models.iloc[0]
    assert first["standing"] == "first"
    layers = found.ranking[
        (found.ranking["ranking"] == "layer") & (found.ranking["score"] == "consensus")
    ]
    best = layers[(layers["model_id"] == first["model_id"]) & (layers["rank"] == 1)]
    assert best["layer"].tolist() == [first["cut"]]
    assert found.sentence.startswith(f"start from {first['model_id']}, cut at {first['cut']}: ")
    assert "half samples" in found.sentence


def test_the_rank_by_a_score_is_that_of_its_values(scan_folder: str) -> None:
    scan = open_scan(scan_folder)
    layers = scan.table("layers")
    outputs = layers[layers["is_output"]][["model_id", "layer"]]
    values = scan.table("label_scores").merge(outputs, on=["model_id", "layer"])
    ranking = scan.table("label_ranking")
    models = ranking[(ranking["ranking"] == "model") & (ranking["score"] != "consensus")]
    for score, part in models.groupby("score"):
        expected = values[values["score"] == score].sort_values(
            ["value", "model_id"], ascending=[False, True]
        )
        by_rank = part.sort_values("rank")
        assert by_rank["model_id"].tolist() == expected["model_id"].tolist(), score
        assert by_rank["value"].tolist() == expected["value"].tolist()
    consensus = ranking[(ranking["ranking"] == "model") & (ranking["score"] == "consensus")]
    models = models[models["score"].map(votes)]
    means = models.groupby("model_id")["rank"].mean()
    tied = models.groupby(["score", "value"]).size().max() > 1
    if not tied:
        assert dict(zip(consensus["model_id"], consensus["value"], strict=True)) == pytest.approx(
            means.to_dict()
        )


def test_why_there_is_none(tmp_path: Path, photos: Path) -> None:
    with pytest.raises(ConfigError, match=r"of a version without a ranking by labels: scan again"):
        recommend_for_labels(scan_of(np.zeros((1, 1)), ["a"]))
    flat, output = tmp_path / "flat", str(tmp_path / "out")
    flat.mkdir()
    for place, photo in enumerate(sorted(photos.rglob("*.png"))):
        (flat / f"{place}.png").write_bytes(photo.read_bytes())
    scan_inline(
        output, flat, [tiny("a", 0), tiny("b", 1)], uncertainty={"resamples": 0}, labels=True
    )
    with pytest.raises(ConfigError, match=r"its probes have no labels: .*probes.label_column"):
        open_scan(output).recommend_for_labels()


def test_an_unchanged_night_keeps_the_ranking_and_a_new_model_makes_it_anew(
    scan_folder: str, photos: Path, tmp_path: Path
) -> None:
    import shutil

    output = str(tmp_path / "out")
    shutil.copytree(scan_folder, output)
    sections = {"probes": {"source": str(photos), "count": 24}}
    before = open_scan(output).table("label_ranking")
    models = [tiny("a", 0), tiny("b", 1), tiny("c", 2)]
    scan_inline(output, photos, models, **sections, labels=True)
    again = open_scan(output).table("label_ranking")
    assert before.equals(again)
    scan_inline(output, photos, [*models, tiny("d", 3)], **sections, labels=True)
    wider = open_scan(output).table("label_ranking")
    consensus = wider[(wider["ranking"] == "model") & (wider["score"] == "consensus")]
    assert sorted(consensus["model_id"]) == ["a", "b", "c", "d"]
    assert consensus["num_subsets"].notna().all()
