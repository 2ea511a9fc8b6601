"""The gate before a faster arithmetic: layer by layer, measured on the first probes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr

from depara.config.schema import Arithmetic
from depara.errors import ModelError, OutOfMemoryError
from depara.extraction.precision import (
    GATE_PROBES,
    LIMITS,
    Agreement,
    Chosen,
    PrecisionGate,
    Sample,
    map_cosines,
)
from depara.types import LayerInfo

RNG = np.random.default_rng(0)
MAPS = RNG.normal(size=(8, 50)).astype(np.float16)
EDGES = RNG.uniform(-1, 1, 28).astype(np.float32)
CANVAS = np.zeros((20, 8, 8, 3), np.uint8)
IDS = [f"p{number}" for number in range(20)]


class Fake:
    """An extractor that cannot do anything but be closed."""

    def __init__(self, arithmetic: str, proven: Fake | None) -> None:
        self.arithmetic, self.proven, self.is_closed = arithmetic, proven, False

    def close(self) -> None:
        self.is_closed = True


def near(noise: float, seed: int = 1) -> np.ndarray:
    return (MAPS + noise * np.random.default_rng(seed).normal(size=MAPS.shape)).astype(np.float16)


def sample(noise: float = 0.0, seconds: float = 1.0, edges: np.ndarray = EDGES) -> Sample:
    """Two layers; the second one is off by the noise."""
    return Sample({"a": MAPS, "b": near(noise)}, {"a": EDGES, "b": edges}, seconds)


def choose(
    monkeypatch: pytest.MonkeyPatch,
    samples: dict[str, Any],
    asked: str = "bf16",
    candidates: tuple[Arithmetic, ...] = ("bf16",),
    count: int = 20,
) -> tuple[Chosen, list[Fake]]:
    made: list[Fake] = []

    def make(arithmetic: Arithmetic, proven: Any) -> Any:
        assert all(one.is_closed for one in made), "their weights would lie there twice"
        made.append(Fake(arithmetic, proven))
        return made[-1]

    def take(self: PrecisionGate, extractor: Any, canvas: Any, ids: Any, is_timed: bool) -> Sample:
        assert is_timed is (asked == "auto")
        assert len(canvas) == len(ids) == min(GATE_PROBES, count)
        found = samples[extractor.arithmetic]
        if isinstance(found, Exception):
            raise found
        return found  # type: ignore[no-any-return]

    monkeypatch.setattr(PrecisionGate, "_sample", take)
    layers = [LayerInfo(name, place, 1.0, 4, (4,)) for place, name in enumerate("ab")]
    gate = PrecisionGate("m", layers, make, lambda count: pytest.fail("no bank"), "zscore")
    return gate.choose(asked, candidates, CANVAS[:count], IDS[:count]), made  # type: ignore[arg-type]


def test_cosines_are_those_of_each_probe() -> None:
    other = near(0.5)
    expected = [
        float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
        for a, b in zip(MAPS.astype(float), other.astype(float), strict=True)
    ]
    np.testing.assert_allclose(map_cosines(MAPS, other), expected, rtol=1e-12)


def test_empty_maps_agree_with_empty_maps_alone() -> None:
    one, other = MAPS.copy(), MAPS.copy()
    one[0] = other[0] = 0
    other[1] = 0
    assert map_cosines(one, other)[:3] == pytest.approx([1, 0, 1])


def test_edges_are_compared_by_rank() -> None:
    edges = (EDGES + 0.3 * RNG.normal(size=28)).astype(np.float32)
    found = sample(edges=edges).agreement(sample(), "b")
    assert found.edge_correlation == pytest.approx(spearmanr(edges, EDGES).statistic, abs=1e-6)
    assert sample(edges=np.exp(EDGES)).agreement(sample(), "b").edge_correlation == pytest.approx(1)


@pytest.mark.parametrize("field", ["map_cosine", "least_map_cosine", "edge_correlation"])
def test_each_limit_counts_and_nan_passes_none(field: str) -> None:
    whole = vars(LIMITS)
    assert not Agreement(**whole).shortfall(), "the limit itself will do"
    for value in (whole[field] - 1e-6, float("nan")):
        text = Agreement(**{**whole, field: value}).shortfall()
        assert f"(at least {whole[field]:g})" in text
        assert "," not in text


def test_a_layer_that_agrees_is_computed_so_and_another_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chosen, made = choose(monkeypatch, {"fp32": sample(), "bf16": sample(0.4)})
    assert {name: one.computed_in for name, one in chosen.layers.items()} == {
        "a": "bf16",
        "b": "fp32",
    }
    assert chosen.layers["a"].note is None
    agreed = {name: pytest.approx(1) for name in vars(LIMITS)}
    assert chosen.layers["a"].record() == {"computed_in": "bf16", **agreed}
    note = chosen.layers["b"].note
    assert note is not None
    assert (note.kind, note.layer) == ("precision", "b")
    assert "computed in fp32: in bf16 its first probes have mean cosine of the maps 0.9" in (
        note.message
    )
    record = chosen.layers["b"].record()
    assert record["computed_in"] == "fp32"
    assert record["map_cosine"] < LIMITS.map_cosine, "what was measured is kept"
    assert [one.arithmetic for one in made] == ["fp32", "bf16"]
    assert made[1].proven is made[0]
    assert chosen.proven is made[0]


def test_what_cannot_run_in_it_runs_in_fp32_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    error = ModelError("m: raised: expected Float")
    chosen, _ = choose(monkeypatch, {"fp32": sample(), "bf16": error})
    assert {one.computed_in for one in chosen.layers.values()} == {"fp32"}
    note = chosen.layers["a"].note
    assert note is not None
    assert "cannot be run in bf16 (ModelError: m: raised: expected Float)" in note.message


def test_what_cannot_run_in_fp32_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelError, match="unplugged"):
        choose(monkeypatch, {"fp32": ModelError("unplugged"), "bf16": sample()})
    with pytest.raises(OutOfMemoryError):
        choose(monkeypatch, {"fp32": sample(), "bf16": OutOfMemoryError("full")})


def test_too_few_probes_are_no_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen, made = choose(monkeypatch, {}, count=3)
    assert not made
    assert {one.computed_in for one in chosen.layers.values()} == {"fp32"}
    note = chosen.layers["a"].note
    assert note is not None
    assert "compute.unit_probes at least 4" in note.message


@pytest.mark.parametrize(
    ("seconds", "noise", "expected"),
    [
        ({"fp32": 1.0, "tf32": 0.6, "bf16": 0.5}, 0.0, {"a": "bf16", "b": "bf16"}),
        ({"fp32": 1.0, "tf32": 0.4, "bf16": 0.5}, 0.0, {"a": "tf32", "b": "tf32"}),
        ({"fp32": 1.0, "tf32": 0.6, "bf16": 0.5}, 0.4, {"a": "bf16", "b": "tf32"}),
        ({"fp32": 1.0, "tf32": 1.2, "bf16": 0.95}, 0.0, {"a": "fp32", "b": "fp32"}),
        ({"fp32": 1.0, "tf32": 1.2, "bf16": 0.5}, 0.4, {"a": "bf16", "b": "fp32"}),
    ],
)
def test_auto_takes_the_fastest_that_agrees(
    monkeypatch: pytest.MonkeyPatch,
    seconds: dict[str, float],
    noise: float,
    expected: dict[str, str],
) -> None:
    samples = {name: sample(0.0, one) for name, one in seconds.items()}
    samples["bf16"] = sample(noise, seconds["bf16"])
    chosen, _ = choose(monkeypatch, samples, "auto", ("bf16", "tf32"))
    assert {name: one.computed_in for name, one in chosen.layers.items()} == expected
    if expected["a"] == "fp32":
        assert chosen.layers["a"].note is None, "that nothing is faster is no fault"
