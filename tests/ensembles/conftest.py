"""A scan of classifiers, for the tests of this room."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.domains.conftest import halves as halves
from tests.jobs.inline import scan_inline, tiny
from tests.jobs.test_outputs import classifier


@pytest.fixture(scope="package")
def classifiers(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    root = str(tmp_path_factory.mktemp("classifiers") / "out")
    models = [classifier("a", 1), classifier("b", 2), classifier("c", 3), tiny("encoder", 4)]
    scan_inline(
        root, photos, models, probes={"source": str(photos), "count": 24}, nulls=1, labels=True
    )
    return root
