"""The disk for spilled features is full."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.chaos.lab import Lab

pytestmark = [pytest.mark.ray, pytest.mark.chaos]

SPILLING = "compute.memory=64MiB"
"""The wide model's features take more than the half of it."""


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """Gives a file system of a few megabytes; skips where none can be mounted."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "chaos", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True, timeout=20, check=False)
    except OSError as error:
        pytest.skip(f"no file system can be mounted: {error}")
    if done.returncode:
        pytest.skip(f"no file system can be mounted: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        # Lazily: a worker that is just being killed may still have a file there.
        subprocess.run(["umount", "--lazy", str(folder)], timeout=20, check=True)


def test_there_is_no_room_to_spill(lab: Lab, tmp_path: Path) -> None:
    with lab.trial("the spill disk full from the start") as trial:
        output = lab.new_output()
        with (
            small_disk(tmp_path / "spill", 1) as disk,
            lab.attempt(output, SPILLING, f"compute.spill_dir={disk}") as attempt,
        ):
            attempt.complete(3)
        assert "wide: StoreError: " in attempt.output
        assert str(disk) in attempt.output
        trial.hit()
        with lab.attempt(output, SPILLING) as last:
            last.complete()
        assert not last.units().keys() & {"m0 commit", "m4 commit"}
        lab.judge(trial, output, [attempt, last])


def test_the_room_to_spill_is_taken_by_another_program(lab: Lab, tmp_path: Path) -> None:
    with lab.trial("the spill disk full in the middle of a unit") as trial:
        output = lab.new_output()
        with (
            small_disk(tmp_path / "spill", 48) as disk,
            lab.gate.holding("wide", after=1),
            lab.attempt(output, SPILLING, f"compute.spill_dir={disk}") as attempt,
        ):
            lab.gate.wait_for()
            fill(disk)
            lab.gate.release("wide")
            attempt.complete(3)
        assert "wide: StoreError: " in attempt.output
        assert str(disk) in attempt.output
        trial.hit()
        with lab.attempt(output, SPILLING) as last:
            last.complete()
        lab.judge(trial, output, [attempt, last])


def fill(disk: Path) -> None:
    """Leaves no byte free."""
    with (disk / "filler").open("wb", buffering=0) as filler, suppress(OSError):
        while filler.write(bytes(2**16)):
            pass
