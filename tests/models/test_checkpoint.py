"""What weights files may hold, and all the ways in which they are refused."""

from __future__ import annotations

import io
import os
import pickle
import re
import zipfile
from argparse import Namespace
from collections.abc import Callable
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from depara.errors import WeightsError
from depara.models.checkpoint import (
    file_sha256,
    read_checkpoint,
    state_dict_sha256,
    weights_file,
)

TENSORS = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.ones(2)}


class Exploit:
    """A pickle of it creates a file when it is unpickled as code."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.proof),)


def _same(content: object) -> None:
    assert isinstance(content, dict)
    assert content.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert torch.equal(content[name], tensor)


@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_tensors_are_read_from_each_format(tmp_path: Path, kind: str) -> None:
    path = tmp_path / ("weights.safetensors" if kind == "safetensors" else "weights.pth")
    if kind == "safetensors":
        save_file(TENSORS, path)
    else:
        torch.save(TENSORS, path, _use_new_zipfile_serialization=kind == "zip")
    _same(read_checkpoint(path, "shown"))


@pytest.mark.parametrize("kind", ["zip", "legacy", "plain"])
def test_code_in_a_pickle_is_refused_and_not_run(tmp_path: Path, kind: str) -> None:
    path, proof = tmp_path / "weights.pth", tmp_path / "it-ran"
    content = {"state_dict": TENSORS, "extra": Exploit(proof)}
    if kind == "plain":
        path.write_bytes(pickle.dumps(content["extra"]))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=kind == "zip")
    with pytest.raises(WeightsError, match=r"'shown': a pickle that can run code is refused") as e:
        read_checkpoint(path, "shown")
    assert "safetensors.torch.save_file" in str(e.value)
    assert "\n" not in str(e.value)
    assert not proof.exists()


def test_a_whole_pickled_module_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save(nn.Linear(2, 2), path)
    with pytest.raises(WeightsError, match=r"refused \(.*torch.nn.modules.linear.Linear"):
        read_checkpoint(path, "shown")


class _Odd:
    """A class that safe loading does not know."""


class _TiedNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(2, 2), nn.Linear(2, 2)
        self.b.weight = self.a.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.b(self.a(x))


def _save_whole(path: Path, net: nn.Module) -> None:
    torch.save(net, path)


def _save_beside(path: Path, net: nn.Module) -> None:
    torch.save({"state_dict": net.state_dict(), "odd": _Odd()}, path)


def _save_new_protocol(path: Path, net: nn.Module) -> None:
    torch.save({"state_dict": net.state_dict()}, path, pickle_protocol=5)


def _save_script(path: Path, net: nn.Module) -> None:
    torch.jit.trace(net, torch.ones(1, 2)).save(str(path))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("save", [_save_whole, _save_beside, _save_new_protocol, _save_script])
def test_the_advice_for_files_with_code_works_word_by_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, save: Callable[[Path, nn.Module], None]
) -> None:
    import safetensors.torch

    net = _TiedNet()
    save(tmp_path / "odd.pt", net)
    with pytest.raises(WeightsError, match="if you trust it, convert it once") as caught:
        read_checkpoint(tmp_path / "odd.pt", "odd.pt")
    advice = str(caught.value).partition("where it was made: ")[2]
    monkeypatch.chdir(tmp_path)
    names = {"torch": torch, "safetensors": safetensors, "FILE": "odd.pt"}
    steps = advice.split("; ")
    if len(steps) == 3:
        either = re.fullmatch(r"state = (\S+) of a whole module, or .* such as (\S+)", steps[1])
        assert either
        steps[1] = f"state = {either[1 if save is _save_whole else 2]}"
    for step in steps:
        exec(step, names)
    content = read_checkpoint(tmp_path / "weights.safetensors", "shown")
    assert isinstance(content, dict)
    assert content.keys() == net.state_dict().keys()
    assert all(torch.equal(content[name], each) for name, each in net.state_dict().items())


@pytest.mark.parametrize(
    "value",
    [
        Namespace(lr=0.1, folder=Path("/runs"), nested=SimpleNamespace(a=1)),
        Path("/data"),
        datetime(2024, 1, 2, tzinfo=None),
        timedelta(3),
        np.arange(4, dtype=np.uint8),
        np.float16(2),
        np.array(["a"]),
        range(3),
        frozenset({1}),
    ],
)
def test_options_and_numbers_beside_the_weights_are_read(tmp_path: Path, value: object) -> None:
    path = tmp_path / "w.pth"
    torch.save({"state_dict": TENSORS, "extra": value}, path)
    content = read_checkpoint(path, "shown")
    assert isinstance(content, dict)
    _same(content["state_dict"])
    assert np.all(content["extra"] == value)


def _zip_with(path: Path, *names: str) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")


@pytest.mark.parametrize(
    ("file_name", "members", "reason"),
    [
        ("m.pt", ("m/data.pkl", "m/constants.pkl", "m/version"), "TorchScript holds code"),
        ("m.pt", ("m/data.pkl", "m/code/__torch__.py"), "TorchScript holds code"),
        ("m.pt2", ("m/data.pkl",), "an exported program is refused"),
        ("m.pt", ("m/archive_format", "m/models/model.json"), "an exported program is refused"),
        ("m.pth", ("photo.jpg",), "a zip file, but no PyTorch checkpoint"),
    ],
)
def test_archives_of_programs_are_refused(
    tmp_path: Path, file_name: str, members: tuple[str, ...], reason: str
) -> None:
    _zip_with(tmp_path / file_name, *members)
    with pytest.raises(WeightsError, match=reason):
        read_checkpoint(tmp_path / file_name, "shown")


@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.95])
def test_truncated_files_are_called_damaged(tmp_path: Path, kind: str, share: float) -> None:
    path = tmp_path / ("w.safetensors" if kind == "safetensors" else "w.pth")
    tensors = {"w": torch.rand(64, 64)}
    if kind == "safetensors":
        save_file(tensors, path)
    else:
        torch.save(tensors, path, _use_new_zipfile_serialization=kind == "zip")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(WeightsError, match=r"'shown': damaged"):
        read_checkpoint(path, "shown")


@pytest.mark.parametrize("content", [b"\x00" * 100, b"PK\x03\x04rest", b"\x80"])
def test_other_files_are_called_damaged(tmp_path: Path, content: bytes) -> None:
    for name in ("w.pth", "w.safetensors"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(WeightsError, match="damaged"):
            read_checkpoint(tmp_path / name, "shown")


def test_an_empty_file_is_called_empty(tmp_path: Path) -> None:
    (tmp_path / "w.pth").touch()
    with pytest.raises(WeightsError, match="the file is empty"):
        read_checkpoint(tmp_path / "w.pth", "shown")


def test_missing_files_and_folders(tmp_path: Path) -> None:
    (tmp_path / "resnet18.pth").touch()
    with (
        pytest.raises(WeightsError, match=r"no such file, did you mean 'resnet18.pth'"),
        weights_file(str(tmp_path / "resnet81.pth")),
    ):
        pass
    with pytest.raises(WeightsError, match="is a folder"), weights_file(str(tmp_path)):
        pass
    with (
        pytest.raises(WeightsError, match="pip install no-such-package"),
        weights_file("package://no_such_package/w.pth"),
    ):
        pass
    with pytest.raises(WeightsError, match="cannot be read"), weights_file("memory://no/w.pth"):
        pass


def test_remote_files_are_read_from_a_temporary_copy() -> None:
    fsspec = pytest.importorskip("fsspec")
    buffer = io.BytesIO()
    torch.save(TENSORS, buffer)
    uri = "memory://zoo/w.pth"
    with fsspec.open(uri, "wb") as file:
        file.write(buffer.getvalue())
    with weights_file(uri) as path:
        assert file_sha256(path) == sha256(buffer.getvalue()).hexdigest()
        content = read_checkpoint(path, uri)
    assert not path.exists()
    _same(content)


def test_the_hash_of_a_state_dict_follows_names_shapes_types_and_values() -> None:
    def digest(**changed: object) -> str:
        settings = {"fill": 0.0, "shape": (2, 3), "dtype": torch.float32, "name": "w"}
        settings.update(changed)
        module = nn.Module()
        tensor = torch.full(settings["shape"], settings["fill"], dtype=settings["dtype"])  # type: ignore[call-overload]
        module.register_buffer(str(settings["name"]), tensor)
        return state_dict_sha256(module)

    same = {digest(), digest()}
    others = {
        digest(fill=1.0),
        digest(shape=(3, 2)),
        digest(dtype=torch.bfloat16),
        digest(name="v"),
    }
    assert len(same) == 1
    assert len(same | others) == 5


def test_numpy_numbers_beside_the_weights_are_read(tmp_path: Path) -> None:
    path = tmp_path / "numbers.pth"
    state = {"w": torch.arange(3.0)}
    content = {"state_dict": state, "best_acc": np.float64(0.5), "epoch": np.int64(7)}
    torch.save({**content, "loss": np.float32(0.1)}, path)
    read = read_checkpoint(path, "numbers.pth")
    assert isinstance(read, dict)
    assert read["best_acc"] == 0.5
    assert read["epoch"] == 7
    assert torch.equal(read["state_dict"]["w"], state["w"])
