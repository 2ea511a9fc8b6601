"""Sharded checkpoints: read whole through their index, hashed whole, told apart from a shard."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from depara.errors import WeightsError
from depara.models.checkpoint import file_sha256, read_checkpoint

PARTS = ({"a": torch.ones(2)}, {"b": torch.zeros(3)})


def _write(folder: Path, kind: str) -> Path:
    stem, suffix = ("model", "safetensors") if kind == "safe" else ("pytorch_model", "bin")
    weight_map = {}
    for number, tensors in enumerate(PARTS, 1):
        name = f"{stem}-{number:05d}-of-00002.{suffix}"
        if kind == "safe":
            save_file(tensors, folder / name)
        else:
            torch.save(tensors, folder / name)
        weight_map |= dict.fromkeys(tensors, name)
    index = folder / f"{stem}.{suffix}.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return index


@pytest.mark.parametrize("kind", ["safe", "pickle"])
def test_all_shards_of_an_index_are_read(tmp_path: Path, kind: str) -> None:
    content = read_checkpoint(_write(tmp_path, kind), "shown")
    assert isinstance(content, dict)
    assert {name: tensor.tolist() for name, tensor in content.items()} == {
        "a": [1.0, 1.0],
        "b": [0.0, 0.0, 0.0],
    }


def test_the_hash_of_an_index_follows_its_shards(tmp_path: Path) -> None:
    index = _write(tmp_path, "safe")
    before = file_sha256(index)
    assert file_sha256(index) == before
    save_file({"b": torch.ones(3)}, tmp_path / "model-00002-of-00002.safetensors")
    assert file_sha256(index) != before


def test_a_shard_alone_names_its_index_which_works(tmp_path: Path) -> None:
    index = _write(tmp_path, "safe")
    with pytest.raises(WeightsError, match=r"one shard of several.*'model.safetensors.index.json'"):
        read_checkpoint(tmp_path / "model-00001-of-00002.safetensors", "shown")
    assert read_checkpoint(index, "shown")


def test_what_is_wrong_with_an_index_is_said(tmp_path: Path) -> None:
    index = _write(tmp_path, "safe")
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(WeightsError, match="1 of its 2 shards are not beside it, such as 'model-0"):
        read_checkpoint(index, "shown")
    (tmp_path / "model-00002-of-00002.safetensors").write_bytes(
        b"version https://git-lfs.github.com/spec/v1\n"
    )
    with pytest.raises(WeightsError, match=r"'shown: model-00002-of.*Git LFS pointer"):
        read_checkpoint(index, "shown")
    index.write_text("{}")
    with pytest.raises(WeightsError, match="it has no weight_map"):
        read_checkpoint(index, "shown")
