"""The Ray that the scans of the chaos tests run on: shared, with nodes that come and go."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.lab.ports import free_port
from tests.conftest import ROOT

_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Node:
    """One node: its Ray id, and the process id of its raylet."""

    node_id: str
    raylet_pid: int


class RayNodes:
    """A head with two CPUs and its job server, in a process of its own; more nodes on demand."""

    def __init__(
        self, log: Path, env: Mapping[str, str], num_cpus: int = 2, *, with_jobs: bool = False
    ) -> None:
        port = free_port() if with_jobs else 0
        self.env = dict(env)
        self._log = log.open("w")
        self._host = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.ray_host", str(num_cpus), str(port)],
            cwd=ROOT,
            env={**os.environ, **env},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            start_new_session=True,
        )
        try:
            facts = self._await_answer()
        except BaseException:
            self.close()
            raise
        self.address = str(facts["address"])
        self.jobs = f"http://127.0.0.1:{port}"
        self.head = Node(facts["node_id"], facts["raylet_pid"])

    @contextmanager
    def another_node(self, num_cpus: int) -> Iterator[Node]:
        """Adds a node; removes it and all its processes at the end."""
        facts = self._ask(f"add {num_cpus}")
        node = Node(facts["node_id"], facts["raylet_pid"])
        try:
            yield node
        finally:
            self._ask(f"remove {node.node_id}")

    def close(self) -> None:
        """Stops all nodes."""
        assert self._host.stdin is not None
        assert self._host.stdout is not None
        self._host.stdin.close()
        try:
            self._host.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._host.kill()  # Ray's reapers end what is left
            self._host.wait()
        self._host.stdout.close()
        self._log.close()

    def _ask(self, command: str) -> dict[str, Any]:
        assert self._host.stdin is not None
        self._host.stdin.write(f"{command}\n".encode())
        self._host.stdin.flush()
        return self._await_answer()

    def _await_answer(self) -> dict[str, Any]:
        assert self._host.stdout is not None
        while True:
            ready, _, _ = select.select([self._host.stdout], [], [], _START_TIMEOUT_S)
            assert ready, f"Ray's host is silent: {self._log.name}"
            line = self._host.stdout.readline().decode()
            assert line, f"Ray's host has ended: {self._log.name}"
            if line.startswith("answer "):
                return dict(json.loads(line.removeprefix("answer ")))
