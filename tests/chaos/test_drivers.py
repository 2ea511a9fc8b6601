"""Ends of the driver: whatever ends it, the same command goes on where it was."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.lab.attempt import PHASES, Attempt
from depara import open_scan
from tests.chaos.checks import Committed, committed
from tests.chaos.lab import LAYERS, Lab
from tests.chaos.ledger import Trial

pytestmark = pytest.mark.ray

KILLS_PER_PHASE = 4
GOES_ON_WITHIN_S = 20.0

HOW_TO_GO_ON = "run the same command again"

Moment = tuple[str, float]
"""A phase, and the share of its time that has passed."""


def random_moments() -> list[Moment]:
    """Returns 20 moments of a scan, four in each of its phases."""
    rng = random.Random(20)
    return [(phase, rng.random()) for phase in PHASES for _ in range(KILLS_PER_PHASE)]


@pytest.mark.chaos
@pytest.mark.parametrize(
    "moment", random_moments(), ids=lambda moment: f"{moment[0]}-{moment[1]:.2f}"
)
def test_the_driver_is_killed_at_a_random_moment(lab: Lab, moment: Moment) -> None:
    kill_and_resume(lab, [moment])


@pytest.mark.chaos
def test_the_driver_is_killed_three_times_in_a_row(lab: Lab) -> None:
    kill_and_resume(lab, [("models", 0.6), ("graphs", 0.5), ("similarity", 0.5)])


def kill_and_resume(lab: Lab, moments: Sequence[Moment]) -> None:
    """Kills one driver after the other, lets the last one end, and looks at what was redone."""
    with lab.trial("kill -9 of the driver") as trial:
        for hurry in (1.0, 0.7, 0.4, 0.1, 0.0):
            output = lab.new_output()
            killed = [kill_at(lab, output, (phase, hurry * s)) for phase, s in moments]
            if None not in killed:
                break
        for attempt in killed:
            assert attempt is not None, "every driver had ended before it was killed"
            trial.hit()
        before = committed(output)
        with lab.attempt(output) as last:
            last.complete()
        assert_kept(before, output, last)
        lab.judge(trial, output, [*filter(None, killed), last])


def kill_at(lab: Lab, output: str, moment: Moment) -> Attempt | None:
    """Kills a driver at a moment of its run; None when its scan had ended before."""
    phase, share = moment
    with lab.attempt(output) as attempt:
        attempt.wait_for(f"{phase}: ")
        time.sleep(share * lab.baseline.phase_s[phase])
        if not attempt.is_running:
            return None
        attempt.signal(signal.SIGKILL)
        code = attempt.wait()
    is_finished = list(Path(output).glob("scans/*/manifest.json"))
    return None if code != -signal.SIGKILL or is_finished else attempt


def assert_kept(before: Committed, output: str, attempt: Attempt) -> None:
    """The graphs committed before are as they were, and no unit of their models was started."""
    after = committed(output)
    for folder, (marker, facts) in before.items():
        assert after[folder][1] == facts, f"{marker.model_id} {marker.layer} was touched"
    graphs = Counter(marker.model_id for marker, _ in before.values())
    computed = {unit.split()[0] for unit in attempt.units() if not unit.endswith(" resolve")}
    redone = {model for model, count in graphs.items() if count == LAYERS} & computed
    assert not redone, f"computed although committed: {redone}"


def test_sigterm_ends_a_scan_that_says_how_to_go_on(lab: Lab) -> None:
    with lab.trial("SIGTERM to the driver") as trial:
        output = lab.new_output()
        with lab.gate.holding("m2", after=2), lab.attempt(output) as stopped:
            lab.gate.wait_for()
            seconds = stop(lab, stopped, release="m2")
            trial.hit()
        assert seconds < GOES_ON_WITHIN_S
        assert HOW_TO_GO_ON in stopped.output
        resume(lab, trial, output, stopped)


@pytest.mark.chaos
def test_sigterm_does_not_wait_for_a_unit_that_never_ends(lab: Lab) -> None:
    with lab.trial("SIGTERM while a unit never ends") as trial:
        output = lab.new_output()
        with lab.gate.holding("m2", after=2), lab.attempt(output) as stopped:
            lab.gate.wait_for()
            seconds = stop(lab, stopped)
            trial.hit()
        assert seconds < GOES_ON_WITHIN_S
        assert HOW_TO_GO_ON in stopped.output
        resume(lab, trial, output, stopped)


@pytest.mark.chaos
@pytest.mark.parametrize("phase", PHASES)
def test_sigint_in_any_phase(lab: Lab, phase: str) -> None:
    with lab.trial("SIGINT to the driver") as trial:
        output = lab.new_output()
        with lab.attempt(output) as stopped:
            stopped.wait_for(f"{phase}: ")
            started_s = time.monotonic()
            stopped.signal(signal.SIGINT)
            stopped.complete(130)
            trial.hit()
        assert time.monotonic() - started_s < GOES_ON_WITHIN_S
        resume(lab, trial, output, stopped)


def stop(lab: Lab, attempt: Attempt, release: str = "") -> float:
    """Sends SIGTERM; returns how long the driver took to end, s."""
    started_s = time.monotonic()
    attempt.signal(signal.SIGTERM)
    if release:
        time.sleep(0.5)  # the unit ends after the signal: it is waited for
        lab.gate.release(release)
    attempt.complete(128 + signal.SIGTERM)
    return time.monotonic() - started_s


def resume(lab: Lab, trial: Trial, output: str, stopped: Attempt) -> None:
    """Runs the same command again: nothing that was finished is computed again."""
    before = committed(output)
    done = stopped.units("done")
    with lab.attempt(output) as last:
        last.complete()
    assert_kept(before, output, last)
    again = {unit for unit in last.units() if unit in done and unit.endswith(" commit")}
    assert not again, f"committed again: {again}"
    lab.judge(trial, output, [stopped, last])
    whole = {marker.model_id for marker, _ in before.values()}
    kept = sum(LAYERS for unit in done if " extract " in unit and unit.split()[0] not in whole)
    reused = open_scan(output).manifest["work"]["node_files_reused"]
    assert reused >= kept, f"{reused} node files reused, {kept} were finished"
