"""Two processes train and measure, byte for byte, what one does; their imports are made once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

pytest.importorskip("sklearn", reason="the digit zoo needs the extra [demo]")

from examples.digits import layer_transfer, transfer
from examples.digits.fit import Settings
from examples.digits.zoo import checkpoint_path, fill_zoo

NAMES = ["deblur", "jigsaw"]
BRIEF = Settings(steps=2, batch_size=16)
FILES = (transfer.TRUTH_FILE, transfer.DETAILS_FILE)
LAYER_FILES = (layer_transfer.TRUTH_FILE, layer_transfer.DETAILS_FILE)


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("zoo")
    assert len(list(fill_zoo(folder, NAMES, BRIEF, workers=1))) == len(NAMES)
    return folder


def test_two_processes_train_what_one_trains(zoo: Path, tmp_path: Path):
    reports = list(fill_zoo(tmp_path, NAMES, BRIEF, workers=2))
    assert sorted(report.name for report in reports) == NAMES
    for name in NAMES:
        one, two = (checkpoint_path(folder, name).read_bytes() for folder in (zoo, tmp_path))
        assert one == two


@pytest.mark.parametrize(
    ("main", "more", "files"),
    [
        (transfer.main, ["--pictures", "32", "--steps", "3"], FILES),
        (layer_transfer.main, ["--labels", "20", "--steps", "1", "--sources", *NAMES], LAYER_FILES),
    ],
    ids=["models", "layers"],
)
def test_two_processes_measure_what_one_measures(
    zoo: Path,
    tmp_path: Path,
    main: Callable[[Sequence[str]], int],
    more: list[str],
    files: Sequence[str],
):
    for workers in ("1", "2"):
        places = ["--zoo", str(zoo), "--out", str(tmp_path / workers)]
        assert main([*places, *more, "--repeats", "2", "--workers", workers]) == 0
    for name in files:
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()
