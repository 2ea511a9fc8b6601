"""Weights brought near: the same model, the same errors, nothing left behind, never too much."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from depara.attribution import Bus
from depara.config import ModelConfig, ScanConfig, parse_scan
from depara.errors import WeightsError
from depara.extraction.ahead import NearWeights, is_worth_fetching, lay_ready, open_near
from depara.extraction.jobs import GraphSettings, ModelJob
from depara.models import describe_model
from depara.types import ModelCard, ProbeRange
from tests.attribution.buses import LateBus
from tests.jobs.zoo import Tiny

SOURCE = "python:tests.jobs.zoo:Tiny"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(3)
    path = tmp_path / "weights.pt"
    torch.save(Tiny().state_dict(), path)
    return path


def model_of(weights: str) -> ModelConfig:
    return ModelConfig(id="m", source=SOURCE, weights=weights, layers=["code"])


def config() -> ScanConfig:
    text = f"probes: {{source: x}}\nmodels: [{{id: m, source: '{SOURCE}'}}]\ncanvas: {{side: 32}}"
    return parse_scan(text).config


def job_of(model: ModelConfig) -> ModelJob:
    card = card_of(model)
    settings = GraphSettings.of(config())
    return ModelJob(model, card, {"code": "k"}, "p", (ProbeRange(0, 4),), settings)


def card_of(model: ModelConfig) -> ModelCard:
    usable = model if "/" in (model.weights or "") and Path(model.weights or "").exists() else None
    known = usable or model.model_copy(update={"weights": "random:0"})
    return describe_model(known, canvas_side=32, features="flatten")[1]


def near(model: ModelConfig) -> Future[NearWeights]:
    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(NearWeights.of, model)
        wait([found])
    return found


def test_a_model_is_the_same_from_weights_that_were_brought_near(weights: Path) -> None:
    job = job_of(model_of(str(weights)))
    one, other = open_near(job, near(job.model)), open_near(job, None)
    assert one.weights_sha256 == other.weights_sha256
    for mine, yours in zip(one.module.parameters(), other.module.parameters(), strict=True):
        assert torch.equal(mine, yours)


def test_a_copy_from_afar_is_read_once_and_removed(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bytes that are opened are those that were fetched, and they do not stay."""
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.pipe("/zoo/weights.pt", weights.read_bytes())
    model = model_of("memory://zoo/weights.pt")
    job = replace(job_of(model_of(str(weights))), model=model)
    fetched = near(model)
    path = fetched.result().path
    assert path.read_bytes() == weights.read_bytes()
    memory.rm("/zoo/weights.pt")
    assert open_near(job, fetched).weights_sha256 == job.card.weights_sha256
    assert not path.exists()


@pytest.mark.parametrize("damage", ["missing", "cut", "other"])
def test_what_is_wrong_is_said_as_it_would_be_without(
    weights: Path, tmp_path: Path, damage: str
) -> None:
    job = job_of(model_of(str(weights)))
    if damage == "missing":
        weights.unlink()
    elif damage == "cut":
        weights.write_bytes(weights.read_bytes()[:500])
    else:
        torch.save({"a": torch.zeros(3)}, weights)
    texts = []
    for fetched in (near(job.model), None):
        with pytest.raises(WeightsError) as caught:
            open_near(job, fetched)
        texts.append(str(caught.value))
    assert texts[0] == texts[1]
    assert "'m'" in texts[0]


def test_files_that_fit_their_part_are_fetched_and_nothing_else(weights: Path) -> None:
    card = card_of(model_of(str(weights)))
    room = 16 * 4 * card.num_parameters
    assert is_worth_fetching(model_of(str(weights)), card, room)
    assert not is_worth_fetching(model_of(str(weights)), card, room - 16)
    assert is_worth_fetching(model_of("s3://zoo/w.pt"), card, room)
    for name in (None, "random:3", "IMAGENET1K_V2", "package://x/w.pt", "s3://z/model.index.json"):
        model = ModelConfig(id="m", source=SOURCE, weights=name)
        assert not is_worth_fetching(model, card, room), name


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Linear(4, 4)
        self.other = nn.Linear(4, 4)
        self.other.weight = self.one.weight
        self.register_buffer("steps", torch.tensor(7))


def test_weights_laid_ready_are_the_same_and_stay_tied() -> None:
    module = Tied().requires_grad_(False)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    size = sum(v.nbytes for v in (module.one.weight, module.one.bias, module.other.bias)) + 8
    assert not lay_ready(module, LateBus(2**20), size - 1)
    assert lay_ready(module, LateBus(2**20), size)
    assert module.other.weight is module.one.weight
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_only_a_device_of_its_own_needs_them_laid_ready(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from depara.extraction import ahead

    asked: list[int] = []
    monkeypatch.setattr(ahead, "lay_ready", lambda module, bus, most: asked.append(most))
    job = job_of(model_of(str(weights)))
    open_near(job, None, Bus())
    assert not asked
    open_near(job, None, Bus(memory_bytes=2**30))
    assert asked == [int(job.settings.compute.memory) // 16]
