"""Where durability is measured: a zoo, one Ray head, and an S3 server behind a counting proxy."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.lab.attempt import Attempt
from benchmarks.lab.faults import KINDS, Counts, FaultProxy
from benchmarks.lab.ports import free_port
from benchmarks.lab.weed import weed_s3
from benchmarks.scan import write_probes
from depara import open_scan
from depara.store.layout import (
    EDGES_FILE,
    FEATURES_FILE,
    GRAMS_FILE,
    GRAPHS,
    MARKER_FILE,
    NODES_PREFIX,
)
from depara.store.storage import Storage

ROOT = Path(__file__).resolve().parents[2]
BUCKET = "durability"
FAULT_RATE = 0.05
"""Share of the requests that have a fault, of all kinds together."""
READ_TIMEOUT_S = 3.0
"""Of the S3 client, so that an answer which never comes costs seconds, not its usual minute."""
UNIT_PROBES = 16

REQUESTS = (
    "listings",
    "GET of data",
    "GET of markers",
    "other GET",
    "PUT of data",
    "PUT of markers",
    "other PUT",
    "HEAD",
    "removals",
)
"""Kinds of requests: data and markers are the graphs' files; others are about the scan's."""

SIDE_PX = 128
MAP_SIDE_PX = 64
_LAYERS = ["layer?", "linear"]
_DATA_FILES = {EDGES_FILE, GRAMS_FILE, FEATURES_FILE}
_RAY_STARTS_WITHIN_S = 60.0
_RAY_STOPS_WITHIN_S = 30.0
_SCAN_WITHIN_S = 600.0
_BEGINS = re.compile(r"unit started: |similarity: ")
_ENV = {
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_memory_usage_threshold": "0.98",
    "OMP_NUM_THREADS": "1",
    "PYTHONPATH": str(ROOT),
    "FSSPEC_S3": json.dumps({"config_kwargs": {"read_timeout": READ_TIMEOUT_S}}),
}


@dataclass(frozen=True)
class Run:
    """One `python -m jobs.scan`: its wall time, and the part of it before any unit of work began.

    ``started`` and ``done`` count its units by name, such as ``m03 extract 0-16``.
    """

    seconds: float
    start_up_s: float
    started: Counter[str]
    done: Counter[str]


@dataclass
class Lab:
    """All that a measurement needs; one scan at a time.

    ``env`` is that of every scan. The proxy lets requests through, and counts them.
    """

    folder: Path
    num_probes: int
    env: Mapping[str, str]
    proxy: FaultProxy
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def new_output(self, *, remote: bool = False) -> str:
        """Returns an output that nobody has used, on the S3 server or in a local folder."""
        name = f"out{next(self._numbers)}"
        return f"s3://{BUCKET}/{name}" if remote else str(self.folder / name)

    def scan(self, output: str, num_models: int) -> Run:
        """Runs a scan of the first models of the zoo to its end."""
        started_s = time.monotonic()
        with self._attempt(output, num_models) as attempt:
            attempt.complete(timeout_s=_SCAN_WITHIN_S)
            return _run(attempt, time.monotonic() - started_s)

    def kill(self, output: str, num_models: int, after_s: float) -> Run:
        """Starts a scan and kills its driver, which must still run, with SIGKILL."""
        started_s = time.monotonic()
        with self._attempt(output, num_models) as attempt:
            time.sleep(after_s)
            attempt.signal(signal.SIGKILL)
            attempt.wait()
            return _run(attempt, time.monotonic() - started_s)

    @contextmanager
    def requests(self, fault_rate: float = 0.0) -> Iterator[Counts]:
        """Counts what goes through the proxy; lets a share of it be faulty, all kinds alike."""
        self.proxy.rate = fault_rate / len(KINDS)
        self.proxy.counts = Counts()
        try:
            yield self.proxy.counts
        finally:
            self.proxy.rate = 0.0
            self.proxy.counts = Counts()

    def _attempt(self, output: str, num_models: int) -> Attempt:
        path = self.folder / f"{output.rpartition('/')[2]}-{num_models}.yaml"
        path.write_text(yaml.safe_dump(self._tree(output, num_models)))
        return Attempt([str(path), "--verbose"], self.env)

    def _tree(self, output: str, num_models: int) -> dict[str, Any]:
        return {
            "output": output,
            "probes": {"source": str(self.folder / "photos"), "count": self.num_probes},
            "canvas": {"side": SIDE_PX},
            "attribution": {"map_side": MAP_SIDE_PX},
            "defaults": {
                "source": "python:examples.cifar.resnet:resnet56",
                "layers": _LAYERS,
                "input": {"side": SIDE_PX},
            },
            "models": [{"id": f"m{n:02}", "weights": f"random:{n}"} for n in range(num_models)],
            "similarity": {"pairs": "all"},
            "uncertainty": {"resamples": 100},  # the least number: the same work in every run
            "compute": {
                "workers": 2,
                "memory": "1GiB",
                "batch_size": 16,
                "unit_probes": UNIT_PROBES,
            },
        }


@contextmanager
def durability_lab(folder: Path, num_probes: int) -> Iterator[Lab]:
    """Gives a lab in a folder; ends Ray, the proxy and the S3 server afterwards."""
    write_probes(folder / "photos", num_probes)
    with (
        weed_s3() as server,
        FaultProxy(server.endpoint, 0.0, hold_s=READ_TIMEOUT_S + 1) as proxy,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in _ENV.items():
            patch.setenv(name, value)
        patch.delenv("RAY_ADDRESS", raising=False)
        server.select(BUCKET, patch, proxy.endpoint)
        # The workers' environment is that of their node: Ray starts after all of it is set.
        with _ray_head(folder) as address:
            yield Lab(folder, num_probes, {"RAY_ADDRESS": address}, proxy)


def sort_requests(counts: Counts) -> Counter[str]:
    """Returns how many requests went through the proxy, by kind (see `REQUESTS`)."""
    sorted_: Counter[str] = Counter()
    for (method, name), count in counts.paths.items():
        sorted_[_request_kind(method, name)] += count
    return sorted_


def graph_bytes(output: str) -> tuple[int, int]:
    """Returns the bytes of all graphs' data files, and of all their markers."""
    files = Storage(output).walk(GRAPHS)
    markers = sum(stat.bytes for path, stat in files.items() if path.endswith("/" + MARKER_FILE))
    return sum(stat.bytes for stat in files.values()) - markers, markers


def copy_down(output: str, folder: str) -> None:
    """Copies an output to a local folder, file by file."""
    storage = Storage(output)
    for path in storage.walk(""):
        target = Path(folder, path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(storage.read(path))


def manifest(output: str) -> dict[str, Any]:
    """Returns the manifest of the latest scan."""
    return open_scan(output).manifest


def _run(attempt: Attempt, seconds: float) -> Run:
    begins_s = (line.at_s for line in attempt.lines if _BEGINS.match(line.text))
    return Run(seconds, next(begins_s, seconds), attempt.units(), attempt.units("done"))


def _request_kind(method: str, name: str) -> str:
    if name == "list":
        return "listings"
    if method not in ("GET", "PUT"):
        return "HEAD" if method == "HEAD" else "removals"
    if name == MARKER_FILE:
        return f"{method} of markers"
    is_data = name in _DATA_FILES or name.startswith(NODES_PREFIX)
    return f"{method} of data" if is_data else f"other {method}"


@contextmanager
def _ray_head(folder: Path) -> Iterator[str]:
    """Gives the address of a Ray head with two CPUs, started as a child in this environment."""
    address = f"127.0.0.1:{free_port()}"
    options = {
        "port": address.partition(":")[2],
        "node-ip-address": "127.0.0.1",
        "num-cpus": 2,
        "num-gpus": 0,
        "object-store-memory": 256 * 1024**2,
        "include-dashboard": "false",
        "ray-client-server-port": free_port(),
        "dashboard-agent-listen-port": free_port(),
        "temp-dir": folder / "ray",
    }
    command = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block"]
    log = folder / "ray.log"
    with log.open("wb") as sink:
        head = subprocess.Popen(
            [*command, *(f"--{name}={value}" for name, value in options.items())],
            cwd=ROOT,
            stdout=sink,
            stderr=sink,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
    try:
        _await_ray(head, log)
        yield address
    finally:
        head.terminate()  # it ends the processes of its node by itself
        try:
            head.wait(_RAY_STOPS_WITHIN_S)
        except subprocess.TimeoutExpired:
            head.kill()
            head.wait()


def _await_ray(head: subprocess.Popen[bytes], log: Path) -> None:
    deadline_s = time.monotonic() + _RAY_STARTS_WITHIN_S
    while "Ray runtime started" not in log.read_text():
        if head.poll() is not None or time.monotonic() > deadline_s:
            raise RuntimeError(f"Ray did not start:\n{log.read_text()[-3000:]}")
        time.sleep(0.1)
