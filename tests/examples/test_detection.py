"""The pictures of the detection example: digits in their boxes, and a scan file that fits them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="the digits need the extra [demo]")

from depara.config import load_scan_file
from depara.objects import ProbeObjects
from depara.probes import BoxColumns, build_probe_set, decode_probes, find_probes
from examples.detection.data import (
    HEIGHT_PX,
    PICTURES,
    SIDES_PX,
    WIDTH_PX,
    draw_pictures,
    main,
)

SCAN = Path(__file__).resolve().parents[2] / "examples" / "detection" / "scan.yaml"


def test_boxes_hold_the_ink_of_digits_that_do_not_touch() -> None:
    pictures = list(draw_pictures(40))
    assert len({one.pixels_HW.tobytes() for one in pictures}) == 40
    for one in pictures:
        assert one.pixels_HW.shape == (HEIGHT_PX, WIDTH_PX)
        assert len(one.boxes) == len(one.labels) >= 1
        rest = one.pixels_HW.copy()
        for x0, y0, x1, y1 in one.boxes:
            assert 0 <= x0 < x1 <= WIDTH_PX
            assert 0 <= y0 < y1 <= HEIGHT_PX
            assert max(x1 - x0, y1 - y0) <= SIDES_PX[1]
            assert rest[y0:y1, x0:x1].max() >= 200
            rest[y0:y1, x0:x1] = 0
        assert rest.max() < 64


def test_the_same_seed_draws_the_same() -> None:
    one, again, other = (next(draw_pictures(1, seed)) for seed in (1, 1, 2))
    assert np.array_equal(one.pixels_HW, again.pixels_HW)
    assert one.boxes == again.boxes
    assert one.boxes != other.boxes


def test_the_table_gives_objects_some_of_which_are_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "pictures.parquet"
    assert main(["--count", "60", "--out", str(path)]) == 0
    refs = find_probes(str(path), column="image", boxes=BoxColumns("boxes", "box_labels")).refs
    decoded, failures = decode_probes(refs, 96)
    probes, twice = build_probe_set(decoded)
    assert (failures, twice, len(probes)) == ([], [], 60)
    objects = ProbeObjects.of(probes)
    assert objects is not None
    assert objects.num_dropped > 0
    assert set(objects.labels) == set("0123456789")


def test_the_scan_file_is_of_these_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(SCAN.parents[2])
    text = SCAN.read_text()
    assert f"source: {PICTURES}" in text
    folder = SCAN.parents[1] / "digits" / "zoo"
    if not list(folder.glob("*.safetensors")):
        pytest.skip("the digit zoo is not trained: python -m examples.digits.train")
    config = load_scan_file(str(SCAN)).config
    assert (config.probes.boxes_column, config.probes.box_labels_column) == ("boxes", "box_labels")
    assert config.canvas.side == HEIGHT_PX
