"""What is computed is what was named: files and code that change between two looks are found."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch

from depara.config.schema import ModelConfig
from depara.errors import ChangedModelError
from depara.models import describe_model, open_model, prove_same, zoo
from depara.models.identity import FileProof, prove_code_is_current
from depara.models.readings import Reading
from depara.models.source import Filled
from tests.models.networks import Plain

Config = Callable[..., ModelConfig]
PLAIN = "python:tests.models.networks:Plain"


def saved(path: Path, seed: int) -> str:
    """Writes weights over what is there and returns their sha256."""
    torch.manual_seed(seed)
    torch.save(Plain().state_dict(), path)
    return sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("moment", ["before reading", "after reading"])
@pytest.mark.parametrize("how", ["in place", "replaced", "in place, of the same time"])
def test_weights_that_change_while_they_are_read_are_refused(
    model_config: Config,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    moment: str,
    how: str,
) -> None:
    path = tmp_path / "last.pth"
    before = saved(path, 1)
    other = tmp_path / "other.pth"
    after = saved(other, 2)
    facts = path.stat()
    read = zoo.read_checkpoint

    def change() -> None:
        if how == "replaced":
            os.replace(other, path)
            return
        path.write_bytes(other.read_bytes())
        if how.endswith("time"):
            os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))

    def racing(*args: Any) -> object:
        if moment == "before reading":
            change()
        found = read(*args)
        if moment == "after reading":
            change()
        return found

    monkeypatch.setattr(zoo, "read_checkpoint", racing)
    with pytest.raises(ChangedModelError, match=f"^model 'm': .*{before}.*{after}: scan again"):
        open_model(model_config(PLAIN, weights=str(path)), canvas_side=16)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_an_opened_model_is_not_touched_by_later_changes_of_its_file(
    model_config: Config, tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors.torch import save_file

    path = tmp_path / f"weights{suffix}"
    state = Plain().state_dict()
    if suffix == ".pth":
        torch.save(state, path)
    else:
        save_file(state, path)

    def assigned(self: object, name: str, kwargs: object, state: Any) -> Filled:
        module = Plain()
        module.load_state_dict(state.tensors, assign=True)
        return Filled(module, Reading(state))

    monkeypatch.setattr("depara.models.python_source.PythonSource.load", assigned)
    opened = open_model(model_config(PLAIN, weights=str(path)), canvas_side=16)
    with path.open("r+b") as file:
        file.write(bytes(path.stat().st_size))
    assert torch.equal(opened.module.state_dict()["conv1.weight"], state["conv1.weight"])


def test_a_file_that_is_only_touched_is_the_same(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    digest = saved(path, 1)
    proof = FileProof(path)
    path.touch()
    proof.prove(digest, "w.pth")
    with pytest.raises(ChangedModelError, match=r"'w\.pth': changed while they were read"):
        proof.prove("0" * 64, "w.pth")


def test_a_model_that_is_not_its_card_is_refused(model_config: Config) -> None:
    config = model_config(PLAIN, layers=["conv1"])
    model, card = describe_model(config, canvas_side=16, features="flatten")
    prove_same(model, card)
    changes = {
        "weights_sha256": "0" * 64,
        "architecture": "another",
        "input": replace(card.input, side=17),
    }
    for field, value in changes.items():
        other: Any = replace(card, **{field: value})
        with pytest.raises(ChangedModelError, match=r"^model 'm': changed while the.*scan"):
            prove_same(model, other)


def test_code_that_changed_since_it_was_imported_is_refused(
    model_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    path = tmp_path / "depara_edited.py"
    path.write_text("from torch import nn\nclass Net(nn.Conv2d):\n    pass\n")
    config = model_config(
        "python:depara_edited:Net",
        kwargs={"in_channels": 3, "out_channels": 2, "kernel_size": 1},
    )
    open_model(config, canvas_side=8)
    open_model(config, canvas_side=8)
    path.write_text("from torch import nn\nclass Net(nn.Conv2d):\n    scale = 2\n")
    with pytest.raises(ChangedModelError, match=r"^model 'm': .*depara_edited.py is no longer"):
        open_model(config, canvas_side=8)


def test_modules_without_a_file_of_code_are_passed_over() -> None:
    prove_code_is_current(["builtins", "no.such.module", "math"])
