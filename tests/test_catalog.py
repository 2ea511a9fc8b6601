"""The catalog: what follows from a row, and that a new row and its code are all that is needed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from depara.attribution.methods import Method, find_method, parameters_of
from depara.catalog import LABEL_SCORES, METHODS, SCORES, SOURCES, load, shared_by_all_methods
from depara.config import parse_scan
from depara.config.schema import AttributionConfig
from depara.labelled.pairs import NEIGHBOURS
from depara.models.sources import find_source
from depara.similarity.scores import Vectors, find_vectors
from depara.store.keys import method_settings
from tests.conftest import ROOT

ROWS = {
    "METHODS": """
    "mine": Method(
        meaning="the gradient at half of the canvas, `steps` times",
        reference="nobody, 2026",
        code="depara.attribution.mine:MINE",
        parameters=("steps",),
        repeats="steps",
    ),
""",
    "SCORES": """
    "level": Score(
        meaning="inner product of the ranks of the probes' norms, -1 to 1",
        reference="nobody, 2026",
        code="depara.similarity.level:LEVEL",
    ),
""",
    "LABEL_SCORES": """
    "number": LabelScore(
        meaning="number of labelled probes", reference="nobody, 2026",
        code="depara.labelled.number:number",
    ),
""",
    "SOURCES": """
    "mine": Source("mine:NAME", "depara.models.mine_source:MineSource"),
""",
}
CODE = {
    "depara/attribution/mine.py": """
from depara.attribution.methods import Method
def path(canvas_B3SS, probe_ids, parameters):
    for _ in range(parameters["steps"]):
        yield canvas_B3SS / 2, 1 / parameters["steps"]
MINE = Method(times_input=True, path=path)
""",
    "depara/similarity/level.py": """
import numpy as np
from depara.graph.ranks import rank_vector
from depara.similarity.layouts import Layout
from depara.similarity.scores import Vectors
def vector(grams):
    return rank_vector(np.diagonal(grams.raw_NN).astype(np.float32))
LEVEL = Vectors(vector, vector, Layout(lambda count: count))
""",
    "depara/labelled/number.py": """
def number(features):
    return float(features.num_probes)
""",
    "depara/models/mine_source.py": """
from depara.models.python_source import PythonSource
class MineSource(PythonSource):
    def build(self, name, kwargs):
        return super().build(f"tests.jobs.zoo:{name}", kwargs)
""",
}
SCAN = """
import json, sys
from pathlib import Path
from depara import open_scan
from tests.golden.make import draw
from tests.jobs.inline import scan_inline, tiny
folder = Path(sys.argv[1])
models = [tiny(name, seed) for seed, name in enumerate("ab")]
models.append({"id": "c", "source": "mine:Tiny", "weights": "random:3"})
keys = []
for steps in (2, 3):
    attribution = {"method": "mine", "steps": steps}
    probes = draw(folder / "probes")
    scan_inline(
        str(folder / "out"), probes, models, attribution=attribution, labels=True
    )
    scan = open_scan(str(folder / "out"))
    keys.append(scan.table("layers")["graph_key"].tolist())
labels = scan.table("label_scores")
print(json.dumps({
    "keys": keys,
    "level": scan.table("similarity")["level"].tolist(),
    "number": labels.loc[labels["score"] == "number", "value"].tolist(),
    "models": scan.models(),
}))
"""


def test_a_new_row_and_its_code_are_all_that_a_scan_needs(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    for part in ("depara", "cluster", "tests/jobs", "tests/golden", "docs"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / part, checkout / part, ignore=ignored)
    (checkout / "tests/__init__.py").touch()
    catalog = checkout / "depara/catalog.py"
    text = catalog.read_text()
    for table, row in ROWS.items():
        head, opening, rest = text.partition(f"\n{table}: Mapping[")
        declaration, brace, body = rest.partition("{")
        inside, end, after = body.partition("\n}\n")
        text = f"{head}{opening}{declaration}{brace}{inside}{row.rstrip()}{end}{after}"
    catalog.write_text(text)
    for path, code in CODE.items():
        (checkout / path).write_text(code)
    done = subprocess.run(
        [sys.executable, "-c", SCAN, str(tmp_path)],
        cwd=checkout, capture_output=True, text=True, check=False,
        env={"PYTHONPATH": str(checkout)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert found["models"] == ["a", "b", "c"]
    assert not set(found["keys"][0]) & set(found["keys"][1]), "its steps are in the graph key"
    assert all(-1 <= value <= 1 for value in found["level"])
    assert set(found["number"]) == {12.0}
    generate = [sys.executable, "docs/generate.py"]
    subprocess.run(generate, cwd=checkout, check=True, env={"PYTHONPATH": str(checkout)})
    assert "`mine`" in (checkout / "docs/scan-file.md").read_text()
    assert "`level`" in (checkout / "docs/tables.md").read_text()


def config(**fields: Any) -> Any:
    tree = {"probes": {"source": "x"}, "models": [{"id": "a", "source": "timm:b"}]}
    return parse_scan(json.dumps({**tree, "attribution": fields})).config


@pytest.mark.parametrize("name", METHODS)
def test_the_graph_key_holds_what_a_method_is_handed(name: str) -> None:
    settings = method_settings(config(method=name))["attribution"]
    handed = parameters_of(config(method=name).attribution)
    shared = {f for f in AttributionConfig.model_fields if shared_by_all_methods(f)}
    assert settings.keys() == shared | handed.keys()
    assert {"method", "scalar", "channels", "map_side"} == shared
    assert all(row in METHODS[name].parameters for row in [METHODS[name].repeats] if row)


def test_every_row_names_code_of_its_kind() -> None:
    assert all(isinstance(find_method(name), Method) for name in METHODS)
    assert all(isinstance(find_vectors(name), Vectors) for name in SCORES)
    assert all(callable(load(row.code)) for row in LABEL_SCORES.values())
    assert all(find_source(f"{name}:x")[1] == "x" for name in SOURCES)
    assert LABEL_SCORES["knn"].min_probes == NEIGHBOURS + 1
