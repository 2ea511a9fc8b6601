"""Faults of workers and their nodes, which the scan itself outlives."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.chaos.gate import Waiting, is_alive
from tests.chaos.lab import Lab
from tests.chaos.ray_nodes import Node

pytestmark = pytest.mark.ray


@pytest.mark.chaos
def test_a_worker_is_killed_in_the_middle_of_a_unit(lab: Lab) -> None:
    with lab.trial("kill -9 of a worker in a unit") as trial:
        output = lab.new_output()
        with lab.gate.holding("m2", after=2), lab.attempt(output) as attempt:
            [victim] = lab.gate.wait_for(1)
            os.kill(victim.pid, signal.SIGKILL)
            trial.hit()  # it waited in the second unit of its model
            attempt.wait_for("worker lost: m2")
            lab.gate.release("m2")
            attempt.complete()
        assert attempt.units()["m2 extract 000000-000006"] == 2
        lab.judge(trial, output, [attempt])


@pytest.mark.chaos
def test_the_raylet_of_one_of_two_nodes_is_killed(lab: Lab) -> None:
    with lab.trial("kill -9 of the raylet of one of two nodes") as trial:
        output = lab.new_output()
        names = [model["id"] for model in lab.zoo]
        with (
            lab.nodes.another_node(1) as node,
            lab.gate.holding(*names, after=1),
            lab.attempt(output, "compute.workers=3") as attempt,
        ):
            victim = _on(node, lab.gate.wait_for(3))
            os.kill(node.raylet_pid, signal.SIGKILL)
            attempt.wait_for(f"worker lost: {victim.name}")
            assert not is_alive(node.raylet_pid)
            trial.hit()
            lab.gate.release(*names)
            attempt.complete()
        lab.judge(trial, output, [attempt])


@pytest.mark.chaos
def test_a_node_drains(lab: Lab) -> None:
    with lab.trial("a node drains") as trial:
        output = lab.new_output()
        names = [model["id"] for model in lab.zoo]
        with (
            lab.nodes.another_node(1) as node,
            lab.gate.holding(*names, after=1),
            lab.attempt(output, "compute.workers=3") as attempt,
        ):
            victim = _on(node, lab.gate.wait_for(3))
            _drain(lab, node)
            time.sleep(11)  # the launcher asks for draining nodes every 10 s
            lab.gate.release(victim.name)
            attempt.wait_for(f"unit done: {victim.name} commit")
            attempt.wait_until(lambda: not is_alive(victim.pid), "the end of its worker", 15)
            trial.hit()  # the two other workers wait meanwhile, and nothing else ends this one
            lab.gate.release(*names)
            attempt.complete()
        assert "worker lost" not in attempt.output
        lab.judge(trial, output, [attempt])


@pytest.mark.chaos
def test_a_draining_node_goes_before_its_unit_ends(lab: Lab) -> None:
    with lab.trial("a draining node goes in the middle of a unit") as trial:
        output = lab.new_output()
        names = [model["id"] for model in lab.zoo]
        with (
            lab.nodes.another_node(1) as node,
            lab.gate.holding(*names, after=1),
            lab.attempt(output, "compute.workers=3") as attempt,
        ):
            victim = _on(node, lab.gate.wait_for(3))
            _drain(lab, node)
            os.kill(node.raylet_pid, signal.SIGKILL)
            attempt.wait_for(f"worker lost: {victim.name}")
            trial.hit()
            lab.gate.release(*names)
            attempt.complete()
        lab.judge(trial, output, [attempt])


@pytest.mark.chaos
def test_no_worker_becomes_ready(lab: Lab) -> None:
    with lab.trial("workers that never become ready") as trial:
        output = lab.new_output()
        wish = ("compute.num_gpus=1", "compute.ready_timeout_s=3", "compute.workers=2")
        with lab.attempt(output, *wish) as hopeless:
            hopeless.complete(1)
        for part in ("no worker became ready within 3 s", "CPU: 1, GPU: 1", "compute.num_gpus"):
            assert part in hopeless.output, hopeless.output
        trial.hit()
        with lab.attempt(output) as attempt:
            attempt.complete()
        lab.judge(trial, output, [hopeless, attempt])


def _on(node: Node, waiting: list[Waiting]) -> Waiting:
    """The model that waits on a node."""
    [found] = [one for one in waiting if one.raylet_pid == node.raylet_pid]
    return found


def _drain(lab: Lab, node: Node) -> None:
    """Tells Ray that a node will be taken away, as a cloud does with a spot machine."""
    command = [
        str(Path(sys.executable).with_name("ray")), "drain-node",
        f"--address={lab.nodes.address}", f"--node-id={node.node_id}",
        "--reason=DRAIN_NODE_REASON_PREEMPTION", "--reason-message=spot",
        "--deadline-remaining-seconds=600",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
