"""Models whose forward pass harms its process: a failure of theirs, and of nobody else."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path

import pytest

from benchmarks.lab.attempt import find_units, units_twice
from cluster.pool.slots import MAX_HANGS_PER_GROUP
from tests.chaos.lab import Lab, harmful

pytestmark = pytest.mark.ray

DEATHS = {"Exits": 3, "Aborts": 3, "Hangs": MAX_HANGS_PER_GROUP, "Eats": 3}
FAULTS = {
    "Exits": "a forward pass that calls os._exit",
    "Aborts": "a forward pass that aborts",
    "Hangs": "a forward pass that hangs for ever",
}
_LEFT_FREE_BYTES = int(1.5 * 2**30)


@pytest.mark.chaos
@pytest.mark.parametrize("kinds", [["Exits"], ["Exits", "Aborts", "Hangs"]], ids=["one", "three"])
def test_models_that_end_their_process(lab: Lab, tmp_path: Path, kinds: list[str]) -> None:
    with ExitStack() as stack:
        trials = [stack.enter_context(lab.trial(FAULTS[kind])) for kind in kinds]
        output = lab.new_output()
        models = [*(harmful(kind, tmp_path) for kind in kinds), *lab.zoo]
        # Long enough for a new process that shares its cores to open the model.
        settings = ["compute.unit_timeout_s=20"] if "Hangs" in kinds else []
        with lab.attempt(output, *settings, models=models) as attempt:
            attempt.complete(3)
        names = [kind.lower() for kind in kinds]
        twice = {name: find_repeats(attempt.output, name) for name in names}
        for kind, trial in zip(kinds, trials, strict=True):
            assert len(list(tmp_path.glob(f"{kind}-*"))) == DEATHS[kind]
            assert f"failed: {kind.lower()}: " in attempt.output
            trial.hit()
            lab.judge(trial, output, [attempt], names, lost_units=twice[kind.lower()])
        others = units_twice([attempt.output]) - sum(twice.values())
        assert others == 0, f"{others} units of other models were started again"


@pytest.mark.chaos
def test_a_model_that_eats_memory(lab: Lab, tmp_path: Path) -> None:
    with lab.trial("a forward pass that eats memory") as trial:
        output = lab.new_output()
        used_bytes, total_bytes = _memory()
        guard = {  # Ray's own, in a Ray of its own
            "RAY_memory_usage_threshold": f"{(used_bytes + _LEFT_FREE_BYTES) / total_bytes:.4f}",
            "RAY_memory_monitor_refresh_ms": "100",
        }
        eater = harmful("Eats", tmp_path, limit_bytes=4 * _LEFT_FREE_BYTES)
        with lab.attempt(output, models=[eater, *lab.zoo], env=guard) as attempt:
            attempt.complete(3)
        assert len(list(tmp_path.glob("Eats-*"))) >= DEATHS["Eats"]
        assert "memory" in attempt.output
        trial.hit()
        lab.judge(trial, output, [attempt], ["eats"])


def find_repeats(output: str, model: str) -> int:
    """Returns how many units of a model were started again."""
    counts = [n for unit, n in find_units(output).items() if unit.split()[0] == model]
    return sum(counts) - len(counts)


def _memory() -> tuple[int, int]:
    """Memory in use and memory there is, bytes."""
    lines = (line.split() for line in Path("/proc/meminfo").read_text().splitlines())
    kilobytes = {words[0].rstrip(":"): int(words[1]) for words in lines}
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return total - kilobytes["MemAvailable"] * 1024, total
