"""Zoos for queries: scanned once without the new model, and once with it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.jobs.inline import scan_inline
from tests.query.models import NEW, ZOO

SECTIONS: dict[str, Any] = {"nulls": 1, "uncertainty": {"resamples": 120, "time_share": 10}}


@pytest.fixture(scope="package")
def zoo(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scan without the model."""
    folder = tmp_path_factory.mktemp("zoo") / "out"
    scan_inline(str(folder), photos, ZOO, **SECTIONS)
    return folder


@pytest.fixture(scope="package")
def whole(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scan with it."""
    folder = tmp_path_factory.mktemp("whole") / "out"
    scan_inline(str(folder), photos, [*ZOO, NEW], **SECTIONS)
    return folder


@pytest.fixture
def output(zoo: Path, tmp_path: Path) -> Path:
    """A copy of the scan without it."""
    return Path(shutil.copytree(zoo, tmp_path / "out"))
