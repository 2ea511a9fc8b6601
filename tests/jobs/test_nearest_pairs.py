"""`similarity.pairs: nearest`: the rows are those of all pairs, of the nearest models alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cluster.compare import choosing, chosen, parts
from cluster.record.manifest import ScanSummary
from depara import open_scan
from depara.answers import matrix, model_tree, recommend
from depara.errors import ConfigError
from depara.maintenance.verify import verify_output
from depara.report import report_html
from depara.store.layout import graph_folder
from depara.store.storage import Storage
from tests.jobs.inline import QUICK, scan_inline, tiny
from tests.jobs.tables import assert_equal, assert_table_equal, tables

NAMES = ("oak", "elm", "fir", "ash", "yew", "box")
NEAREST: dict[str, Any] = {"similarity": {"pairs": "nearest", "nearest": 2}}
PAIR = ["target_model", "target_layer", "source_model", "source_layer"]
OF_PAIRS = {
    "similarity": PAIR,
    "model_ranking": ["target_model", "source_model"],
    "layer_ranking": ["target_model", "source_model", "layer"],
    "uncertainty": PAIR,
}
Night = Callable[..., ScanSummary]


@pytest.fixture
def night(tmp_path: Path, photos: Path) -> Night:
    def scan(names: tuple[str, ...] = NAMES, output: str = "out", **sections: Any) -> ScanSummary:
        models = [tiny(name, NAMES.index(name)) for name in names]
        sections.setdefault("uncertainty", {"resamples": 0})
        return scan_inline(str(tmp_path / output), photos, models, **{**NEAREST, **sections})

    return scan


def scan_table(output: Path, name: str, scan_id: str | None = None) -> pd.DataFrame:
    return open_scan(str(output), scan_id).table(name)


def test_rows_are_those_of_all_pairs(tmp_path: Path, night: Night) -> None:
    settings: dict[str, Any] = {"nulls": 1, "uncertainty": QUICK}
    summary = night(**settings)
    night(output="all", similarity={"pairs": "outputs"}, **settings)
    one, other = tmp_path / "out", tmp_path / "all"
    near = scan_table(one, "nearest")
    assert near.groupby("target_model")["rank"].apply(list).tolist() == [[1, 2, 3, 4]] * 6
    assert (near["compared"] == (near["rank"] <= 2)).all()
    near = near[near["compared"]]
    assert near.groupby("target_model")["rank"].apply(list).tolist() == [[1, 2]] * 6
    assert near["target_model"].is_monotonic_increasing
    wanted = set(zip(near["target_model"], near["source_model"], strict=True))
    wanted |= {(name, name) for name in NAMES}
    models = scan_table(one, "models")
    stands_for = models.set_index("model_id")["null_of"].fillna(
        models.set_index("model_id").index.to_series()
    )
    for name, keys in OF_PAIRS.items():
        frame, whole = scan_table(one, name), scan_table(other, name)
        pairs = zip(whole["target_model"], whole["source_model"].map(stands_for), strict=True)
        whole = whole[[pair in wanted for pair in pairs]]
        columns = [column for column in frame if column != "rank" or name == "layer_ranking"]
        assert_table_equal(
            frame[columns].sort_values(keys, ignore_index=True),
            whole[columns].sort_values(keys, ignore_index=True),
        )
    assert summary.num_pairs == len(scan_table(one, "similarity")) == 6 * 3 * 6
    ranking = scan_table(one, "model_ranking")
    assert ranking.groupby("target_model")["rank"].apply(list).tolist() == [[1, 2]] * 6
    ranks = scan_table(one, "rank_uncertainty")
    assert set(ranks.loc[ranks["source_layer"] == "code", "rank_high"]) <= {1, 2, 3}
    assert not verify_output(Storage(str(one))).problems


def test_the_chosen_are_the_nearest(tmp_path: Path, night: Night) -> None:
    notes: list[str] = []
    night(notes=notes)
    night(output="all", similarity={"pairs": "outputs"})
    near, whole = (
        scan_table(tmp_path / "out", "nearest"),
        scan_table(tmp_path / "all", "model_ranking"),
    )
    assert len(near) == 24
    near = near[near["compared"]]
    joined = near.merge(whole, on=["target_model", "source_model"], suffixes=("_sketch", ""))
    off = (joined["estimate"] - joined["similarity"]) / joined["deviation"]
    assert off.abs().max() < 4
    missed = 12 - (joined["rank"] <= 2).sum()
    said = open_scan(str(tmp_path / "out")).manifest["nearest"]
    assert said["models"] == 2
    assert missed <= 6 * said["expected_missed"] + 2
    (line,) = [note for note in notes if "chosen by sketches" in note]
    assert "each target is compared with 2 of 5 models" in line


def test_an_unchanged_night_compares_nothing(
    tmp_path: Path, night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "PART_PAIRS", 24)
    first, second = night(), night()
    assert second.num_reused_pairs == second.num_pairs == 54
    output = str(tmp_path / "out")
    assert_equal(tables(output, first.scan_id), tables(output, second.scan_id))
    fact = open_scan(output).manifest["tables"]["similarity"]
    assert len(fact["parts"]) == 3
    assert {part["written_by"] for part in fact["parts"]} == {first.scan_id}


@pytest.mark.parametrize(
    ("before", "part_pairs"), [("nearest", 24), ("nearest", 1 << 19), ("outputs", 24), ("all", 99)]
)
def test_a_model_more_compares_what_it_changes(
    tmp_path: Path, night: Night, monkeypatch: pytest.MonkeyPatch, before: str, part_pairs: int
) -> None:
    monkeypatch.setattr(parts, "PART_PAIRS", part_pairs)
    monkeypatch.setattr(chosen, "_SIZES", (2,))
    fewer = NAMES[:3] + NAMES[4:]
    night(fewer, similarity={"pairs": before, "nearest": 2})
    more = night()
    fresh = night(output="fresh")
    assert 0 < more.num_reused_pairs < more.num_pairs
    near = scan_table(tmp_path / "out", "nearest", more.scan_id)
    assert_table_equal(near, scan_table(tmp_path / "fresh", "nearest", fresh.scan_id))
    near = near[near["compared"]]
    stays = ~((near["target_model"] == "ash") | (near["source_model"] == "ash"))
    if before != "nearest":  # all that is not of the new model, each with itself too
        assert more.num_reused_pairs == 3 * (stays.sum() + 5)
    for name, keys in OF_PAIRS.items():
        assert_table_equal(
            scan_table(tmp_path / "out", name, more.scan_id).sort_values(keys, ignore_index=True),
            scan_table(tmp_path / "fresh", name, fresh.scan_id).sort_values(
                keys, ignore_index=True
            ),
        )


def test_nobody_looks_for_what_is_known(
    tmp_path: Path, night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sketches are read of new models and their targets; of an unchanged zoo, none."""
    looked: list[tuple[int, int]] = []
    plain = choosing.best_sources

    def noted(read: Any, sources: Any, targets: Any, *arguments: Any, **options: Any) -> Any:
        looked.append((len(sources), len(targets)))
        return plain(read, sources, targets, *arguments, **options)

    monkeypatch.setattr(choosing, "best_sources", noted)
    night(NAMES[:5])
    assert looked == [(5, 5)]
    night(NAMES[:5])
    assert looked == [(5, 5)]
    night()
    assert looked[1:] == [(6, 1), (1, 5)]
    night(similarity={**NEAREST["similarity"], "terms": {"node": 1}})
    assert looked[3:] == [(6, 6)]
    less = night(NAMES[1:])
    fresh = night(NAMES[1:], output="fresh")
    keys = ["target_model", "source_model"]
    for name in ("nearest", "model_ranking"):
        one = scan_table(tmp_path / "out", name, less.scan_id)
        other = scan_table(tmp_path / "fresh", name, fresh.scan_id)
        few = one[one["rank"] <= 3].sort_values(keys, ignore_index=True)
        assert_table_equal(few, other[other["rank"] <= 3].sort_values(keys, ignore_index=True))


def test_all_pairs_take_nothing_from_some(tmp_path: Path, night: Night) -> None:
    night()
    whole = night(similarity={"pairs": "outputs"})
    assert (whole.num_pairs, whole.num_reused_pairs) == (108, 0)
    assert scan_table(tmp_path / "out", "similarity")["similarity"].notna().all()


def test_few_models_are_all_compared(tmp_path: Path, night: Night) -> None:
    similarity = {"pairs": "nearest", "nearest": 5}
    assert night(similarity=similarity).num_pairs == 108
    assert open_scan(str(tmp_path / "out")).manifest["pairs"] == "outputs"
    assert scan_table(tmp_path / "out", "nearest").empty
    assert night(similarity=similarity).num_reused_pairs == 108


def test_a_table_that_lacks_what_it_should_have_is_compared_anew(
    tmp_path: Path, night: Night
) -> None:
    first = night(NAMES[:5])
    path = tmp_path / "out/scans" / first.scan_id / "similarity.parquet"
    path.write_bytes(path.read_bytes()[:-9])
    more = night()
    assert more.num_reused_pairs == 0
    fresh = night(output="fresh")
    one, other = tmp_path / "out", tmp_path / "fresh"
    assert_table_equal(
        scan_table(one, "similarity", more.scan_id), scan_table(other, "similarity", fresh.scan_id)
    )


def test_a_damaged_graph_is_mended_while_the_nearest_are_looked_for(
    tmp_path: Path, night: Night
) -> None:
    night(NAMES[:5])
    scan = open_scan(str(tmp_path / "out"))
    folder = Path(scan.output) / graph_folder(scan.graph_key("elm"))
    (folder / "sketch.parquet").unlink()
    path = next(folder.glob("nodes-*.parquet"))
    path.write_bytes(path.read_bytes()[:-9])
    notes: list[str] = []
    more = night(notes=notes)
    assert any("damaged" in note for note in notes)
    fresh = night(output="fresh")
    for name in ("nearest", "similarity"):
        one = scan_table(tmp_path / "out", name, more.scan_id)
        assert_table_equal(one, scan_table(tmp_path / "fresh", name, fresh.scan_id))


def test_answers_are_of_the_nearest(tmp_path: Path, night: Night) -> None:
    night()
    output = str(tmp_path / "out")
    scan = open_scan(output)
    near = scan.table("nearest").query("compared").set_index("target_model")["source_model"]
    for name in NAMES:
        ranked = scan.rank_models(name)["source_model"].tolist()
        assert sorted(ranked) == sorted(near[name])
        assert len(scan.rank_layers(name, ranked[0])) == 3
        assert recommend(scan, name).first.model == ranked[0]
        (other, *_) = set(NAMES) - {name, *ranked}
        with pytest.raises(ConfigError, match=f"{other!r} is none of the 2 models nearest to"):
            scan.rank_layers(name, other)
    assert np.isnan(matrix(scan).to_numpy()).sum() == 6 * (6 - 2)
    with pytest.raises(ConfigError, match=r"were not compared .*pairs: nearest.*pairs: outputs"):
        model_tree(scan)
    text, _ = report_html(scan)
    assert "its 2 nearest" in text


def test_terms_that_sketches_lack_are_refused(night: Night) -> None:
    terms = {"node": 1, "node_centred": 1}
    with pytest.raises(ConfigError, match="chooses by sketches, which have node, edge, directed"):
        night(similarity={"pairs": "nearest", "terms": terms})
    with pytest.raises(ConfigError, match="nearest"):
        night(similarity={"pairs": "nearest", "nearest": 0})
