"""What travels to workers at 2,000 models: pickled bytes of each unit, task and shared value.

    python benchmarks/traffic.py [MODELS]

Nothing is computed: the plan is made of drawn cards, and a launcher without workers is handed what
the scan would hand to Ray.
"""

from __future__ import annotations

import json
import pickle
import sys
from collections.abc import Callable, Sequence
from typing import Any

from cluster.compare.analysis import analyse
from cluster.compare.pairs import make_reduction
from cluster.compare.tiles import reduce_graphs
from cluster.extract.plan import ScanPlan, make_plan
from cluster.extract.units import ResolveUnit
from cluster.pool.context import ScanContext
from cluster.pool.progress import Reporter
from depara.config import parse_scan
from depara.store.storage import Storage
from depara.types import InputSpec, LayerInfo, ModelCard

NUM_LAYERS, NUM_PROBES = 8, 200


class Shared:
    """Stands for a value that travels once, and for the reference to it."""


class Scales:
    """A launcher that weighs what it is handed; its tasks return nothing."""

    def __init__(self) -> None:
        self.tasks: dict[str, list[int]] = {}
        self.shared: list[int] = []

    def capacity(self) -> int:
        """As many workers as a cluster of some size has."""
        return 64

    def share(self, value: Any) -> Shared:
        """Weighs a shared value."""
        self.shared.append(weigh(value))
        return Shared()

    def submit(self, task: Callable[..., Any], *args: Any) -> Shared:
        """Weighs the arguments of a task."""
        self.tasks.setdefault(task.__name__, []).append(weigh(args))
        return Shared()

    def wait(self, refs: Sequence[Any], timeout_s: float) -> list[Any]:
        """Everything is done."""
        return list(refs)

    def collect(self, ref: Any) -> dict[str, Any]:
        """No tables."""
        return {}

    def take_costs(self) -> list[Any]:
        """Nothing ran."""
        return []


def weigh(value: Any) -> int:
    """Returns the pickled bytes of a value."""
    return len(pickle.dumps(value, protocol=5))


def drawn_plan(num_models: int) -> ScanPlan:
    """Returns the plan of a zoo of models with a few layers each."""
    names = [f"model-{number:05d}" for number in range(num_models)]
    tree = {
        "probes": {"source": "s3://probes/photos"},
        "models": [
            {"id": name, "source": "timm:resnet50", "weights": f"s3://zoo/weights/{name}.pth"}
            for name in names
        ],
        "uncertainty": {"resamples": 1000},
    }
    layers = tuple(
        LayerInfo(f"layer{i}.0", i, (i + 1) / NUM_LAYERS, 2048, (2048,)) for i in range(NUM_LAYERS)
    )
    spec = InputSpec(224, (0.5,) * 3, (0.5,) * 3)
    last = layers[-1].name
    cards = [
        ModelCard(name, "timm:resnet50", "resnet50", f"{i:064x}", 25, spec, layers, last, 0.1)
        for i, name in enumerate(names)
    ]
    return make_plan(
        parse_scan(json.dumps(tree)).config, cards, "f" * 32, NUM_PROBES, lambda keys: set()
    )


def main(num_models: int) -> None:
    """Prints the table."""
    plan = drawn_plan(num_models)
    model = plan.models[0].model
    sizes: dict[str, list[int]] = {"ResolveUnit": [weigh(ResolveUnit(model, 224, "flatten"))]}
    for unit in plan.groups()[0].units:
        sizes.setdefault(type(unit).__name__, []).append(weigh(unit))
    scales = Scales()
    context = ScanContext(Storage("/tmp"), scales, Reporter())  # type: ignore[arg-type]
    reduction = make_reduction(plan, ())
    labels = [f"class {number % 10}" for number in range(plan.num_probes)]
    reduce_graphs(reduction, None, "scan", context)
    analyse(reduction, labels, None, 1e6, "scan", context)
    print(f"{num_models} models, {len(plan.graph_keys)} graphs, {plan.num_probes} probes\n")
    print("| what | count | bytes each |\n|---|---|---|")
    for name, weights in (sizes | scales.tasks | {"shared values": scales.shared}).items():
        if weights:
            print(f"| {name} | {len(weights)} | {sum(weights) / len(weights):,.0f} |")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
