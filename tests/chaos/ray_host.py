"""A Ray of several nodes in a process of its own: `python -m tests.chaos.ray_host CPUS PORT`.

Reads one command a line from its input and answers with one line of JSON: ``add CPUS`` starts a
node, ``remove ID`` ends one and all of its processes. At the end of its input everything is
stopped; so it also ends when the process that started it is gone.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from ray.cluster_utils import Cluster

# A dead node is noticed after about 7 s instead of 15.
_HEALTH = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 1000,
    "health_check_failure_threshold": 2,
}
_NODE = {"object_store_memory": 100 * 1024**2}


def main() -> None:
    """Starts a head with the CPUs and the dashboard port of the command line, and obeys."""
    num_cpus, port = (int(argument) for argument in sys.argv[1:])
    head = {**_NODE, "num_cpus": num_cpus, "_system_config": _HEALTH}
    dashboard = {"include_dashboard": port > 0, **({"dashboard_port": port} if port else {})}
    cluster = Cluster(initialize_head=True, head_node_args={**head, **dashboard})
    nodes = {cluster.head_node.node_id: cluster.head_node}
    _answer(address=cluster.address, **_facts(cluster.head_node))
    try:
        for line in sys.stdin:
            command, argument = line.split()
            if command == "add":
                node = cluster.add_node(num_cpus=int(argument), include_dashboard=False, **_NODE)
                nodes[node.node_id] = node
                _answer(**_facts(node))
            else:
                assert command == "remove"
                cluster.remove_node(nodes.pop(argument), allow_graceful=False)
                _answer()
    finally:
        cluster.shutdown()


def _facts(node: Any) -> dict[str, Any]:
    raylet = node.all_processes["raylet"][0].process
    return {"node_id": node.node_id, "raylet_pid": raylet.pid}


def _answer(**facts: Any) -> None:
    print("answer " + json.dumps(facts), flush=True)


if __name__ == "__main__":
    main()
