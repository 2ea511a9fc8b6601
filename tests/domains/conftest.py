"""Two scans of the same models on two probe sets, for the tests of this room and of ensembles."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.jobs.inline import scan_inline, tiny
from tests.jobs.test_outputs import classifier


def half(photos: Path, folder: Path, part: int) -> Path:
    """A folder of every other pair of photos, with their classes."""
    for path in photos.rglob("*.png"):
        if int(path.stem) // 2 % 2 == part:
            place = folder / path.parent.name / path.name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, place)
    return folder


@pytest.fixture(scope="session")
def halves(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Outputs of scans of a, b and an encoder on either half; b has other weights in the second."""
    root = tmp_path_factory.mktemp("halves")
    places = []
    for part, seed in ((0, 2), (1, 5)):
        folder = half(photos, root / f"photos{part}", part)
        models = [classifier("a", 1), classifier("b", seed), tiny("encoder", 4)]
        probes = {"source": str(folder), "count": 12 - 2 * part}
        places.append(str(root / f"out{part}"))
        scan_inline(places[-1], folder, models, probes=probes, store_features=True, nulls=1)
    return places[0], places[1]
