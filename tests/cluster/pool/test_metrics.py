"""What becomes of a pool's units and workers is told by metrics, each by a name of the table."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cluster.pool.context import ScanContext
from cluster.pool.launcher import WorkerLostError
from cluster.pool.loop import WorkerPool
from cluster.pool.metrics import METRICS, LibraryMetrics
from cluster.pool.phases import PHASES, STATES, PhaseClock, TaskCost
from cluster.pool.progress import Reporter
from cluster.pool.sampling import Sampler, sampled
from cluster.pool.units import Group, Outcome
from depara import retries
from depara.errors import StorageUnavailableError
from depara.retries import RetryPolicy, persist
from depara.store.storage import Storage
from depara.traffic import Traffic, total_traffic
from depara.types import Failure
from tests.cluster.pool.fake_launcher import FakeLauncher, Step
from tests.cluster.pool.library import FakeLibrary


class GraphStep(Step):
    num_graphs = 3


def group(name: str, *units: Step, seconds: float = 1.0) -> Group:
    return Group(name, units, seconds)  # type: ignore[arg-type]


def pool_of(launcher: FakeLauncher, library: FakeLibrary) -> WorkerPool:
    phases = PhaseClock(launcher.clock)
    metrics = LibraryMetrics(library)
    return WorkerPool(launcher, 2, clock=launcher.clock, phases=phases, metrics=metrics)


def passing() -> Outcome:
    error = StorageUnavailableError("no answer")
    return Outcome(failure=Failure.of(error, str(error), stage="extract"))


# ----------------------------------------------------------------------------------- the table


def test_names_are_those_that_prometheus_allows_and_every_one_is_explained() -> None:
    assert len({one.name for one in METRICS}) == len(METRICS)
    for one in METRICS:
        assert re.fullmatch(r"depara_[a-z_]+[a-z]", one.name)
        assert not one.name.endswith(("_total", "_count", "_sum", "_bucket")), "Ray adds these"
        assert one.help.endswith("."), one.name
        assert (one.kind == "histogram") == bool(one.boundaries)
        assert list(one.boundaries) == sorted(set(one.boundaries))


def test_no_label_grows_with_the_zoo() -> None:
    allowed = {"phase", "state", "kind", "reason", "stage", "direction", "process"}
    assert {label for one in METRICS for label in one.labels} == allowed


def test_a_name_or_label_that_is_not_in_the_table_is_a_fault() -> None:
    metrics = LibraryMetrics(FakeLibrary())
    with pytest.raises(KeyError):
        metrics.add("depara_nothing")
    with pytest.raises(ValueError, match="labels"):
        metrics.add("depara_failures", model="resnet50")


def test_ray_takes_every_metric_of_the_table() -> None:
    from ray.util import metrics

    LibraryMetrics(metrics)


# ------------------------------------------------------------------------------------- the loop


def test_units_and_graphs_are_counted_when_they_end() -> None:
    library, launcher = FakeLibrary(), FakeLauncher(seconds=lambda unit: float(unit))
    pool = pool_of(launcher, library)
    pool.run([group("a", Step("2"), GraphStep("5")), group("b", GraphStep("1"))])
    assert library.totals["depara_graphs"] == {(): 6}
    assert library.observed["depara_unit_seconds"] == {("extract",): [1.0, 2.0, 5.0]}
    assert "depara_failures" not in library.totals


def test_a_unit_that_fails_commits_nothing() -> None:
    failed = Outcome(failure=Failure("a", "commit", "ModelError", "NaN"))
    library = FakeLibrary()
    launcher = FakeLauncher(lambda worker, unit, attempt: failed)
    pool_of(launcher, library).run([group("a", GraphStep("1"))])
    assert "depara_graphs" not in library.totals
    assert library.totals["depara_failures"] == {("commit",): 1}


@pytest.mark.parametrize(
    ("fate", "reason"), [("die", "other"), ("lose node", "node"), ("lose memory", "memory")]
)
def test_a_lost_worker_is_told_with_its_reason_and_its_group_begins_again(
    fate: str, reason: str
) -> None:
    library, fates = FakeLibrary(), [fate]
    launcher = FakeLauncher(
        lambda worker, unit, attempt: fates.pop() if fates else Outcome(unit), lambda unit: 1.0
    )
    pool_of(launcher, library).run([group("a", Step("1"))])
    assert library.totals["depara_workers_lost"] == {(reason,): 1}
    assert library.totals["depara_requeued"] == {("worker",): 1}


def test_a_hang_has_its_own_word() -> None:
    assert WorkerLostError("silent", is_hang=True).kind == "hang"


def test_what_kills_its_workers_is_begun_again_until_it_is_given_up() -> None:
    library = FakeLibrary()
    pool_of(FakeLauncher(lambda *args: "die"), library).run([group("a", Step("1"))])
    assert library.totals["depara_workers_lost"] == {("other",): 3}
    assert library.totals["depara_requeued"] == {("worker",): 2}
    assert library.totals["depara_failures"] == {("extract",): 1}


def test_a_storage_that_does_not_answer_puts_a_group_back() -> None:
    library, answers = FakeLibrary(), [passing()]
    launcher = FakeLauncher(lambda worker, unit, attempt: answers.pop() if answers else Outcome())
    pool_of(launcher, library).run([group("a", Step("1"))])
    assert library.totals["depara_requeued"] == {("storage",): 1}


def test_waiting_are_the_groups_that_no_worker_has() -> None:
    launcher, waiting = FakeLauncher(), []
    pool = pool_of(launcher, FakeLibrary())
    assert pool.num_waiting == 0
    pool.run(
        [group(str(number), Step("1")) for number in range(5)],
        lambda event: waiting.append(pool.num_waiting) if event.kind == "tick" else None,
    )
    assert waiting[0] == 5, "while workers start, all wait"
    assert 0 < max(waiting[2:]) <= 3
    assert waiting[-1] == pool.num_waiting == 0


# --------------------------------------------------------------------------------- the sampler


def watched(tmp_path: Path) -> tuple[Sampler, FakeLibrary, ScanContext, FakeLauncher]:
    library, launcher = FakeLibrary(), FakeLauncher()
    pool = pool_of(launcher, library)
    storage = Storage(str(tmp_path))
    context = ScanContext(
        storage, launcher, Reporter(), phases=pool.phases, metrics=LibraryMetrics(library)
    )
    return Sampler(pool, context), library, context, launcher


def test_totals_are_told_once_however_often_they_are_read(tmp_path: Path) -> None:
    sampler, library, context, launcher = watched(tmp_path)
    context.phases.enter("graphs")
    launcher.now_s += 8
    context.phases.add_worker("busy", 6.0)
    context.phases.add_traffic(Traffic(10, 20, 30, 40, 50, 60))
    sampler.sample()
    sampler.sample()
    launcher.now_s += 1
    context.phases.enter("comparison")
    context.phases.add_tasks([TaskCost(2.0, Traffic(read_bytes=5))])
    sampler.end()
    assert library.totals["depara_phase_seconds"] == {("graphs",): 9.0}
    assert library.totals["depara_worker_seconds"] == {("busy",): 6.0, ("tasks",): 2.0}
    moved = library.totals["depara_moved_bytes"]
    assert {key[0]: moved[key] for key in moved if key[1] == "workers"} == {
        "read": 15, "written": 20, "to_device": 40, "from_device": 50,
    }  # fmt: skip
    assert library.totals["depara_requests"]["workers",] == 30
    assert library.totals["depara_retries"] == {("workers",): 60}


def test_what_the_driver_moves_is_told_apart(tmp_path: Path) -> None:
    sampler, library, context, _ = watched(tmp_path)
    context.storage.create("a", b"12345")
    sampler.sample()
    assert library.totals["depara_moved_bytes"] == {("written", "driver"): 5}
    assert library.totals["depara_requests"] == {("driver",): 1}


def test_what_is_now_is_told_every_time_and_gone_at_the_end(tmp_path: Path) -> None:
    sampler, library, context, _ = watched(tmp_path)
    context.reporter.phase("graphs", 7, "units")
    context.reporter.step(2)
    sampler._pool.slots.fill(2)
    for _ in range(2):
        library.values.clear()  # as Ray forgets a gauge that nobody sets
        sampler.sample()
        assert library.values["depara_scan_running"] == {(): 1}
        assert library.values["depara_workers"] == {
            ("starting",): 2, ("busy",): 0, ("idle",): 0,
        }  # fmt: skip
    assert library.values["depara_steps_done"] == {(): 2}
    assert library.values["depara_steps"] == {(): 7}
    sampler.end()
    assert library.values["depara_scan_running"] == {(): 0}
    assert set(library.values["depara_workers"].values()) == {0}


def test_a_scan_that_fails_is_no_longer_running(tmp_path: Path) -> None:
    sampler, library, context, _ = watched(tmp_path)

    def interrupted() -> None:
        with sampled(sampler._pool, context):
            assert library.values["depara_scan_running"] == {(): 1}
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert library.values["depara_scan_running"] == {(): 0}


def test_labels_have_the_values_that_the_code_knows(tmp_path: Path) -> None:
    sampler, library, context, launcher = watched(tmp_path)
    for phase in PHASES:
        context.phases.enter(phase)
        launcher.now_s += 1
    for state in STATES:
        context.phases.add_worker(state, 1.0)
    sampler.sample()
    assert {key[0] for key in library.totals["depara_phase_seconds"]} == set(PHASES)
    assert {key[0] for key in library.totals["depara_worker_seconds"]} == set(STATES)


def test_requests_that_are_tried_again_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "POLICY", RetryPolicy(10, 0.001, 0.001))
    faults = [TimeoutError(), ConnectionResetError()]
    before = total_traffic()

    def action() -> int:
        if faults:
            raise faults.pop()
        return 1

    assert persist("read", "a", action) == 1
    assert (total_traffic() - before).retries == 2
