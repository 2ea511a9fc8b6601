"""Code of others leaves the process as it was: whatever it changes, and however it ends."""

from __future__ import annotations

import logging
import os
import random
import signal
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from depara.config.schema import ModelConfig
from depara.errors import ModelError
from depara.models import describe_model, open_model, process_kept
from depara.models.foreign import foreign_code
from depara.models.process_state import seeded

Config = Callable[..., ModelConfig]

CHANGES: dict[str, tuple[Callable[[], object], Callable[[], Any]]] = {
    "default dtype": (
        lambda: torch.set_default_dtype(torch.float64),
        lambda: torch.ones(1).dtype,
    ),
    "default device": (lambda: torch.set_default_device("meta"), lambda: torch.ones(1).device),
    "gradients": (lambda: torch._C._set_grad_enabled(False), torch.is_grad_enabled),
    "determinism": (
        lambda: torch.use_deterministic_algorithms(True),
        torch.are_deterministic_algorithms_enabled,
    ),
    "autocast": (
        lambda: torch.set_autocast_enabled("cpu", True),
        lambda: torch.is_autocast_enabled("cpu"),
    ),
    "threads": (
        lambda: torch.set_num_threads(torch.get_num_threads() + 1),
        torch.get_num_threads,
    ),
    "cudnn": (
        lambda: setattr(torch.backends.cudnn, "benchmark", True),
        lambda: torch.backends.cudnn.benchmark,
    ),
    "precision": (
        lambda: torch.set_float32_matmul_precision("medium"),
        torch.get_float32_matmul_precision,
    ),
    "hooks of all modules": (
        lambda: torch.nn.modules.module.register_module_forward_hook(lambda *_: None),
        lambda: len(torch.nn.modules.module._global_forward_hooks),
    ),
    "warnings": (
        lambda: warnings.simplefilter("ignore", append=True),
        lambda: list(warnings.filters),
    ),
    "environment": (
        lambda: os.environ.update(TORCH_HOME="/nowhere", DEPARA_TEST="1"),
        lambda: dict(os.environ),
    ),
    "a variable that is gone": (lambda: os.environ.pop("PATH"), lambda: os.environ.get("PATH")),
    "working folder": (lambda: os.chdir("/"), os.getcwd),
    "arguments": (lambda: sys.argv.append("--more"), lambda: list(sys.argv)),
    "first of the import path": (lambda: sys.path.insert(0, "/nowhere"), lambda: sys.path[0]),
    "signals": (
        lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN),
        lambda: signal.getsignal(signal.SIGTERM),
    ),
    "log level": (lambda: logging.basicConfig(level=1, force=True), lambda: logging.root.level),
    "random": (lambda: random.seed(1), random.getstate),
    "numpy": (lambda: np.random.seed(1), lambda: np.random.get_state()[1].tolist()),  # noqa: NPY002
    "torch": (lambda: torch.manual_seed(1), lambda: torch.get_rng_state().tolist()),
    "recursion limit": (lambda: sys.setrecursionlimit(5000), sys.getrecursionlimit),
}


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("ends", ["well", "badly"])
def test_what_code_changes_is_put_back(name: str, ends: str) -> None:
    change, read = CHANGES[name]
    before = read()
    try:
        with process_kept():
            change()
            assert read() != before, "the test changes something"
            if ends == "badly":
                raise SystemExit(2)
    except SystemExit:
        pass
    assert read() == before


def test_added_import_folders_stay_last_for_lazy_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = list(sys.path)
    with process_kept():
        sys.path.insert(0, "/their/code")
    assert sys.path == [*before, "/their/code"]


def test_code_sees_no_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["scan", "scan.yaml", "--dry-run"])
    with process_kept():
        assert sys.argv == ["scan"]
    assert sys.argv == ["scan", "scan.yaml", "--dry-run"]


def test_all_generators_are_seeded() -> None:
    draws = []
    for seed in (1, 1, 2):
        with seeded(seed):
            draws.append((random.random(), np.random.rand(), float(torch.rand(1))))  # noqa: NPY002
    assert draws[0] == draws[1]
    assert all(one != other for one, other in zip(draws[0], draws[2], strict=True))


@pytest.mark.parametrize("code", [2, "", "usage: train.py"])
def test_an_exit_is_an_error_of_the_model(code: object) -> None:
    message = "net cannot be built: its code ended the program"
    with pytest.raises(ModelError, match=message), foreign_code("net cannot be built"):
        raise SystemExit(code)


def test_a_persons_ctrl_c_passes() -> None:
    with pytest.raises(KeyboardInterrupt), foreign_code("net cannot be built"):
        raise KeyboardInterrupt


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 2, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.conv(images)


HEAD = "import os, random, sys, torch\nimport numpy as np\n"


@pytest.fixture
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Returns a writer of importable modules."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr("depara.models.identity._CODE", {})

    def write(name: str, text: str) -> None:
        (tmp_path / f"{name}.py").write_text(HEAD + text)

    return write


BUILDER = "from tests.models.test_process_state import Net as make\n"


@pytest.mark.parametrize(
    "line",
    [
        "torch.set_default_dtype(torch.float64)",
        "torch.set_default_device('meta')",
        "torch.set_grad_enabled(False)",
        "torch.set_autocast_enabled('cpu', True)",
        "import argparse; argparse.ArgumentParser().parse_args()",
        "NOISE = torch.rand(5), np.random.rand(5), random.random()",
    ],
)
def test_a_module_that_changes_the_process_at_import_is_used_as_any_other(
    model_config: Config,
    own_module: Callable[[str, str], None],
    monkeypatch: pytest.MonkeyPatch,
    line: str,
) -> None:
    monkeypatch.setattr(sys, "argv", ["scan", "scan.yaml"])
    name = f"depara_loud_{abs(hash(line))}"
    own_module(name, f"{line}\n{BUILDER}")
    plain = open_model(model_config("python:tests.models.test_process_state:Net"), canvas_side=8)
    # Twice: its import, which is cached then, changes nothing of what is built.
    for _ in range(2):
        loud, _ = describe_model(
            model_config(f"python:{name}:make"), canvas_side=8, features="flatten"
        )
        assert loud.weights_sha256 == plain.weights_sha256
    assert torch.get_default_dtype() == torch.float32
    assert torch.is_grad_enabled()


def test_a_module_that_needs_arguments_is_told_so(
    model_config: Config, own_module: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["scan", "scan.yaml"])
    own_module(
        "depara_script",
        "import argparse\np = argparse.ArgumentParser()\np.add_argument('data')\np.parse_args()\n",
    )
    with pytest.raises(ModelError, match=r"^model 'm': .*cannot be imported.*SystemExit: 2.*argum"):
        open_model(model_config("python:depara_script:make"), canvas_side=8)


def test_its_own_variables_are_there_when_it_builds(
    model_config: Config, own_module: Callable[[str, str], None]
) -> None:
    own_module(
        "depara_environ",
        f"os.environ['DEPARA_WIDTH'] = '2'\n{BUILDER}"
        "def build():\n    assert os.environ['DEPARA_WIDTH'] == '2'\n    return make()\n",
    )
    for _ in range(2):
        open_model(model_config("python:depara_environ:build"), canvas_side=8)
        assert "DEPARA_WIDTH" not in os.environ
