"""Which models failed in the extraction: a model is good when all its graphs are committed."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.extract.graphs import extraction_failures
from cluster.extract.plan import ScanPlan, make_plan
from cluster.pool.units import GroupResult
from depara.config import parse_scan
from depara.store.storage import Storage
from depara.types import Failure, InputSpec, LayerInfo, ModelCard

SCAN = """
probes: {source: x}
models: [{id: a, source: "python:z:A"}, {id: twin, source: "python:z:A"}]
"""


def plan(*, twin_weights: str = "0") -> ScanPlan:
    layers = tuple(LayerInfo(f"l{i}", i, (i + 1) / 2, 8, (8,)) for i in range(2))
    spec = InputSpec(224, (0.5,) * 3, (0.5,) * 3)
    cards = [
        ModelCard(name, "s", "arch", weights * 64, 1, spec, layers, "l1", 0.1)
        for name, weights in (("a", "0"), ("twin", twin_weights))
    ]
    return make_plan(parse_scan(SCAN).config, cards, "set", 100, lambda keys: ())


FAILURE = Failure(model_id="a", stage="extract", error_type="ModelError", message="unplugged")
FAILED = {"a": GroupResult("a", failure=FAILURE)}


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(str(tmp_path))


def test_good_models_are_no_failures(storage: Storage) -> None:
    assert extraction_failures(plan(), {"a": GroupResult("a")}, storage) == []
    assert extraction_failures(plan(), {}, storage) == []


def test_a_failed_model_takes_those_of_the_same_weights_with_it(storage: Storage) -> None:
    own, other = extraction_failures(plan(), FAILED, storage)
    assert own is FAILURE
    assert (other.model_id, other.stage, other.layer) == ("twin", "extract", "l0")
    assert other.message == "a model with the same weights failed, and with it their graphs"


def test_it_leaves_models_of_other_weights_alone(storage: Storage) -> None:
    assert extraction_failures(plan(twin_weights="1"), FAILED, storage) == [FAILURE]


def test_a_twin_whose_graphs_another_scan_has_committed_is_good(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cluster.extract import graphs

    whole = plan()
    monkeypatch.setattr(graphs, "committed_keys", lambda storage, keys: set(keys))
    assert extraction_failures(whole, FAILED, storage) == [FAILURE]
    first = whole.models[0].graphs[0].key
    monkeypatch.setattr(graphs, "committed_keys", lambda storage, keys: {first})
    (_, other) = extraction_failures(whole, FAILED, storage)
    assert other.layer == "l1", "the first that is lacking"
