"""A query of the few models that sketches say are nearest: graphs of the others are not read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from depara import open_scan
from depara.errors import ConfigError
from depara.query import QueryAnswer
from depara.store.graphs import CommittedGraph
from tests.cli.test_query import run
from tests.jobs.inline import scan_inline
from tests.jobs.tables import assert_table_equal
from tests.query.models import NEW, ZOO

CENTRED = "node_centred"


def ask(output: Path, size: int | None, **options: Any) -> QueryAnswer:
    return open_scan(str(output)).query(NEW, short_list=size, **options)


def nearest_two(whole: Path) -> set[str]:
    """The models whose output graphs have the highest estimates, in the scan with the model."""
    scan = open_scan(str(whole))
    rows = scan.nearest("new", top=100, exact=False).rows
    outputs = [scan.output_layer(model) for model in rows["source_model"]]
    return set(rows[rows["source_layer"] == outputs]["source_model"].head(2))


def test_those_nearest_by_sketches_are_compared_exactly(output: Path, whole: Path) -> None:
    models = nearest_two(whole)
    found, every = ask(output, 2), ask(output, None)
    assert found.query_id != every.query_id
    assert set(found.sources()["source_model"]) == models
    assert set(found.targets()["target_model"]) == models
    assert set(found.targets()["num_sources"]) == {2}
    assert (found.short_list_of, every.short_list_of) == (3, None)
    columns = {"source_model", "target_model"}
    due = every.table("similarity")
    kept = due[list(columns)].isin([*models, "new"]) | due[list(columns)].apply(
        lambda names: names.str.partition(".null")[0].isin(models)
    )
    due = due[kept.all(axis=1)].reset_index(drop=True)
    mine = found.table("similarity")
    assert mine[CENTRED].isna().all()
    assert due[CENTRED].notna().all()
    assert_table_equal(mine.drop(columns=CENTRED), due.drop(columns=CENTRED), atol=2e-6)
    ranked = every.table("model_ranking").query("target_model == 'new'")
    order = ranked[ranked["source_model"].isin(models)].sort_values("rank")["source_model"]
    assert list(found.sources()["source_model"]) == list(order)


def test_graphs_of_the_others_are_not_read_once_there_are_sketches(
    output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = ask(output, 2)
    left = ({"a", "b", "c"} - set(first.sources()["source_model"])).pop()
    read: set[str] = set()
    for name in ("read_maps", "read_edges", "read_grams"):
        plain = getattr(CommittedGraph, name)

        def noted(graph: CommittedGraph, *arguments: Any, plain: Any = plain) -> Any:
            read.add(graph.marker.model_id)
            return plain(graph, *arguments)

        monkeypatch.setattr(CommittedGraph, name, noted)
    again = ask(output, 2, fresh=True)
    assert again.targets().equals(first.targets())
    assert {"new", *again.sources()["source_model"]} <= read
    assert left not in read


def test_a_list_as_long_as_the_zoo_is_all_of_it(output: Path) -> None:
    found, every = ask(output, 3), ask(output, None)
    assert_table_equal(
        found.table("model_ranking").drop(columns=CENTRED),
        every.table("model_ranking").drop(columns=CENTRED),
    )
    assert ask(output, 3).is_reused


def test_a_query_that_needs_the_mean_map_of_all_is_refused(photos: Path, tmp_path: Path) -> None:
    for number, weights in enumerate(
        ({"terms": {"node": 1, CENTRED: 1}}, {"layer_terms": {CENTRED: 1}})
    ):
        output = tmp_path / str(number)
        scan_inline(str(output), photos, ZOO, similarity=weights, uncertainty={"resamples": 0})
        with pytest.raises(ConfigError, match=CENTRED):
            ask(output, 2)
    with pytest.raises(ConfigError, match="a short list of 0 models: give at least 1"):
        ask(output, 0)


def test_the_command_says_that_ranks_are_among_a_few(output: Path) -> None:
    arguments = ["--source", "python:tests.jobs.zoo:Tiny", "--weights", "random:9"]
    said = run(str(output), *arguments, "--short-list", "2").stdout
    assert "of the 3 models of the scan, the 2 nearest by sketches were compared" in said
    assert "nearest by sketches" not in run(str(output), *arguments, "--short-list", "3").stdout
