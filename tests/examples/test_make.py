"""`make` lists its targets, and `.ci/run` passes on what lint and tests say."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_help_lists_every_public_target():
    listed = {line.split()[0] for line in make("help").stdout.splitlines()}
    assert {"install", "lint", "test", "demo", "bench", "clean", "help"} <= listed


@pytest.mark.parametrize("target", ["install", "lint", "test", "demo", "bench"])
def test_recipes_can_be_expanded(target: str):
    dry = make("--dry-run", "--always-make", target)
    assert dry.returncode == 0, dry.stderr
    assert "-c constraints.txt" in dry.stdout


def test_the_demo_does_not_install_the_development_tools():
    dry = make("--dry-run", "--always-make", "demo").stdout
    assert '".[scan,demo]"' in dry
    assert "[dev]" not in dry
    assert dry.index("examples.digits.train") < dry.index("jobs.scan examples/digits/scan.yaml")


@pytest.mark.parametrize(
    ("lint", "test", "summary", "status"),
    [
        (0, 0, "12 passed, 3 skipped in 4.56s", 0),
        (0, 1, "1 failed, 11 passed in 61.20s (0:01:01)", 1),
        (1, 0, "12 passed in 4.56s", 1),
        (0, 1, "2 errors in 0.31s", 1),
    ],
)
def test_ci_run_ends_with_pytest_s_summary(
    tmp_path: Path, lint: int, test: int, summary: str, status: int
):
    fake = tmp_path / "make"
    fake.write_text(
        "#!/bin/sh\n"
        f'[ "$1" = lint ] && {{ echo "All checks passed! in 1.0s"; exit {lint}; }}\n'
        f'echo "tests/test_a.py::test 1 passed"; echo "{summary}"; '
        f'echo "make: *** [test] Error {test}" >&2; exit {test}\n'
    )
    (tmp_path / "chromium").touch()  # else it would be installed, on this very machine
    for program in tmp_path.iterdir():
        program.chmod(0o755)
    run = subprocess.run(
        ["bash", str(ROOT / ".ci" / "run")],
        cwd=tmp_path, env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "CI": "true"},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (run.returncode == 0) == (status == 0)
    assert run.stdout.splitlines()[-1] == summary
    assert ("make lint failed" in run.stdout) == (lint != 0)
