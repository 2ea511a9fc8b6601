"""Files that models come from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "zoo" / "net.pth"
    path.parent.mkdir()
    path.write_bytes(b"weights")
    return path


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An importable package that must never be imported."""
    folder = tmp_path / "lib" / "our_zoo"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('imported')\n")
    (folder / "nets.py").write_text("class Net: ...\n")
    (folder / "net.pth").write_bytes(b"weights")
    monkeypatch.syspath_prepend(str(folder.parent))
    return folder


@pytest.fixture
def hf_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "vit"
    (folder / "deep").mkdir(parents=True)
    for name in ("config.json", "model.safetensors", "deep/preprocessor_config.json"):
        (folder / name).write_text("{}")
    return folder


@pytest.fixture
def set_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts another version of a distribution before the one that is there."""

    def install(distribution: str) -> None:
        folder = tmp_path / f"with-{distribution}" / "site-packages"
        facts = folder / f"{distribution}-99.dist-info"
        facts.mkdir(parents=True)
        text = f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 99\n"
        (facts / "METADATA").write_text(text)
        monkeypatch.syspath_prepend(str(folder))

    return install
