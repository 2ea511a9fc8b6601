"""The code of `python:` sources: what is followed, and that it is never imported."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from depara.fingerprints.code import CodeReader
from depara.fingerprints.files import visible_files

Write = Callable[[str, str], None]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes a file below a folder that is importable."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def put(name: str, text: str) -> None:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    return put


def digest(module: str) -> str | None:
    return CodeReader().digest(module)


def test_all_files_of_the_top_level_package_count(write: Write) -> None:
    write("our_pkg/__init__.py", "")
    write("our_pkg/nets/vit.py", "class ViT: ...")
    write("our_pkg/nets/blocks.py", "class Block: ...")
    seen = [digest("our_pkg.nets.vit")]
    write("our_pkg/nets/vit.py", "class ViT: depth = 3")
    seen.append(digest("our_pkg.nets.vit"))
    write("our_pkg/nets/blocks.py", "class Block: wide = True")
    seen.append(digest("our_pkg.nets.vit"))
    write("our_pkg/nets/new.py", "")
    seen.append(digest("our_pkg.nets.vit"))
    write("our_pkg/nets/vit.yaml", "depth: 4")
    seen.append(digest("our_pkg.nets.vit"))
    assert None not in seen
    assert len(set(seen)) == len(seen)
    write("our_pkg/weights.bin", "other")
    write("our_pkg/results.json", "0" * (1024**2 + 1))
    write("our_pkg/.cache/x.py", "other")
    write("our_pkg/__pycache__/x.py", "other")
    write("unrelated.py", "other")
    assert digest("our_pkg.nets.vit") == seen[-1]


def test_what_it_imports_counts_to_any_depth(write: Write) -> None:
    write(
        "encoder_file.py",
        "import os\ntry:\n    from blocks_file.deep import Block as B\nexcept E: ...",
    )
    write("blocks_file/__init__.py", "import torch as t, norms_file")
    write("norms_file.py", "import encoder_file  # a circle\n")
    write("text_file.py", "")
    seen = [digest("encoder_file")]
    write("norms_file.py", "import encoder_file, absent_file\n")
    seen.append(digest("encoder_file"))
    write("absent_file.py", "")
    seen.append(digest("encoder_file"))
    write("blocks_file/deep.py", "x = 1")
    seen.append(digest("encoder_file"))
    assert None not in seen
    assert len(set(seen)) == len(seen)
    write("text_file.py", "changed")
    assert digest("encoder_file") == seen[-1]


def test_installed_packages_count_by_their_version(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site-packages"
    monkeypatch.syspath_prepend(str(site))

    def install(version: str) -> None:
        """As an installer does: the new metadata takes the place of the old."""
        write("site-packages/their_net/__init__.py", f"VERSION = {version!r}\n")
        for old in site.glob("their_net_package-*"):
            shutil.rmtree(old)
        info = f"site-packages/their_net_package-{version}.dist-info"
        write(
            f"{info}/METADATA",
            f"Metadata-Version: 2.1\nName: their-net-package\nVersion: {version}\n",
        )
        write(f"{info}/top_level.txt", "their_net\n")

    write("our_net.py", "import json\nfrom their_net import VERSION\n")
    install("1.0")
    before = digest("our_net")
    write("site-packages/their_net/__init__.py", "VERSION = 'edited by hand'\n")
    assert digest("our_net") == before
    install("2.0")
    after = digest("our_net")
    assert after != before
    install("1.0")
    assert digest("our_net") == before


def test_packages_without_an_init_file_are_taken_whole(write: Write) -> None:
    write("our_space/nets/vit.py", "from our_space.blocks import Block")
    write("our_space/blocks.py", "")
    before = digest("our_space.nets.vit")
    assert before is not None
    write("our_space/blocks.py", "changed")
    assert digest("our_space.nets.vit") != before


def test_neither_place_nor_time_of_the_code_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = set()
    for number in range(2):
        folder = tmp_path / str(number)
        (folder / "our_moved").mkdir(parents=True)
        for name in ("__init__.py", "net.py"):
            (folder / "our_moved" / name).write_text("import our_other")
            os.utime(folder / "our_moved" / name, (number, number))
        (folder / "our_other.py").write_text("")
        with monkeypatch.context() as context:
            context.chdir(folder)  # as a job's working directory, which need not be on sys.path
            seen.add(digest("our_moved.net"))
    assert None not in seen
    assert len(seen) == 1


def test_links_in_a_circle_end(write: Write, tmp_path: Path) -> None:
    write("our_loop/__init__.py", "")
    (tmp_path / "our_loop" / "again").symlink_to(tmp_path / "our_loop")
    assert digest("our_loop") is not None
    assert visible_files(str(tmp_path / "our_loop")) == ["__init__.py"]


def test_code_that_cannot_be_read_is_not_told(write: Write, tmp_path: Path) -> None:
    assert digest("our_absent.net") is None
    assert digest("sys") is None
    write("our_broken/__init__.py", "")
    (tmp_path / "our_broken" / "gone.py").symlink_to(tmp_path / "nowhere.py")
    assert digest("our_broken") is None


def test_a_loaded_module_of_that_name_does_not_stand_in_for_the_file(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger = ModuleType("our_loaded")  # as test runners make them, without a place
    monkeypatch.setitem(sys.modules, "our_loaded", stranger)
    write("our_loaded.py", "x = 1")
    before = digest("our_loaded")
    assert before is not None
    write("our_loaded.py", "x = 2")
    assert digest("our_loaded") != before
