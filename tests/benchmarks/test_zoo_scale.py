"""The zoo of thousands: a night that was ended is measured anew, with another model added."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import zoo_scale


def weights(folder: Path) -> dict[str, int]:
    return {path.stem: path.stat().st_mtime_ns for path in (folder / "weights").iterdir()}


def test_one_more_model_leaves_the_files_of_the_others(tmp_path: Path) -> None:
    zoo_scale.write_zoo(tmp_path, 3)
    before = weights(tmp_path)
    assert sorted(before) == ["m00000", "m00001", "m00002"]
    for added in (0, 2):
        zoo_scale.write_zoo(tmp_path, 3, added)
        after = weights(tmp_path)
        assert sorted(after) == [*sorted(before), f"m{3 + added:05d}"]
        assert before.items() <= after.items()


def test_nights_that_are_done_are_kept_and_one_that_was_ended_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[tuple[str, int]] = []

    def night(path: Path, *, cpu: bool) -> dict[str, Any]:
        models = sorted((path.parent / "weights").iterdir())
        ran.append((models[-1].stem, len(models)))
        (path.parent / "out").mkdir(exist_ok=True)
        if len(ran) in (1, 4):
            raise KeyboardInterrupt
        assert (path.parent / "out" / "old").exists() == (len(ran) > 2)
        (path.parent / "out" / "old").touch()
        return {"seconds": float(len(ran))}

    monkeypatch.setattr(zoo_scale, "in_process", night)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            zoo_scale.measure(tmp_path, 2, cpu=False)
    found = zoo_scale.measure(tmp_path, 2, cpu=False)
    assert ran == [("m00001", 2)] * 3 + [("m00002", 3), ("m00003", 3)]
    assert [one["seconds"] for one in found.values()] == [2.0, 3.0, 5.0]
    assert json.loads((tmp_path / "nights.json").read_text())["nights"] == found
