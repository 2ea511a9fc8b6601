"""The house: imports go one way, in no circle, and `import depara` is light."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

PACKAGES = ("depara", "cluster", "jobs")
TORCH_TOWER = {"probes", "models", "attribution", "extraction"}
BASE = {
    "config",
    "errors",
    "types",
    "locations",
    "weights_names",
    "retries",
    "redaction",
    "traffic",
    "texts",
    "fingerprints",
    "identity",
    "catalog",
    "ledger",
    "dotted",
    "grams",
    "objects",
    "_version",
}

# What a room of `depara` may import of its neighbours, beside the base.
ALLOWED = {
    "probes": set(),
    "models": set(),
    "attribution": {"models"},
    "extraction": {"attribution", "models", "graph", "store"},
    "graph": set(),
    "similarity": {"graph", "store"},
    "store": set(),
    "uncertainty": {"graph", "similarity", "store"},
    "labelled": {"similarity", "store"},
    "domains": {"results", "store"},
    "ensembles": {"domains", "labelled", "similarity", "store", "results"},
    "results": {"store", "similarity"},
    "evaluation": {"store", "similarity", "results", "labelled"},
    "maintenance": {"store"},
    "pictures": {"graph", "similarity", "results", "store"},
    "answers": {"store", "similarity", "results", "evaluation"},
    "learning": {"results", "evaluation"},
    "report": {"answers", "pictures", "results", "evaluation", "similarity", "store"},
    "cli": {
        "scan",
        "query",
        "nearest",
        "answers",
        "pictures",
        "report",
        "results",
        "evaluation",
        "learning",
        "store",
        "maintenance",
        "domains",
        "ensembles",
    },
    "config": set(),
    "errors": set(),
    "types": set(),
    "locations": set(),
    "weights_names": set(),
    "retries": set(),
    "redaction": set(),
    "traffic": set(),
    "texts": set(),
    "fingerprints": set(),
    "identity": set(),
    "catalog": set(),
    "ledger": set(),
    "dotted": set(),
    "grams": set(),
    "objects": set(),
    "_version": set(),
    "query": {"answers", "results", "similarity", "uncertainty", "store", "models", "extraction"},
    "nearest": {"graph", "query", "results", "similarity", "store"},
    "scan": {"answers", "ensembles", "nearest", "query", "report", "results"},
    "": {"results", "scan"},
}


def sources(package: str) -> Iterator[Path]:
    yield from sorted((ROOT / package).rglob("*.py"))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path, *, top_level_only: bool = False) -> set[str]:
    """Absolute names that a file imports, anywhere or only when it is itself imported."""
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_level_only else list(ast.walk(tree))
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def rooms(names: set[str]) -> set[str]:
    return {name.split(".")[1] for name in names if name.startswith("depara.")}


def test_packages_point_one_way() -> None:
    forbidden = {"depara": {"cluster", "jobs", "ray"}, "cluster": {"jobs"}, "jobs": {"ray"}}
    for package, names in forbidden.items():
        for path in sources(package):
            tops = {name.split(".")[0] for name in imports(path)}
            assert not tops & names, f"{path} imports {tops & names}"


def test_benchmarks_and_examples_import_no_tests() -> None:
    for path in (*sources("benchmarks"), *sources("examples")):
        assert "tests" not in {name.split(".")[0] for name in imports(path)}, path


def test_ray_is_imported_in_one_file() -> None:
    users = {path.name for path in sources("cluster") if "ray" in imports(path)}
    assert users == {"ray_launcher.py"}


def test_rooms_import_only_what_stands_below_them() -> None:
    for path in sources("depara"):
        parts = module_name(path).split(".")
        room = parts[1] if len(parts) > 1 else ""
        known = {part for part in rooms(imports(path)) if part in ALLOWED}
        excess = known - BASE - ALLOWED[room] - {room}
        assert not excess, f"{path} imports {excess}"


def test_the_floors_of_the_cluster_have_no_arrow_back() -> None:
    floors = ["pool", "extract", "compare", "record"]  # and the roof: the files beside them
    roof = {path.stem for path in (ROOT / "cluster").glob("*.py")} - {"__init__"}
    assert {"scan", "stages", "mend", "preview"} <= roof
    for path in sources("cluster"):
        room = module_name(path).split(".")[1:2]
        if room and room[0] in floors:
            above = {*floors[floors.index(room[0]) + 1 :], *roof}
            met = {name.split(".")[1] for name in imports(path) if name.startswith("cluster.")}
            assert not met & above, f"{path} imports {met & above}"


def test_the_numpy_tower_and_the_readers_never_see_torch() -> None:
    for path in sources("depara"):
        parts = module_name(path).split(".")
        if len(parts) > 1 and parts[1] in TORCH_TOWER:
            continue
        tops = {name.split(".")[0] for name in imports(path)}
        assert not tops & {"torch", "torchvision", "timm", "transformers", "ray"}, path


def test_there_is_no_circle() -> None:
    files = {module_name(path): path for package in PACKAGES for path in sources(package)}
    graph = {
        name: {target for target in imports(path, top_level_only=True) if target in files}
        for name, path in files.items()
    }
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join((*trail, name))
        if name not in done:
            for target in graph[name] - {name}:
                # A package's own __init__ re-exports its files: that is no circle.
                if not name.startswith(f"{target}."):
                    visit(target, (*trail, name))
            done.add(name)

    for name in graph:
        visit(name, ())


@pytest.mark.parametrize(
    "module", ["depara", "depara.cli", "depara.scan", "depara.answers", "depara.similarity"]
)
def test_reading_results_loads_neither_torch_nor_ray(module: str) -> None:
    code = f"import {module}, sys; print(sorted({{'torch', 'ray'}} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.strip() == "[]"


def test_tests_of_one_module_stay_in_one_process(request: pytest.FixtureRequest) -> None:
    """xdist drops its groups in silence where it does not know pytest's release."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        pytest.skip("one process runs all tests")
    assert request.node.nodeid.endswith(f"@{request.path.as_posix()}")
