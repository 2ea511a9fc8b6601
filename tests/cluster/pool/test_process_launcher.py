"""A worker in a process of its own answers, and its end is told with the reason."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cluster.extract.units import ResolveUnit
from cluster.pool.launcher import WorkerLostError
from cluster.pool.process_launcher import ProcessLauncher
from depara.config import ScanConfig


def test_a_model_that_ends_its_process_is_told_and_the_driver_lives(tmp_path: Path) -> None:
    sources = {"good": "python:tests.jobs.zoo:Tiny", "bad": "python:os:_exit"}
    config = ScanConfig.model_validate(
        {
            "output": str(tmp_path),
            "probes": {"source": "p"},
            "canvas": {"side": 32},
            "models": [
                {"id": "good", "source": sources["good"], "weights": "random:0"},
                {"id": "bad", "source": sources["bad"], "kwargs": {"status": 7}},
            ],
        }
    )
    launcher = ProcessLauncher(str(tmp_path), 1)
    worker, ready = launcher.start_worker()
    try:
        assert launcher.wait([ready], 120) == [ready]
        assert launcher.fetch(ready).value == "CPU"
        good = launcher.run(worker, ResolveUnit(config.models[0], config), 0, None)
        assert launcher.wait([good], 120) == [good]
        assert launcher.fetch(good).value.model_id == "good"
        bad = launcher.run(worker, ResolveUnit(config.models[1], config), 0, None)
        assert launcher.wait([bad], 120) == [bad]
        with pytest.raises(WorkerLostError, match=re.escape("exit code 7 (os._exit")):
            launcher.fetch(bad)
    finally:
        launcher.kill(worker)
