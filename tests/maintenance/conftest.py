"""One scanned output for all tests of this room, and a copy of it for each."""

from __future__ import annotations

from pathlib import Path

import pytest

from depara.store.storage import Storage
from tests.maintenance.outputs import age, copy_output, make_output


@pytest.fixture(scope="package")
def sound(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound output of two scans; not to be written to."""
    return make_output(tmp_path_factory.mktemp("sound") / "out", photos)


@pytest.fixture
def root(sound: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return copy_output(sound, tmp_path / "out")


@pytest.fixture
def storage(root: Path) -> Storage:
    """The copy, open."""
    return Storage(str(root))


@pytest.fixture
def old(root: Path, storage: Storage) -> Storage:
    """The copy, its files ten days old."""
    age(root, 10)
    return storage
