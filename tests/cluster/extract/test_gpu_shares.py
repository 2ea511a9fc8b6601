"""Shares of a GPU: as little as a model needs, larger when that was too little."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import pytest

from cluster.extract.gpu_shares import (
    GpuShare,
    gpu_share,
    gpu_shares,
    needed_bytes,
    share_lines,
    share_text,
    sharing_groups,
)
from cluster.extract.graphs import extract_graphs
from cluster.extract.plan import ScanPlan
from cluster.pool.context import ScanContext
from cluster.pool.loop import WorkerPool
from cluster.pool.progress import PlainReporter
from cluster.pool.units import Outcome
from depara.config import parse_scan
from depara.errors import FailureKind
from depara.ledger import DEVICE_PARTS, GPU_PROCESS_BYTES
from depara.store.storage import Storage
from depara.types import Failure, LayerInfo
from tests.cluster.extract.test_plan import SCAN, card, plan
from tests.cluster.pool.fake_launcher import FakeLauncher, FakeWorker

GIB = 2**30
AUTO = ("compute.num_gpus=auto", "compute.gpu_memory=16GiB")


def shared_plan(*overrides: str, features: int = 8) -> ScanPlan:
    """Models a (small), b (needs half a GPU) and c (more than one)."""
    found = [
        replace(card(name, name), num_parameters=parameters, activation_bytes=activations)
        for name, parameters, activations in (
            ("a", 10**6, 2**20), ("b", 10**8, 40 * 2**20), ("c", 2 * 10**9, 2**30),
        )
    ]  # fmt: skip
    layers = tuple(LayerInfo(f"l{i}", i, 1.0, features, (features,)) for i in range(2))
    made = plan(frozenset(), *(replace(one, layers=layers) for one in found))
    return replace(made, config=parse_scan(SCAN, (*AUTO, *overrides)).config)


def test_what_is_needed_is_weights_activations_or_features_and_the_process() -> None:
    found = shared_plan()
    compute = found.config.compute
    need = needed_bytes(found.models[1], 100, compute)
    activations = 1.25 * 32 * 40 * 2**20 / float(DEVICE_PARTS["activations"].share)
    assert need == pytest.approx(GPU_PROCESS_BYTES + 8 * 10**8 + activations)
    assert needed_bytes(found.models[1], 8, compute) < need, "a batch is never more than all probes"
    fixed = shared_plan("compute.batch_size=4")
    assert needed_bytes(fixed.models[1], 100, fixed.config.compute) < need
    wide = shared_plan(features=10**8)
    features = 2 * 4 * 100 * 10**8 / float(DEVICE_PARTS["features"].share)
    assert needed_bytes(wide.models[0], 100, compute) == pytest.approx(
        GPU_PROCESS_BYTES + 8 * 10**6 + features
    )


@pytest.mark.parametrize(
    ("need_gib", "workers"), [(0.1, 8), (1.8, 8), (1.81, 4), (3.6, 4), (7.2, 2), (7.3, 1), (99, 1)]
)
def test_so_many_share_a_gpu_as_fit_beside_a_margin(need_gib: float, workers: int) -> None:
    found = gpu_share(int(need_gib * GIB), 16 * GIB)
    assert found.workers_per_gpu == workers
    assert found.gpus * workers == 1


def test_shares_are_of_models_with_something_to_do() -> None:
    shares = gpu_shares(shared_plan(), 16 * GIB)
    assert {name: one.workers_per_gpu for name, one in shares.items()} == {"a": 8, "b": 2, "c": 1}
    done = replace(shared_plan(), models=plan(frozenset(range(6))).models)
    assert gpu_shares(done, 16 * GIB) == {}


def test_whole_gpus_come_first() -> None:
    found = shared_plan()
    batches = sharing_groups(found.groups(), gpu_shares(found, 16 * GIB))
    assert [(gpus, [group.name for group in groups]) for gpus, groups in batches] == [
        (1.0, ["c"]), (0.5, ["b"]), (0.125, ["a"])
    ]  # fmt: skip


def test_a_dry_run_says_what_is_chosen_and_why() -> None:
    lines = share_lines(shared_plan())
    assert len(lines) == 3
    assert lines[0].startswith("gpus:        a whole GPU of 17.2 GB for 1 models, which need up to")
    assert lines[0].endswith("(c)")
    assert "1/8 of a GPU of 17.2 GB" in lines[2]
    unknown = replace(shared_plan(), config=parse_scan(SCAN, AUTO[:1]).config)
    assert "compute.gpu_memory" in share_lines(unknown)[0]
    assert share_lines(plan()) == []
    assert share_text(0.25) == "1/4 of a GPU"


class SharingLauncher(FakeLauncher):
    """Has two GPUs; a model that needs more than its worker's share fails there."""

    def __init__(self, short: dict[str, float], gpu_bytes: int | None = 16 * GIB) -> None:
        super().__init__(self._answer)
        self.short, self._gpu_bytes = short, gpu_bytes
        self.num_gpus = 0.0
        self.asked: dict[int, float] = {}
        self.ran: list[tuple[str, float]] = []

    def gpu_bytes(self) -> int | None:
        return self._gpu_bytes

    def ask_for(self, num_gpus: float) -> None:
        self.num_gpus = num_gpus

    def capacity(self) -> int:
        return max(1, int(2 / self.num_gpus)) if self.num_gpus else 2

    def start_worker(self) -> Any:
        self.asked[len(self.workers)] = self.num_gpus
        return super().start_worker()

    def _answer(self, worker: FakeWorker, unit: Any, attempt: int) -> Outcome:
        name, share = unit.model_id, self.asked[worker.number]
        self.ran.append((name, share))
        if share < self.short.get(name, 0):
            failure = Failure(
                name, "extract", "OutOfMemoryError", "full", kind=FailureKind.NO_MEMORY
            )
            return Outcome(failure=failure)
        return Outcome(unit.name)


def run(
    launcher: SharingLauncher, tmp_path: Any, *overrides: str
) -> tuple[dict[str, Any], list[str]]:
    stream = io.StringIO()
    context = ScanContext(Storage(str(tmp_path)), launcher, PlainReporter(stream))
    pool = WorkerPool(launcher, 2, clock=launcher.clock)
    results = extract_graphs(shared_plan(*overrides), pool, context)
    return results, stream.getvalue().splitlines()


def test_every_model_runs_on_the_share_that_it_asks_for(tmp_path: Any) -> None:
    launcher = SharingLauncher({})
    results, lines = run(launcher, tmp_path)
    assert all(result.failure is None for result in results.values())
    assert list(results) == ["a", "b", "c"]
    assert dict(launcher.ran) == {"a": 0.125, "b": 0.5, "c": 1.0}
    assert any("17.2 GB of GPU memory: 1/8 of a GPU for 1 models, 1/2" in line for line in lines)


def test_what_is_short_of_memory_runs_again_on_a_whole_one(tmp_path: Any) -> None:
    launcher = SharingLauncher({"a": 1.0})
    results, lines = run(launcher, tmp_path)
    assert all(result.failure is None for result in results.values())
    assert launcher.ran.count(("a", 0.125)) == 1
    assert ("a", 1.0) in launcher.ran
    assert any("a: out of memory on 1/8 of a GPU, computed again on a whole" in x for x in lines)
    assert not any("failed" in line for line in lines), "nothing has failed"


def test_what_a_whole_gpu_does_not_hold_fails_once(tmp_path: Any) -> None:
    launcher = SharingLauncher({"a": 2.0, "c": 2.0})
    results, lines = run(launcher, tmp_path)
    assert {name for name, result in results.items() if result.failure} == {"a", "c"}
    assert launcher.ran.count(("c", 1.0)) == 1
    assert sum("a: OutOfMemoryError: full" in line for line in lines) == 1


def test_without_a_gpu_cpus_compute(tmp_path: Any) -> None:
    launcher = SharingLauncher({}, gpu_bytes=None)
    results, lines = run(launcher, tmp_path)
    assert all(result.failure is None for result in results.values())
    assert set(launcher.asked.values()) == {0.0}
    assert any("there is no GPU: CPUs compute" in line for line in lines)


def test_a_share_that_nobody_gives_ends_the_scan_in_time(tmp_path: Any) -> None:
    """That workers were ready before, without a GPU, is no promise of one."""
    from depara.errors import ClusterError

    launcher = SharingLauncher({})
    launcher.starts = lambda number: "hang"
    context = ScanContext(Storage(str(tmp_path)), launcher, PlainReporter(io.StringIO()))
    pool = WorkerPool(launcher, 2, ready_timeout_s=20, clock=launcher.clock)
    pool.someone_was_ready = True
    with pytest.raises(ClusterError, match="no worker became ready within 20 s"):
        extract_graphs(shared_plan(), pool, context)


def test_shares_are_numbers_that_a_cluster_can_place() -> None:
    assert {GpuShare(1, count).gpus for count in (1, 2, 4, 8)} == {1, 0.5, 0.25, 0.125}
