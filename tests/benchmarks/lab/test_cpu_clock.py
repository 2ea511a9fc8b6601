"""The clock of processor time counts what was started and has ended, and no waiting."""

from __future__ import annotations

import subprocess
import sys
import time

from benchmarks.lab.cpu_clock import CpuClock

SPINS = "import time\nwhile time.process_time() < 0.9: pass"


def test_a_process_that_has_ended_counts_and_waiting_does_not() -> None:
    clock = CpuClock()
    first = clock()
    time.sleep(0.6)
    waited = clock() - first
    shell = ["sh", "-c", f'"{sys.executable}" -c "{SPINS}"; true']  # a child of a child
    subprocess.run(shell, check=True)
    spun = clock() - first - waited
    assert waited < 0.4
    assert 0.4 < spun < 3
