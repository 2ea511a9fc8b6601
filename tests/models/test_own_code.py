"""The architecture changes with the user's own code that runs, and with no other."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest
from torch import nn

from depara.models.architecture import architecture_line

NET = """
import functools
import depara_other as other
from torch import nn
SCALE = 2.0
CALLS = 0
UNUSED = 1
def act(x):
    return SCALE * deeper(x)
@functools.lru_cache
def deeper(x):
    return x + 1
def unused(x):
    return x
class Base(nn.Conv2d):
    def forward(self, x):
        global CALLS
        CALLS += 1
        return act(super().forward(x))
class Net(Base):
    def __init__(self):
        super().__init__(3, 2, 1)
        self.last = functools.partial(other.last, 3)
    @property
    def shift(self):
        return other.shift()
"""
OTHER = """
STEP = 1
def shift():
    return STEP
def last(a, b):
    return a + b
def unused():
    return 0
"""


def line(folder: Path, net: str = NET, other: str = OTHER) -> str:
    (folder / "depara_nets.py").write_text(net)
    (folder / "depara_other.py").write_text(other)
    importlib.invalidate_caches()
    for name in ("depara_nets", "depara_other"):
        sys.modules.pop(name, None)
    sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
    try:
        module = importlib.import_module("depara_nets").Net()
    finally:
        sys.dont_write_bytecode = before
    return architecture_line("python:depara_nets:Net", {}, module, "")


@pytest.fixture(autouse=True)
def _importable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("return act(super()", "return 2 * act(super()"),
        ("SCALE * deeper(x)", "SCALE - deeper(x)"),
        ("return x + 1", "return x + 2"),
        ("SCALE = 2.0", "SCALE = 3.0"),
        ("STEP = 1", "STEP = 5"),
        ("    return STEP", "    return -STEP"),
        ("return a + b", "return a - b"),
    ],
)
def test_code_that_runs_changes_it(tmp_path: Path, old: str, new: str) -> None:
    assert old in NET + OTHER
    before = line(tmp_path)
    assert line(tmp_path, NET.replace(old, new), OTHER.replace(old, new)) != before


def test_other_code_and_what_runs_do_not(tmp_path: Path) -> None:
    before = line(tmp_path)
    assert line(tmp_path, f"# a comment\n{NET}") == before
    unused = NET.replace("UNUSED = 1", "UNUSED = 2").replace("def unused(x)", "def unused(x, y)")
    assert line(tmp_path, unused, OTHER.replace("return 0", "return 1")) == before
    sys.modules["depara_nets"].CALLS = 7  # type: ignore[attr-defined]
    module = sys.modules["depara_nets"].Net()
    assert architecture_line("python:depara_nets:Net", {}, module, "") == before


def test_models_of_packages_are_told_as_before() -> None:
    module = nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU())
    assert architecture_line("timm:x", {}, module, "") == "timm:x tree:f3a9d55b616043d7"
