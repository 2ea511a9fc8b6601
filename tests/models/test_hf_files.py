"""Hugging Face folders of every usual form: opened, or refused with words that work."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from depara.config.schema import ModelConfig
from depara.errors import ModelError, WeightsError
from depara.models import LoadedModel, open_model
from depara.models.zoo import describe_model

transformers = pytest.importorskip("transformers")

Config = Callable[..., ModelConfig]
VIT = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "image_size": 16,
    "patch_size": 4,
}
SAFE = "model.safetensors"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    folder = tmp_path / "vit"
    transformers.ViTForImageClassification(transformers.ViTConfig(**VIT)).save_pretrained(folder)
    return folder


@pytest.fixture
def opened(model_config: Config) -> Callable[..., LoadedModel]:
    def open_source(source: str, **fields: Any) -> LoadedModel:
        return open_model(model_config(source, **{"weights": None, **fields}), canvas_side=16)

    return open_source


def _same(model: LoadedModel, stored: dict[str, torch.Tensor]) -> bool:
    own = model.module.state_dict()
    return torch.equal(own["classifier.weight"], stored["classifier.weight"]) and torch.equal(
        own["vit.embeddings.cls_token"], stored["vit.embeddings.cls_token"]
    )


def _as_pickle(folder: Path, *, shards: int) -> dict[str, torch.Tensor]:
    stored = load_file(folder / SAFE)
    (folder / SAFE).unlink()
    if shards == 1:
        torch.save(stored, folder / "pytorch_model.bin")
        return stored
    weight_map = {}
    for number in range(shards):
        name = f"pytorch_model-{number + 1:05d}-of-{shards:05d}.bin"
        part = {key: stored[key] for key in sorted(stored)[number::shards]}
        torch.save(part, folder / name)
        weight_map |= dict.fromkeys(part, name)
    index = folder / "pytorch_model.bin.index.json"
    index.write_text(json.dumps({"weight_map": weight_map}))
    return stored


@pytest.mark.parametrize("shards", [1, 3])
def test_folders_with_pickles_alone_are_opened(
    opened: Callable[..., LoadedModel], folder: Path, shards: int
) -> None:
    before = opened(f"hf:{folder}")
    stored = _as_pickle(folder, shards=shards)
    assert _same(opened(f"hf:{folder}"), stored)
    assert opened(f"hf:{folder}").weights_sha256 == before.weights_sha256


def test_a_pickle_with_code_is_refused(opened: Callable[..., LoadedModel], folder: Path) -> None:
    (folder / SAFE).unlink()
    torch.save(torch.nn.Linear(2, 2), folder / "pytorch_model.bin")
    with pytest.raises(WeightsError, match="a pickle that can run code is refused"):
        opened(f"hf:{folder}")


def test_sharded_safetensors_are_opened_by_folder_and_by_index(
    opened: Callable[..., LoadedModel], folder: Path
) -> None:
    stored = load_file(folder / SAFE)
    module = transformers.ViTForImageClassification.from_pretrained(folder)
    (folder / SAFE).unlink()
    module.save_pretrained(folder, max_shard_size="4KB")
    index = folder / f"{SAFE}.index.json"
    assert index.is_file()
    assert _same(opened(f"hf:{folder}"), stored)
    assert _same(opened(f"hf:{folder}", weights=str(index)), stored)
    (folder / sorted(json.loads(index.read_text())["weight_map"].values())[0]).unlink()
    with pytest.raises(WeightsError, match=r"1 of its .* shards are not beside it"):
        opened(f"hf:{folder}")


@pytest.mark.parametrize("name", [SAFE, "pytorch_model.bin"])
def test_pointers_of_git_lfs_are_named(
    opened: Callable[..., LoadedModel], folder: Path, name: str
) -> None:
    (folder / SAFE).unlink()
    (folder / name).write_text("version https://git-lfs.github.com/spec/v1\nsize 12\n")
    with pytest.raises(WeightsError, match=rf"{re.escape(name)}': is a Git LFS pointer"):
        opened(f"hf:{folder}")


def _follow(message: str, source: str) -> dict[str, Any]:
    """Returns the fields that a message says to write."""
    fields = re.search(r"write (source|weights): (\S+)$", message)
    assert fields, message
    return {"source": source, fields[1]: fields[2]}


def test_weights_in_a_subfolder_are_found_by_the_advice(
    opened: Callable[..., LoadedModel], folder: Path
) -> None:
    stored = load_file(folder / SAFE)
    (folder / "deep").mkdir()
    (folder / SAFE).rename(folder / "deep" / SAFE)
    with pytest.raises(WeightsError, match=f"has no {SAFE}") as caught:
        opened(f"hf:{folder}")
    assert _same(opened(**_follow(str(caught.value), f"hf:{folder}")), stored)


def test_weights_of_another_name_are_found_by_the_advice(
    opened: Callable[..., LoadedModel], folder: Path
) -> None:
    stored = load_file(folder / SAFE)
    (folder / SAFE).rename(folder / "best.safetensors")
    with pytest.raises(WeightsError, match=f"has no {SAFE}") as caught:
        opened(f"hf:{folder}")
    assert _same(opened(**_follow(str(caught.value), f"hf:{folder}")), stored)


def test_a_folder_of_checkpoints_names_one(
    opened: Callable[..., LoadedModel], folder: Path
) -> None:
    stored = load_file(folder / SAFE)
    folder.rename(folder.parent / "checkpoint-500")
    with pytest.raises(ModelError, match=r"has no config\.json") as caught:
        opened(f"hf:{folder.parent}")
    assert _same(opened(**_follow(str(caught.value), "")), stored)


def test_the_subfolder_that_the_entry_names_is_looked_into(
    opened: Callable[..., LoadedModel], folder: Path
) -> None:
    stored = _as_pickle(folder, shards=1)
    model = opened(f"hf:{folder.parent}", kwargs={"subfolder": "vit"})
    assert _same(model, stored)


def test_a_model_of_timm_is_opened_by_the_advice(
    opened: Callable[..., LoadedModel], tmp_path: Path
) -> None:
    timm = pytest.importorskip("timm")
    module = timm.create_model("resnet10t")
    save_file(module.state_dict(), tmp_path / SAFE)
    config = {"architecture": "resnet10t", "num_classes": 1000, "pretrained_cfg": {}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="is a model of timm") as caught:
        opened(f"hf:{tmp_path}")
    found = opened(**_follow(str(caught.value), "")).module
    assert torch.equal(found.state_dict()["fc.weight"], module.state_dict()["fc.weight"])


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["adapter_config.json", "adapter_model.safetensors"], r"an adapter alone.*merge it into"),
        (["config.json", "tf_model.h5"], r"tf_model\.h5 is of another framework"),
        (["config.json", "notes.md"], r"it holds config\.json, notes\.md: name the folder"),
        ([], "it holds nothing: name the folder"),
        (["model.pth"], r"weights alone are no model"),
    ],
)
def test_folders_without_a_model_say_what_they_hold(
    opened: Callable[..., LoadedModel], tmp_path: Path, names: list[str], message: str
) -> None:
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    if "config.json" in names:
        transformers.ViTConfig(**VIT).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=message):
        opened(f"hf:{tmp_path}")


def _weight_notes(model: LoadedModel) -> list[str]:
    return [note.message for note in model.notes if note.kind == "weights"]


@pytest.mark.parametrize("prefix", ["module.", "model.", "module._orig_mod.", "net.backbone."])
def test_wrapped_checkpoints_are_understood(
    opened: Callable[..., LoadedModel], folder: Path, prefix: str
) -> None:
    stored = load_file(folder / SAFE)
    content = {
        "state_dict": {prefix + name: value for name, value in stored.items()},
        "hyper_parameters": {"lr": 0.1, "class_weights": torch.ones(2)},
    }
    content["state_dict"]["criterion.weight"] = torch.ones(3)
    path = folder / "last.ckpt"
    torch.save(content, path)
    model = opened(f"hf:{folder}", weights=str(path))
    assert _same(model, stored)
    (note,) = _weight_notes(model)
    assert repr(prefix) in note
    told = opened(f"hf:{folder}", weights=str(path), strip_prefix=prefix)
    assert _same(told, stored)
    assert not _weight_notes(told)
    assert told.architecture == model.architecture


def test_of_two_state_dicts_that_fit_none_is_guessed(
    opened: Callable[..., LoadedModel], folder: Path
) -> None:
    stored = load_file(folder / SAFE)
    path = folder / "both.pth"
    torch.save({"model": stored, "model_ema": {k: v + 1 for k, v in stored.items()}}, path)
    with pytest.raises(WeightsError, match="state_dict_key to one of 'model', 'model_ema'"):
        opened(f"hf:{folder}", weights=str(path))
    assert _same(opened(f"hf:{folder}", weights=str(path), state_dict_key="model"), stored)


@pytest.mark.parametrize("class_name", ["ViTMAEModel", "ViTMAEForPreTraining"])
def test_the_advice_for_masked_autoencoders_opens_the_encoder(
    tmp_path: Path, class_name: str
) -> None:
    decoder = {f"decoder_{key}": 16 for key in ("hidden_size", "intermediate_size")}
    decoder |= {"decoder_num_hidden_layers": 1, "decoder_num_attention_heads": 2}
    torch.manual_seed(0)
    module = getattr(transformers, class_name)(transformers.ViTMAEConfig(**VIT, **decoder)).eval()
    module.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="draws a random mask") as caught:
        open_model(ModelConfig(id="m", source=f"hf:{tmp_path}"), canvas_side=16)
    advice = re.search(r"as source: (\S+), kwargs: (\{.*?\}), input: (\{.*?\})", str(caught.value))
    assert advice
    entry = ModelConfig(
        id="m", source=advice[1], kwargs=yaml.safe_load(advice[2]), input=yaml.safe_load(advice[3])
    )
    model, card = describe_model(entry, canvas_side=16, features="gap")
    assert card.input.side == 16
    # The same encoder, given an order of the patches, of which it masks none.
    encoder = getattr(module, "vit", module)
    encoder.embeddings.config.mask_ratio = 0.0
    images = torch.rand(2, 3, 16, 16)
    with torch.no_grad():
        expected = encoder(images, noise=torch.arange(16.0).repeat(2, 1)).last_hidden_state
        assert torch.allclose(model.module(images).last_hidden_state, expected, atol=1e-6)
