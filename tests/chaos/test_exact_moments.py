"""The driver is killed around the very writes that finish a scan."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.chaos.checks import committed
from tests.chaos.lab import Lab
from tests.chaos.test_drivers import assert_kept

pytestmark = [pytest.mark.ray, pytest.mark.chaos]

WRITES = [
    "kill-after:owner.json",
    "kill-before:plan.json",
    "kill-before:models.parquet",
    "kill-after:failures.parquet",
    "kill-after:cards.json",
    "kill-after:scan.yaml",
    "kill-before:manifest.json",
    "kill-after:manifest.json",
    "kill-before:latest.json",
    "kill-after:latest.json",
]


@pytest.mark.parametrize("moment", WRITES)
def test_the_driver_is_killed_around_a_write(lab: Lab, moment: str) -> None:
    with lab.trial("kill -9 of the driver around a write") as trial:
        output = lab.new_output()
        with lab.attempt(output, module="tests.chaos.disturbed", arguments=[moment]) as killed:
            code = killed.wait()
        assert code == -signal.SIGKILL, f"{moment} never came:\n{killed.output}"
        trial.hit()
        before = committed(output)
        is_finished = list(Path(output).glob("scans/*/manifest.json"))
        with lab.attempt(output) as last:
            last.complete()
        assert_kept(before, output, last)
        assert len(list(Path(output).glob("scans/*/manifest.json"))) == 1 + len(is_finished)
        lab.judge(trial, output, [killed, last])
