"""Probe ranges cover the probes, in pieces that fit."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from depara.extraction.ranges import fitting_ranges, split_probes


@given(num_probes=st.integers(1, 3000), unit_probes=st.integers(1, 400))
def test_ranges_cover_all_probes_once_in_nearly_equal_pieces(
    num_probes: int, unit_probes: int
) -> None:
    ranges = split_probes(num_probes, unit_probes)
    covered = [index for probes in ranges for index in range(probes.start, probes.stop)]
    assert covered == list(range(num_probes))
    sizes = {len(probes) for probes in ranges}
    assert max(sizes) <= unit_probes
    assert max(sizes) - min(sizes) <= 1


def test_ranges_are_halved_until_the_maps_of_all_layers_fit() -> None:
    whole = split_probes(100, 50)
    per_probe_bytes = 3 * 8**2 * 2
    roomy, narrow = 8 * 50 * per_probe_bytes, 8 * 13 * per_probe_bytes  # maps take an eighth
    assert fitting_ranges(whole, 3, 64, roomy) == whole
    halved = fitting_ranges(whole, 3, 64, narrow)
    assert [len(probes) for probes in halved] == [12, 13, 12, 13] * 2
    assert [probes.start for probes in halved[1:]] == [probes.stop for probes in halved[:-1]]
    assert {len(probes) for probes in fitting_ranges(whole, 3, 64, 1)} == {1}
