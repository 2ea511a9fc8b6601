"""Candidates for a better node against slow loops, and how they are judged."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks import _node_candidates, nodes
from benchmarks._node_candidates import (
    CANDIDATES,
    TANGENT_PROJECTIONS,
    TODAY,
    Probed,
    at_layer,
    centred,
    grad_input,
    kernel_alignments,
    low_pass,
    mean_cosines,
    metric_cosines,
    output_values,
    projected,
    projections,
    pulled_back,
    tangent_gram,
)
from benchmarks.truth.scans import INPUT, Zoo, judge_zoo
from depara.config.schema import InputConfig, ModelConfig
from depara.models import LoadedModel, open_model
from examples.digits.data import load_digits, write_probes
from tests.oracle import attribution as oracle
from tests.oracle.scores import debiased_cka

NETWORKS = {
    "residual": "python:examples.digits.encoder:Encoder",
    "vit": "python:examples.digits.architectures:TransformerEncoder",
}


def opened(network: str = "residual", seed: int = 0) -> LoadedModel:
    """A network of random weights in float64."""
    entry = ModelConfig(
        id=f"{network}-{seed}",
        source=NETWORKS[network],
        weights=f"random:{seed}",
        input=InputConfig.model_validate(INPUT),
    )
    model = open_model(entry, canvas_side=32)
    model.module.double()
    model.preprocess.double()
    return model


def canvases(count: int) -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)


def as_tensor(canvas_NSS3: NDArray[np.uint8]) -> Tensor:
    return torch.cat([oracle.canvas_tensor(one) for one in canvas_NSS3])


@pytest.mark.parametrize("cell_px", [1, 4])
def test_todays_maps_and_pooled_ones_are_the_oracles(cell_px: int) -> None:
    model, canvas_NSS3 = opened(), canvases(2)
    found = grad_input(Probed(model, as_tensor(canvas_NSS3)), cell_px)[:, 0]
    for map_P, canvas_SS3 in zip(found, canvas_NSS3, strict=True):
        canvas = oracle.canvas_tensor(canvas_SS3)
        gradient = oracle.gradient(model.module, model.preprocess, "output", canvas, "l2norm")
        due = oracle.node_map((canvas - oracle.MU) * gradient, "mean", 32 // cell_px)
        np.testing.assert_allclose(map_P / map_P.norm(), due, atol=1e-10)


def test_projected_gradients_are_slopes_of_projections_and_do_not_depend_on_the_batch() -> None:
    model, canvas_N3SS = opened(), as_tensor(canvases(2))
    gradients = pulled_back(Probed(model, canvas_N3SS), 3).reshape(2, 3, 3, 32, 32)
    direction_D = projections(128)[2].double()
    step = torch.zeros_like(canvas_N3SS)
    step[1, 0, 5, 7] = 1e-6
    ends = [output_values(model, canvas_N3SS + sign * step)[1] @ direction_D for sign in (1, -1)]
    slope = (ends[0] - ends[1]).item() / 2e-6
    assert gradients[1, 2, 0, 5, 7].item() == pytest.approx(slope, rel=1e-4)
    maps = projected(Probed(model, canvas_N3SS), 3)
    shifted = (canvas_N3SS - oracle.MU)[1] * gradients[1, 2]
    torch.testing.assert_close(maps[1, 2], shifted.mean(dim=0).flatten())
    torch.testing.assert_close(projected(Probed(model, canvas_N3SS[1:]), 3), maps[1:])


def test_a_low_pass_map_is_the_slope_of_the_small_picture() -> None:
    model, canvas_N3SS = opened(), as_tensor(canvases(1))
    small = canvas_N3SS.reshape(1, 3, 8, 4, 8, 4).mean(dim=(3, 5))

    def norm(picture: Tensor) -> float:
        large = torch.nn.functional.interpolate(picture, (32, 32), mode="bilinear")
        return float(output_values(model, large).norm())

    found = low_pass(Probed(model, canvas_N3SS), 4).reshape(8, 8)
    due = 0.0
    for channel in range(3):
        step = torch.zeros_like(small)
        step[0, channel, 2, 5] = 1e-6
        slope = (norm(small + step) - norm(small - step)) / 2e-6
        due += slope * float(small[0, channel, 2, 5] - oracle.MU[0, channel]) / 3
    assert found[2, 5].item() == pytest.approx(due, rel=1e-4)


@pytest.mark.parametrize("network", list(NETWORKS))
def test_a_map_at_a_layer_is_what_scaling_one_place_of_it_does(network: str) -> None:
    """The slope along a place's own activations: sum over channels of gradient * activation."""
    model, canvas_N3SS = opened(network), as_tensor(canvases(1))
    layer, place = model.module.get_submodule("blocks.3"), 6  # row 1, column 2 of 4x4

    def norm(scale: float) -> float:
        def scaled(_module: object, _inputs: object, output: Tensor) -> Tensor:
            output = output.clone()
            if output.ndim == 4:
                output[:, :, 1, 2] *= scale
            else:
                output[:, place] *= scale
            return output

        handle = layer.register_forward_hook(scaled)
        try:
            return float(output_values(model, canvas_N3SS).norm().detach())
        finally:
            handle.remove()

    found = at_layer(Probed(model, canvas_N3SS), ("layer3", "blocks.3")).reshape(8, 8)
    slope = (norm(1 + 1e-5) - norm(1 - 1e-5)) / 2e-5
    assert found[2:4, 4:6].flatten().tolist() == pytest.approx([slope] * 4, rel=1e-4)


def test_a_layer_that_is_not_there_is_said() -> None:
    with pytest.raises(AssertionError, match="Encoder has no module here or there"):
        at_layer(Probed(opened(), as_tensor(canvases(1))), ("here", "there"))


def test_the_tangent_gram_is_that_of_explicit_jacobians_and_weights_stay_frozen() -> None:
    model, canvas_N3SS = opened(), as_tensor(canvases(4))
    found = tangent_gram(Probed(model, canvas_N3SS))
    assert not any(parameter.requires_grad for parameter in model.module.parameters())
    own = {
        name: parameter
        for name, parameter in model.module.named_parameters()
        if name.startswith(("blocks.3.", "code."))
    }
    directions_KD = projections(128)[:TANGENT_PROJECTIONS].double()

    def values(parameters: dict[str, Tensor]) -> Tensor:
        inputs = model.preprocess(canvas_N3SS)
        code: Tensor = torch.func.functional_call(model.module, parameters, (inputs,))
        return code.flatten(1) @ directions_KD.T

    jacobians = torch.func.jacrev(values)(own)
    rows = torch.cat([one.flatten(2) for one in jacobians.values()], dim=2).flatten(1)
    torch.testing.assert_close(found, rows @ rows.T)


def random_maps(count: int, *shape: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(3)
    return [torch.randn(*shape, generator=generator).double() for _ in range(count)]


def test_mean_cosines_are_those_of_each_probe_and_map() -> None:
    maps = random_maps(3, 4, 2, 5)
    maps[2][1] = 0
    found = mean_cosines(maps)
    for i, j in itertools.product(range(3), repeat=2):
        cosines = [
            float(a @ b / max(a.norm() * b.norm(), 1e-12))
            for one, other in zip(maps[i], maps[j], strict=True)
            for a, b in zip(one, other, strict=True)
        ]
        assert found[i, j] == pytest.approx(np.mean(cosines), abs=1e-12)
    assert found[2, 2] == pytest.approx(0.75), "a map of zeros has cosine 0, also with itself"


def test_metric_cosines_are_those_of_whole_metrics_and_outputs_may_be_rotated() -> None:
    gradients = random_maps(3, 4, 2, 5)
    found = metric_cosines(gradients)
    for i, j in itertools.product(range(3), repeat=2):
        cosines = []
        for one, other in zip(gradients[i], gradients[j], strict=True):
            a, b = one.T @ one, other.T @ other
            cosines.append(float((a * b).sum() / a.norm() / b.norm()))
        assert found[i, j] == pytest.approx(np.mean(cosines))
    turn = torch.linalg.qr(torch.randn(2, 2).double())[0]
    turned = [gradients[0], turn @ gradients[1], gradients[2]]
    np.testing.assert_allclose(metric_cosines(turned), found)
    assert abs(mean_cosines(turned)[0, 1] - mean_cosines(gradients)[0, 1]) > 1e-3


def test_kernels_are_aligned_as_debiased_cka_does() -> None:
    features = random_maps(2, 9, 3)
    found = kernel_alignments([one @ one.T for one in features])
    assert found[0, 1] == pytest.approx(debiased_cka(*(one.numpy() for one in features)))
    np.testing.assert_allclose(np.diag(found), 1)


def test_the_centred_form_is_that_of_the_vectors_themselves() -> None:
    vectors_MP = np.random.default_rng(0).standard_normal((4, 6)) + 1
    vectors_MP /= np.linalg.norm(vectors_MP, axis=1, keepdims=True)
    less = vectors_MP - vectors_MP.mean(axis=0)
    less /= np.linalg.norm(less, axis=1, keepdims=True)
    np.testing.assert_allclose(centred(vectors_MP @ vectors_MP.T), less @ less.T)
    assert (centred(np.ones((3, 3))) == 0).all(), "models that are all the mean"


def tiny_zoo(folder: Path) -> Zoo:
    """Four networks of random weights of two architectures, and a truth of chance."""
    write_probes(load_digits("held_out"), folder / "probes.parquet")
    models = [
        {"id": f"{network}-{seed}", "source": source, "weights": f"random:{seed}"}
        for network, source in NETWORKS.items()
        for seed in range(2)
    ]
    names = [str(model["id"]) for model in models]
    pairs = itertools.permutations(names, 2)
    rows = [(*pair, place * 7 % 5) for place, pair in enumerate(pairs)]
    truth = folder / "truth.csv"
    pd.DataFrame(rows, columns=["target", "source", "value"]).to_csv(truth, index=False)
    scan = {
        "probes": {"source": str(folder / "probes.parquet"), "label_column": "label"},
        "canvas": {"side": 32},
        "defaults": {"input": INPUT, "layers": ["code"]},
        "models": models,
    }
    return Zoo("tiny", scan, str(truth), 1, is_mixed=True)


@pytest.fixture
def _kept_process() -> Iterator[None]:
    """A scan of the suite changes the folder and the number of threads."""
    folder, threads = Path.cwd(), torch.get_num_threads()
    yield
    os.chdir(folder)
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("_kept_process")
def test_a_zoo_is_measured_once_and_todays_node_is_the_scans(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zoo, folder = tiny_zoo(tmp_path), str(tmp_path)
    first = nodes.measure(zoo, 8, folder)
    assert len(first.frame) == 4 * 3
    assert first.cpu_s > 0
    scores = [
        form.format(name) for form, _ in list(nodes.FORMS.values())[:2] for name in nodes.NAMES
    ]
    assert set(first.frame.columns) == {"target", "source", *nodes.TERMS, *scores}
    assert (first.frame[scores].abs() <= 1 + 1e-6).all(axis=None)
    assert (first.frame[scores].std() > 0).all()

    def again(*_: object) -> None:
        raise AssertionError("computed although it is in the folder")

    with monkeypatch.context() as patched:
        patched.setattr(_node_candidates.Candidate, "similarities", again)
        pd.testing.assert_frame_equal(nodes.measure(zoo, 8, folder).frame, first.frame)
        with pytest.raises(AssertionError, match="although it is in the folder"):
            nodes.measure(zoo, 9, folder)
    other = replace(TODAY, make=CANDIDATES[-2].make)
    monkeypatch.setattr(nodes, "TODAY", other)
    with pytest.raises(AssertionError, match="tiny: node_similarity by plain autograd is"):
        nodes.measure(zoo, 9, folder)


def made_zoo(name: str, folder: Path, *, is_mixed: bool) -> tuple[Zoo, pd.DataFrame]:
    """A random truth that the first candidate alone follows."""
    rng = np.random.default_rng(len(name))
    pairs = list(itertools.permutations([f"m{n}" for n in range(9)], 2))
    frame = pd.DataFrame(pairs, columns=["target", "source"])
    frame["value"] = rng.random(len(frame))
    frame.to_csv(folder / f"{name}.csv", index=False)
    value = frame.pop("value")
    for column in (*nodes.TERMS, *nodes.NAMES, *(f"{one}, centred" for one in nodes.NAMES)):
        frame[column] = rng.random(len(frame))
    frame[nodes.NAMES[0]] = 3 * value
    return Zoo(name, {}, str(folder / f"{name}.csv"), 3, is_mixed=is_mixed), frame


def test_a_candidate_that_follows_the_truth_gains_beyond_its_interval(tmp_path: Path) -> None:
    zoos = [made_zoo(name, tmp_path, is_mixed=name == "bb") for name in ("a", "bb", "ccc")]
    judged = [judge_zoo(*zoo, nodes.sum_rules()) for zoo in zoos]
    lines = nodes.report(judged)
    best = nodes.NAMES[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    gains = {(row[0], row[1]): row[2:] for row in rows if len(row) == 6}
    assert gains["", "form"][:3] == ["all zoos (3)", "of one architecture (2)", "of several (1)"]
    for form in ("alone", "in its place", "beside it"):
        for cell in gains[best, form][:3]:
            assert float(cell.partition("(")[2].partition(" to ")[0]) > 0, (form, cell)
    assert float(gains[best, "alone"][3].partition(" ")[0]) < 0, "its first choice is right"
    means = {row[0]: row[1:] for row in rows if len(row) == 5}
    assert means[best][0] == "1.00 / 0.00"
    assert means["no node"][::2] == ["", means["no node"][2]] != ["", ""]
    chosen = {row[0]: row[1] for row in rows if len(row) == 4}
    assert {chosen[zoo.name] for zoo, _ in zoos} <= {f"{best} + E + D", f"V + {best} + E + D"}
