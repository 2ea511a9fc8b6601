"""Following tensor memory; keeping freed memory at hand."""

from __future__ import annotations

import resource
import sys

import pytest
import torch

from depara.attribution.memory import PeakMemory, freed_memory_kept

MIB = 2**20


def test_the_peak_is_that_of_tensors_alive_together() -> None:
    with PeakMemory() as peak:
        one = torch.zeros(MIB)  # 4 MiB
        other = one + 1
        del other
        third = one * 2
        third.mul_(2)
        third.view(2, -1)
    assert peak.peak_bytes == 8 * MIB


def test_what_the_graph_keeps_counts_and_known_tensors_do_not() -> None:
    weight = torch.zeros(1024, 1024)
    leaf = torch.zeros(1024, 1024, requires_grad=True)
    with PeakMemory([weight, leaf]) as peak:
        kept = (leaf * weight.t()).exp()  # the product goes, the result stays for the backward
        assert peak.peak_bytes == 2 * 4 * MIB
        (kept.exp() * 2).sum().backward()
    assert peak.peak_bytes == pytest.approx(4 * 4 * MIB, abs=64)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="page faults of Linux' allocator")
def test_freed_blocks_are_used_again_without_page_faults() -> None:
    def faults() -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(8):
            torch.ones(16 * MIB)  # 64 MiB: 16384 pages of 4 KiB
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    outside = faults()
    with freed_memory_kept():
        inside = faults()
    # Not 1 in 8: what another thread allocates between two blocks may lie where the next would.
    assert inside < outside / 2
