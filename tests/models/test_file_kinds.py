"""Files that are no checkpoints are named for what they are, under every suffix."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save

from depara.errors import WeightsError
from depara.models.checkpoint import read_checkpoint

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64 + b"\nsize 4096\n"


def _tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("w.pth"), io.BytesIO())
    return buffer.getvalue()


def _zip(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    return buffer.getvalue()


def _npz() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, a=np.ones(2))
    return buffer.getvalue()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".bin", ""])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (POINTER, r"Git LFS pointer, not the file of 4,096 bytes.*'git lfs pull'"),
        (b"<!DOCTYPE html>\n<title>Sign in</title>", r"web page \('Sign in'\)"),
        (b"\n <html>not found</html>", "web page, such as a login or an error page"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code>", "with the error AccessDenied"),
        (b'{"error": "Repository not found"}', "JSON answer of a server"),
        (b'{"hidden_size": 16}', "a JSON file"),
        (gzip.compress(b"weights", mtime=0), "a gzip archive.*unpack it"),
        (_tar(), "a tar archive.*unpack it"),
        (_zip("a/w.pth", "b.txt"), "a zip file.*'a/w.pth', 'b.txt'.*unpack it"),
        (_npz(), "a zip file.*NumPy arrays"),
        (_zip("config.json", "model.weights.h5"), "a zip file.*Keras"),
        (b"\x89HDF\r\n\x1a\n" + bytes(20), "an HDF5 file .Keras"),
        (b"\x08\x08\x12\x07pytorch", "an ONNX model"),
        (b"GGUF" + bytes(20), "a GGUF file"),
        (b"\x93NUMPY" + bytes(20), "a NumPy array"),
        (b"\x1c\x00\x00\x00TFL3" + bytes(20), "a TensorFlow Lite model"),
    ],
    ids=lambda value: value if isinstance(value, str) else "file",  # archives hold the time
)
def test_other_kinds_are_named(tmp_path: Path, content: bytes, message: str, suffix: str) -> None:
    path = tmp_path / f"w{suffix}"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=rf"^weights 'shown': .*{message}") as caught:
        read_checkpoint(path, "shown")
    assert "damaged" not in str(caught.value)


@pytest.mark.parametrize("name", ["w.pth", "w.bin", "w.SAFETENSORS", "w", "w.pth.tar", "w.ckpt-3"])
@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_what_a_checkpoint_is_shows_in_its_bytes(tmp_path: Path, name: str, kind: str) -> None:
    tensors = {"w": torch.arange(3.0)}
    path = tmp_path / name
    if kind == "safetensors":
        path.write_bytes(save(tensors))
    else:
        torch.save(tensors, path, _use_new_zipfile_serialization=kind == "zip")
    if name.lower().endswith(".safetensors") and kind == "legacy":
        path = path.rename(tmp_path / "other")
    content = read_checkpoint(path, "shown")
    assert isinstance(content, dict)
    assert torch.equal(content["w"], tensors["w"])


@pytest.mark.parametrize("sign", [b"\x1f\x8b", b"\x80\x02", b"\x08\x08", b"{ "])
def test_the_length_that_safetensors_begin_with_is_no_sign_of_another_kind(
    tmp_path: Path, sign: bytes
) -> None:
    length = int.from_bytes(sign, "little")
    header = b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    path = tmp_path / "w.safetensors"
    path.write_bytes(length.to_bytes(8, "little") + header.ljust(length) + bytes(4))
    content = read_checkpoint(path, "shown")
    assert isinstance(content, dict)
    assert content["w"].tolist() == [0.0]
