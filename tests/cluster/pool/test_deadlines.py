"""Deadlines follow what was measured, stay below the limit, and rise with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cluster.extract.costs import extraction_seconds
from cluster.extract.units import CommitUnit, DecodeUnit, ExtractUnit, ResolveUnit
from cluster.pool.deadlines import DEFAULT_LIMIT_S, FACTOR, FLOOR_S, Deadlines
from depara.config import ModelConfig, ScanConfig
from depara.extraction.jobs import GraphSettings, ModelJob
from depara.types import InputSpec, LayerInfo, ModelCard, ProbeRange, ProbeRef

PROBES = ProbeRange(0, 100)


def job(seconds_per_probe: float, num_features: int = 10) -> ModelJob:
    layer = LayerInfo("a", 0, 1.0, num_features, (num_features,))
    spec = InputSpec(8, (0.5,), (0.5,))
    card = ModelCard("m", "s", "tree", "0" * 64, 250, spec, (layer,), "a", seconds_per_probe)
    model: dict[str, Any] = {"id": "m", "source": "torchvision:resnet18"}
    config = ScanConfig.model_validate({"probes": {"source": "p"}, "models": [model]})
    return ModelJob(config.models[0], card, {"a": "k"}, "p", (PROBES,), GraphSettings.of(config))


def opening(**fields: Any) -> ResolveUnit:
    model = ModelConfig.model_validate({"id": "m", "source": "python:zoo:net", **fields})
    return ResolveUnit(model, 8, "flatten")


def decoding(count: int) -> DecodeUnit:
    return DecodeUnit(tuple(ProbeRef(f"{number}.png") for number in range(count)), 8)


def test_a_quick_model_that_hangs_costs_minutes() -> None:
    quick = Deadlines(DEFAULT_LIMIT_S).of(ExtractUnit(job(0.001), PROBES))
    assert FLOOR_S < quick < 150


def test_a_slow_model_has_many_times_what_was_measured_and_never_more_than_the_limit() -> None:
    one = job(0.1)
    expected_s = extraction_seconds(one.card, one.graph_keys, len(PROBES), one.settings.attribution)
    slow = Deadlines(DEFAULT_LIMIT_S).of(ExtractUnit(one, PROBES))
    assert slow == pytest.approx(FLOOR_S + FACTOR * expected_s, rel=1e-3)
    assert Deadlines(600).of(ExtractUnit(job(100.0), PROBES)) == 600
    assert Deadlines(DEFAULT_LIMIT_S).of(ExtractUnit(job(0.0), PROBES)) == DEFAULT_LIMIT_S


def test_a_higher_limit_gives_all_units_more_and_a_lower_one_caps_them() -> None:
    unit = ExtractUnit(job(0.1), PROBES)
    usual = Deadlines(DEFAULT_LIMIT_S).of(unit)
    assert Deadlines(4 * DEFAULT_LIMIT_S).of(unit) == pytest.approx(4 * usual)
    assert Deadlines(20).of(unit) == 20


def test_a_storage_may_be_gone_for_a_while() -> None:
    unit = ExtractUnit(job(0.1), PROBES)
    assert Deadlines(DEFAULT_LIMIT_S, 180).of(unit) == Deadlines(DEFAULT_LIMIT_S).of(unit) + 180


def test_on_a_slow_machine_the_others_get_more_time() -> None:
    deadlines, unit = Deadlines(DEFAULT_LIMIT_S), ExtractUnit(job(0.1), PROBES)
    before = deadlines.of(unit)
    deadlines.learn(unit, 15.0)
    assert deadlines.of(unit) == before, "what is usual changes nothing"
    deadlines.learn(unit, 100.0)
    assert deadlines.of(unit) > 1.5 * before


def test_edges_have_the_time_that_their_features_ask_for() -> None:
    deadlines = Deadlines(DEFAULT_LIMIT_S)
    small, large = (deadlines.of(CommitUnit(job(0.1, size))) for size in (10, 10_000_000))
    assert small < FLOOR_S + 1
    assert large > FLOOR_S + FACTOR * 10


def test_images_are_told_by_those_decoded_before() -> None:
    deadlines = Deadlines(DEFAULT_LIMIT_S)
    assert deadlines.of(decoding(64)) > 600
    deadlines.learn(decoding(64), 6.4)
    assert deadlines.of(decoding(64)) == pytest.approx(FLOOR_S + FACTOR * 6.4)


def test_opening_has_time_to_read_or_fetch_the_weights(tmp_path: Path) -> None:
    weights = tmp_path / "w.pth"
    with weights.open("wb") as file:
        file.truncate(10**9)
    deadlines = Deadlines(DEFAULT_LIMIT_S)
    assert deadlines.of(opening()) == FLOOR_S
    assert deadlines.of(opening(weights="random:1")) == FLOOR_S
    assert deadlines.of(opening(weights=str(weights))) == pytest.approx(FLOOR_S + 100)
    for fetched in ({"source": "timm:resnet18"}, {"weights": "s3://bucket/w.pth"}):
        assert deadlines.of(opening(**fetched)) > 600
