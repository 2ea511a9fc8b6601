"""The launcher on Ray Core: actors for models, tasks for tiles. The only file that imports ray."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from typing import Any

from cluster.pool.launcher import Handle, Ref, WorkerLostError, describe_resources
from cluster.pool.metrics import LibraryMetrics, Metrics
from cluster.pool.phases import Meter, TaskCost, measured
from cluster.pool.ray_environment import check_address, cluster_address, ray_folder
from cluster.pool.sharing import check_mark, this_machine
from cluster.pool.units import Outcome, Unit
from cluster.pool.worker import Worker, smallest_gpu_bytes
from depara.config import ComputeConfig
from depara.errors import ClusterError, ConfigError, StorageUnavailableError

_OBJECT_STORE_BYTES = 512 * 1024**2
_TASK_RETRIES = 3
_FETCH_TIMEOUT_S = 60.0
_DRAIN_POLL_S = 10.0
_GLANCE = 0.01
"""GPUs of a task that only looks at one: with none, Ray may hide it."""


@contextmanager
def connect(num_cpus: int | None = None, num_gpus: int | None = None) -> Iterator[None]:
    """Connects to the cluster that RAY_ADDRESS names, or starts a local Ray; leaves it at the end.

    Raises:
        ClusterError: the cluster cannot be reached or started.
    """
    # A bare init would turn token authentication on and write a file that changes later clusters.
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_DEDUP_LOGS", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray

    if ray.is_initialized():  # an embedding program, such as a test, owns the connection
        yield
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    address = cluster_address()
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.WARNING}
    with ExitStack() as stack:
        if address is not None:
            check_address(address)
        else:
            options |= {
                "address": "local",
                "num_cpus": num_cpus,
                "num_gpus": num_gpus,
                "include_dashboard": False,
                "object_store_memory": _OBJECT_STORE_BYTES,
                "_temp_dir": stack.enter_context(ray_folder()),
            }
        try:
            ray.init(**options)
        except Exception as error:
            # Ray raises a bare Exception when its processes do not come up in its own 30 s.
            known = (ConnectionError, RuntimeError, OSError, ValueError)
            if not isinstance(error, known) and type(error) is not Exception:
                raise
            raise ClusterError(_unconnected(address, " ".join(str(error).split()))) from error
        stack.callback(ray.shutdown)
        for number, handler in handlers.items():
            signal.signal(number, handler)  # ray.init replaces them
        yield


def make_metrics() -> Metrics:
    """Returns metrics that the Ray of this connection exports at the metrics port of its node."""
    from ray.util import metrics

    return LibraryMetrics(metrics)


def _unconnected(address: str | None, reason: str) -> str:
    """The message when Ray does not start, with what to do."""
    if address is None:
        return (
            f"cannot start a local Ray: {reason}. Its logs are below TMPDIR (RAY_TMPDIR names "
            "another folder), in ray/session_latest/logs; where it timed out, the machine is too "
            "busy: run the same command again later"
        )
    message = f"cannot connect to the Ray cluster at {address}: {reason}"
    if "Version mismatch" in reason:
        message += (
            ". Install the cluster's versions here, or use `ray job submit`, which runs the scan "
            "with the cluster's own"
        )
    return message


class _RayWorker(Worker):
    """The worker as an actor; it also says where it runs.

    It runs in the folder of the command, where its node has that folder: code of the user's and
    keyword arguments may name files relative to it.
    """

    def __init__(
        self,
        output: str,
        num_cpus: float,
        num_gpus: float,
        spill_dir: str | None,
        folder: str,
        mark: str | None,
    ) -> None:
        self._mark = mark
        self._meter = Meter()
        with suppress(OSError):
            os.chdir(folder)
        if num_gpus == 0:
            os.environ["CUDA_VISIBLE_DEVICES"] = ""  # else Ray leaves every GPU in sight
        super().__init__(output, num_cpus, num_gpus, spill_dir)

    def run(self, unit: Unit, attempt: int = 0, upcoming: Unit | None = None) -> Outcome:
        """Runs one unit, and tells what this process has read and written meanwhile."""
        return replace(super().run(unit, attempt, upcoming), traffic=self._meter.take())

    def locate(self) -> tuple[str, str]:
        """Gets ready; returns the device's name and the node's id.

        Raises:
            ConfigError: the node does not share the output.
            ClusterError: as `Worker.ready`.
        """
        import ray

        check_mark(self._mark, f"node {ray.util.get_node_ip_address()}")
        device = self.ready()
        return device, ray.get_runtime_context().get_node_id()


class RayLauncher:
    """Actors with the resources of `compute`; never restarted by Ray, the loop does that."""

    def __init__(self, output: str, compute: ComputeConfig, mark: str | None = None) -> None:
        """Sets the launcher up; `mark` is a file that tells who shares the output."""
        import ray

        self._ray = ray
        self._compute = compute
        self._output = output
        self._folder = os.getcwd()
        self._mark = mark
        self._worker: Any = ray.remote(_RayWorker)
        # Where each model asks for what it needs, nobody needs a GPU to begin with.
        self._num_gpus = 0.0 if compute.num_gpus == "auto" else compute.num_gpus
        self._starting: dict[Ref, Handle] = {}
        self._nodes: dict[Handle, str] = {}
        self._costs: list[Ref] = []
        self._draining: tuple[float, frozenset[str]] = (0.0, frozenset())
        self._lost = (
            ray.exceptions.RayActorError,
            ray.exceptions.NodeDiedError,
            ray.exceptions.WorkerCrashedError,
            ray.exceptions.OutOfMemoryError,
            ray.exceptions.ObjectLostError,
            ray.exceptions.ActorUnschedulableError,
            ray.exceptions.GetTimeoutError,
        )

    def capacity(self) -> int:
        """Returns how many workers fit the cluster as it is, at least 1 (it may yet grow).

        Raises:
            ClusterError: a local Ray, which cannot grow, has no room for a single worker.
        """
        have = self._ray.cluster_resources()
        fits = int(have.get("CPU", 0) / self._compute.num_cpus + 1e-9)
        if self._num_gpus:
            fits = min(fits, int(have.get("GPU", 0) / self._num_gpus + 1e-9))
        if fits == 0 and cluster_address() is None:
            raise ClusterError(
                f"no worker fits this machine: each asks for {self.request()}; "
                "lower compute.num_cpus or compute.num_gpus"
            )
        return max(1, fits)

    def request(self) -> str:
        """Returns what one worker asks for, and what the cluster has."""
        asked = {"CPU": self._compute.num_cpus, "GPU": self._num_gpus}
        have = describe_resources(self._ray.cluster_resources())
        return f"{describe_resources(asked)}, the cluster has {have}"

    def gpu_bytes(self) -> int | None:
        """Returns what the scan file says, else what the nodes with GPUs do.

        Raises:
            ClusterError: they do not.
        """
        declared = self._compute.gpu_memory
        has_gpus = self._ray.cluster_resources().get("GPU", 0) > 0
        if declared is not None and (has_gpus or cluster_address() is not None):
            return int(declared)
        if not has_gpus:
            return None
        options = {"num_cpus": 0, "num_gpus": _GLANCE, "max_retries": 0, "max_calls": 1}
        told: list[int | None] = []
        for node in self._ray.nodes():
            if node["Alive"] and node["Resources"].get("GPU", 0) > 0:
                told += self._on_node(node, smallest_gpu_bytes, options)
        known = [one for one in told if one]
        if not known:
            raise ClusterError(
                "compute.num_gpus is auto, and no node with a GPU says how much memory it has "
                f"({len(told)} answered): set compute.gpu_memory, such as 16GiB, or give "
                "compute.num_gpus a number"
            )
        return min(known)

    def _on_node(
        self, node: dict[str, Any], task: Callable[..., Any], options: dict[str, Any]
    ) -> list[Any]:
        """What a function says on one node; nothing where it does not answer."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        ref = self._ray.remote(**options)(task).options(scheduling_strategy=there).remote()
        with suppress(self._ray.exceptions.RayError):
            return [self._ray.get(ref, timeout=_FETCH_TIMEOUT_S)]
        return []

    def ask_for(self, num_gpus: float) -> None:
        """Sets what actors ask for that are started from now on."""
        self._num_gpus = num_gpus

    def start_worker(self) -> tuple[Handle, Ref]:
        """Starts an actor."""
        compute = self._compute
        options: dict[str, Any] = {
            "num_cpus": compute.num_cpus,
            "num_gpus": self._num_gpus,
            "max_restarts": 0,
            "max_task_retries": 0,
        }
        actor = self._worker.options(**options).remote(
            self._output,
            compute.num_cpus,
            self._num_gpus,
            compute.spill_dir,
            self._folder,
            self._mark,
        )
        ref = actor.locate.remote()
        self._starting[ref] = actor
        return actor, ref

    def run(self, worker: Handle, unit: Unit, attempt: int, upcoming: Unit | None) -> Ref:
        """Calls the actor."""
        return worker.run.remote(unit, attempt, upcoming)

    def wait(self, refs: Sequence[Ref], timeout_s: float) -> list[Ref]:
        """Waits without fetching: a lost node must not block the driver.

        All that are done are returned, so that a driver of a thousand workers that is late catches
        up in one turn.
        """
        refs = list(refs)
        done, rest = self._ray.wait(refs, num_returns=1, timeout=timeout_s, fetch_local=False)
        if done and rest:
            more, _ = self._ray.wait(rest, num_returns=len(rest), timeout=0, fetch_local=False)
            done += more
        return list(done)

    def fetch(self, ref: Ref) -> Outcome:
        """Returns the outcome; a worker that cannot start counts as lost.

        Raises:
            WorkerLostError: see the base class.
            ConfigError: its node does not share the output.
        """
        try:
            value = self._ray.get(ref, timeout=_FETCH_TIMEOUT_S)
        except self._lost as error:
            raise WorkerLostError(
                _first_line(error),
                is_node_loss=_is_node_loss(error),
                is_memory_loss=_is_memory_loss(error),
            ) from error
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, ConfigError):
                raise error.cause from None
            raise WorkerLostError(_first_line(error.cause or error)) from error
        if isinstance(value, Outcome):
            return value
        device, node = value
        self._nodes[self._starting.pop(ref)] = node
        return Outcome(device)

    def ask_nodes(self, task: Callable[..., Any], *args: Any) -> dict[str, Any]:
        """Returns what a function says on each node that can work, by the node's name.

        A local Ray is this machine. A node that does not answer, or goes meanwhile, is left out.
        """
        if cluster_address() is None:
            return this_machine(task, *args)
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        names: dict[Ref, str] = {}
        for node in self._ray.nodes():
            if node["Alive"] and node["Resources"].get("CPU", 0) >= self._compute.num_cpus:
                there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
                options = {"num_cpus": 0, "max_retries": 0, "scheduling_strategy": there}
                ref = self._ray.remote(task).options(**options).remote(*args)
                names[ref] = f"node {node['NodeManagerAddress']} ({node['NodeID'][:8]})"
        answers: dict[str, Any] = {}
        if names:
            done, _ = self._ray.wait(
                list(names), num_returns=len(names), timeout=_FETCH_TIMEOUT_S, fetch_local=False
            )
            for ref in done:
                with suppress(self._ray.exceptions.RayError):
                    answers[names[ref]] = self._ray.get(ref, timeout=_FETCH_TIMEOUT_S)
        return answers

    def draining(self, worker: Handle) -> bool:
        """Whether the node of this worker is draining; asked of the cluster every few seconds."""
        asked_s, nodes = self._draining
        if time.monotonic() - asked_s > _DRAIN_POLL_S:
            from ray._private.state import state

            nodes = frozenset(state.get_draining_nodes())
            self._draining = (time.monotonic(), nodes)
        return self._nodes.get(worker) in nodes

    def kill(self, worker: Handle) -> None:
        """Ends the actor at once; what it had committed stays."""
        self._nodes.pop(worker, None)
        self._ray.kill(worker, no_restart=True)

    def submit(self, task: Callable[..., Any], *args: Any) -> Ref:
        """Runs a task with the CPUs of one worker; Ray repeats it when its node dies."""
        remote = self._ray.remote(measured).options(
            name=task.__name__,
            num_returns=2,
            num_cpus=self._compute.num_cpus,
            max_retries=_TASK_RETRIES,
            retry_exceptions=[StorageUnavailableError],
        )
        value, cost = remote.remote(task, *args)
        self._costs.append(cost)
        return value

    def share(self, value: Any) -> Ref:
        """Puts the value into the object store."""
        return self._ray.put(value)

    def take_costs(self) -> list[TaskCost]:
        """Returns the costs of tasks that are done; what a lost one has cost is not known."""
        if not self._costs:
            return []
        done, self._costs = self._ray.wait(self._costs, num_returns=len(self._costs), timeout=0)
        costs = []
        for ref in done:
            with suppress(self._ray.exceptions.RayError):
                costs.append(self._ray.get(ref, timeout=_FETCH_TIMEOUT_S))
        return costs

    def collect(self, ref: Ref) -> Any:
        """Returns a task's value."""
        try:
            return self._ray.get(ref)
        except self._lost as error:
            raise WorkerLostError(_first_line(error)) from error
        except self._ray.exceptions.RayTaskError as error:
            raise WorkerLostError(_first_line(error.cause or error)) from error


def _is_node_loss(error: BaseException) -> bool:
    """Whether the node went away, and not the worker's process alone."""
    return (
        type(error).__name__ == "NodeDiedError"
        or bool(getattr(error, "preempted", False))
        or "node has died" in str(error)
        or "node was terminated" in str(error)
    )


def _is_memory_loss(error: BaseException) -> bool:
    """Whether Ray ended the worker, and perhaps others, because the node ran out of memory."""
    return type(error).__name__ == "OutOfMemoryError" or "running low on memory" in str(error)


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
