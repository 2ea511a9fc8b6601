"""Without a network a hub is asked once, and what is cached is used all the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from depara.config.schema import ModelConfig
from depara.errors import ModelError
from depara.models import hub, open_model

transformers = pytest.importorskip("transformers")
huggingface_hub = pytest.importorskip("huggingface_hub")

Config = Callable[..., ModelConfig]
VIT = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "image_size": 16,
    "patch_size": 8,
}


class _Session:
    """Counts what it is asked; answers nothing, or a status."""

    def __init__(self, status: int | None = None) -> None:
        self.status = status
        self.num_asked = 0

    def head(self, url: str, **_: object) -> Any:
        self.num_asked += 1
        if self.status is None:
            raise OSError(f"{url}: no route to host")
        return type("Answer", (), {"status_code": self.status})


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of a hub that may be asked."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(hub, "_answered", set())
    monkeypatch.setattr(hub, "_silent_until", {})
    return tmp_path


def _silent(monkeypatch: pytest.MonkeyPatch, status: int | None = None) -> _Session:
    session = _Session(status)
    monkeypatch.setattr(huggingface_hub, "get_session", lambda: session)
    return session


def _store(cache: Path, name: str) -> None:
    """Puts a model into the cache as a download does."""
    commit = "a" * 40
    folder = cache / f"models--{name.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(commit)
    transformers.ViTModel(transformers.ViTConfig(**VIT)).save_pretrained(
        folder / "snapshots" / commit
    )


@pytest.mark.parametrize("status", [None, 407, 503])
def test_a_silent_hub_is_asked_once_for_all_models(
    model_config: Config, cache: Path, monkeypatch: pytest.MonkeyPatch, status: int | None
) -> None:
    session = _silent(monkeypatch, status)
    for source in ("hf:some/model", "hf:other/model"):
        with pytest.raises(ModelError, match=r"not in the cache .* cannot be reached") as caught:
            open_model(model_config(source, weights=None), canvas_side=16)
        assert "HF_ENDPOINT" in str(caught.value)
    pytest.importorskip("timm")
    with pytest.raises(ModelError, match=r"timm:resnet18.* cannot be reached .*weights a file"):
        open_model(model_config("timm:resnet18.a1_in1k", weights=None), canvas_side=16)
    assert session.num_asked == 1
    assert huggingface_hub.constants.HF_HUB_OFFLINE is False


def test_cached_models_open_without_a_network(
    model_config: Config, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _store(cache, "some/model")
    session = _silent(monkeypatch)
    model = open_model(model_config("hf:some/model", weights=None), canvas_side=16)
    assert model.input.side == 16
    assert session.num_asked == 1


def test_a_local_folder_asks_nobody(
    model_config: Config, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = _silent(monkeypatch)
    transformers.ViTModel(transformers.ViTConfig(**VIT)).save_pretrained(cache / "own")
    open_model(model_config(f"hf:{cache / 'own'}", weights=None), canvas_side=16)
    assert session.num_asked == 0


def test_where_the_user_forbids_the_network_nobody_is_asked(
    model_config: Config, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = _silent(monkeypatch)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="HF_HUB_OFFLINE is set: unset HF_HUB_OFFLINE"):
        open_model(model_config("hf:some/model", weights=None), canvas_side=16)
    assert session.num_asked == 0


def test_after_a_while_a_silent_place_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "_answered", set())
    monkeypatch.setattr(hub, "_silent_until", {})
    now = [0.0]
    monkeypatch.setattr(hub.time, "monotonic", lambda: now[0])
    answers: list[Exception | None] = [OSError("no route"), None]
    asked = []

    def ask() -> None:
        answer = answers[len(asked)]
        asked.append(answer)
        if answer is not None:
            raise answer

    assert hub.silence("place", ask) == "OSError: no route"
    assert hub.silence("place", ask) == "OSError: no route"
    now[0] = 1000.0
    assert hub.silence("place", ask) is None
    assert hub.silence("place", ask) is None
    assert len(asked) == 2
