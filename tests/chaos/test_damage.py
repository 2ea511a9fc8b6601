"""Files that are not what was written: found, named, and computed anew."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from benchmarks.lab.attempt import Attempt
from depara import open_scan
from depara.store.layout import MARKER_FILE
from tests.chaos.damage import DAMAGES, damage, file_of, find_graph
from tests.chaos.lab import Lab

pytestmark = pytest.mark.ray

KINDS = ("node", "edge")
PLACES = [("m0", "block1"), ("m1", "code"), ("m2", "block2"), ("wide", "code")]

Case = tuple[str, str]
"""Which file, and what befalls it."""

CASES: list[Case] = [(kind, how) for how in DAMAGES for kind in KINDS]
BOUNDED: list[Case] = [("node", "one flipped byte"), ("edge", "truncated")]


def name(case: Case) -> str:
    return f"{case[0]} file, {case[1]}"


@pytest.mark.chaos
def test_some_committed_graphs_are_damaged(lab: Lab) -> None:
    damage_committed(lab, BOUNDED, "committed files of two graphs, both at once")


@pytest.mark.chaos
@pytest.mark.parametrize("case", CASES, ids=name)
def test_a_committed_graph_is_damaged(lab: Lab, case: Case) -> None:
    damage_committed(lab, [case], f"committed {name(case)}")


@pytest.mark.chaos
@pytest.mark.parametrize("case", CASES, ids=name)
def test_a_leftover_is_damaged(lab: Lab, case: Case) -> None:
    damage_leftovers(lab, [case], f"leftover {name(case)}")


@pytest.mark.chaos
def test_some_leftovers_are_damaged(lab: Lab) -> None:
    cases = [("node", "of another probe set"), ("edge", "one flipped byte"), ("node", "truncated")]
    damage_leftovers(lab, cases, "leftover files of three graphs, all at once")


def damage_committed(lab: Lab, cases: Sequence[Case], fault: str) -> None:
    """Damages one committed graph per case: the next scan finds, names and mends them."""
    with lab.trial(fault) as trial:
        output = lab.copy_of_baseline(with_scans=False)
        damaged = []
        for (kind, how), place in zip(cases, PLACES, strict=False):
            folder, marker = find_graph(output, *place)
            path = folder / file_of(kind, marker)
            damaged.append((path, damage(folder, path.name, how, marker)))
            trial.hit()
        with lab.attempt(output) as attempt:
            attempt.complete()
        for path, data in damaged:
            assert str(path) in attempt.output, f"{path} was not named:\n{attempt.output}"
            assert path.read_bytes() != data, f"{path} was not computed anew"
        # An empty file is seen in the listing: its graph counts as missing, not as healed.
        seen_late = sum(how != "empty" for _, how in cases)
        assert open_scan(output).manifest["work"]["graphs_healed"] == seen_late
        lab.judge(trial, output, [attempt], lost_units=_computed(attempt))


def damage_leftovers(lab: Lab, cases: Sequence[Case], fault: str) -> None:
    """Un-commits one graph per case and damages a file of it: it is never taken for sound."""
    with lab.trial(fault) as trial:
        output = lab.copy_of_baseline(with_scans=False)
        damaged = []
        for (kind, how), place in zip(cases, PLACES, strict=False):
            folder, marker = find_graph(output, *place)
            (folder / MARKER_FILE).unlink()
            path = folder / file_of(kind, marker)
            damaged.append((path, damage(folder, path.name, how, marker)))
            trial.hit()
        with lab.attempt(output) as attempt:
            attempt.complete()
        for path, data in damaged:
            assert path.read_bytes() != data, f"{path} was not computed anew"
        assert open_scan(output).manifest["work"]["node_files_reused"] > 0
        lab.judge(trial, output, [attempt], lost_units=_computed(attempt))


def _computed(attempt: Attempt) -> int:
    """Units of the graphs: the undisturbed run had done all of them."""
    return sum(n for unit, n in attempt.units().items() if unit.split()[1] in ("extract", "commit"))
