"""Two scans at once, and clocks that jump."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import pytest

from benchmarks.lab.attempt import Attempt
from depara import open_scan
from depara.store.scans import finished_scans
from depara.store.storage import Storage
from tests.chaos.checks import differences, read_tables
from tests.chaos.lab import LAYERS, NUM_GRAPHS, UNITS_PER_MODEL, Lab

pytestmark = [pytest.mark.ray, pytest.mark.chaos]

DAY_S = 86_400
MOST_MODELS_TWICE = 2
"""Each scan may be in the middle of one when the other begins it."""


def test_two_scans_at_once_on_one_output(lab: Lab) -> None:
    with lab.trial("two scans at once on one output") as trial:
        output = lab.new_output()
        with (
            lab.gate.holding("m2", after=1),
            lab.attempt(output, "compute.workers=1") as first,
            lab.attempt(output, "compute.workers=1") as second,
        ):
            for attempt in (first, second):
                attempt.wait_for("graphs: ")
            lab.gate.wait_for()
            assert first.is_running
            assert second.is_running
            trial.hit()
            lab.gate.release("m2")
            first.complete()
            second.complete()
        scans = finished_scans(Storage(output))
        assert len(scans) == 2
        for scan in scans:
            assert not differences(read_tables(output, scan), lab.baseline.tables)
        # Units of a model that the other scan has committed are started, and find nothing to do.
        twice = sum(_computed(output, scan) for scan in scans) - NUM_GRAPHS
        orders = "\n".join(", ".join(_order(attempt)) for attempt in (first, second))
        assert 0 <= twice <= MOST_MODELS_TWICE * LAYERS, f"{twice} graphs done twice:\n{orders}"
        lab.judge(trial, output, [first, second], lost_units=twice // LAYERS * UNITS_PER_MODEL)


def _order(attempt: Attempt) -> list[str]:
    """The models in the order in which a scan began them, and when, s."""
    starts = [line for line in attempt.lines if " extract 000000-" in line.text]
    return [f"{x.text.split()[2]} {x.at_s:.1f}" for x in starts if "started" in x.text]


def _computed(output: str, scan_id: str) -> int:
    manifest = open_scan(output, scan_id).manifest
    return int(manifest["num_graphs"] - manifest["num_reused_graphs"])


@pytest.mark.parametrize("jump_s", [-DAY_S, DAY_S], ids=["back", "ahead"])
def test_the_clock_jumps(lab: Lab, jump_s: int) -> None:
    with lab.trial(f"a clock that jumps a day {'back' if jump_s < 0 else 'ahead'}") as trial:
        output = lab.new_output()
        with lab.attempt(
            output, module="tests.chaos.disturbed", arguments=[f"jump:{jump_s}"]
        ) as attempt:
            attempt.complete()
        [path] = Path(output).glob("scans/*/manifest.json")
        manifest = json.loads(path.read_text())
        start, end = (datetime.fromisoformat(manifest[f"{n}_at"]) for n in ("started", "finished"))
        assert abs((end - start).total_seconds() - jump_s) < 600
        trial.hit()
        assert 0 < manifest["seconds"] < 600
        with lab.attempt(output) as again:  # the next scan is the latest, whatever the clock said
            again.complete()
        latest = json.loads(Path(output, "latest.json").read_text())
        assert latest["scan_id"] != path.parent.name
        assert not again.units().keys() & {"m0 commit", "wide commit"}
        lab.judge(trial, output, [attempt])
