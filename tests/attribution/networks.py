"""Small networks and canvases for the tests of this room."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import Tensor, nn

from depara.attribution import Extractor
from depara.config import AttributionConfig
from depara.models.preprocessing import Preprocess
from depara.types import IMAGENET_MEAN, IMAGENET_STD, InputSpec, LayerInfo, NodeMaps

SIDE = 16
GIB = 2**30


def seeded(build: type[nn.Module] | nn.Module, seed: int = 0) -> nn.Module:
    """A frozen network in eval mode with random weights and random norm statistics."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = build() if isinstance(build, type) else build
        for module in network.modules():
            has_statistics = getattr(module, "running_mean", None) is not None
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) and has_statistics:
                nn.init.normal_(module.running_mean, std=0.3)
                nn.init.uniform_(module.running_var, 0.5, 2.0)
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias, std=0.3)
    return network.eval().requires_grad_(False)


class ConvNet(nn.Module):
    """Convolutions with norms, in-place ReLUs, a residual sum and a linear head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(inplace=True)
        )
        self.conv = nn.Conv2d(8, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.relu = nn.ReLU(inplace=True)
        self.down = nn.Conv2d(8, 12, 3, stride=2)
        self.head = nn.Linear(12, 5)

    def forward(self, images: Tensor) -> Tensor:
        stem = self.stem(images)
        branch = self.norm(self.conv(stem))
        branch += stem
        features = self.relu(self.down(self.relu(branch)))
        return self.head(features.mean(dim=(2, 3)))


class ReluNet(nn.Module):
    """A network whose only nonlinearity is ReLU; linear ends make no kink at the input."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 3, padding=1)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(6, 8, 3, stride=2)
        self.relu2 = nn.ReLU(inplace=True)
        self.head = nn.Linear(8, 4)

    def forward(self, images: Tensor) -> Tensor:
        hidden = self.relu2(self.conv2(self.relu1(self.conv1(images))))
        return self.head(hidden.mean(dim=(2, 3)))


def preprocessing(side: int = SIDE) -> Preprocess:
    """ImageNet's mean and deviation, at a side."""
    return Preprocess(InputSpec(side, IMAGENET_MEAN, IMAGENET_STD))


def canvases(count: int, side: int = SIDE, seed: int = 0) -> np.ndarray:
    """Random uint8 canvases ``N S S 3``."""
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def probe_names(count: int) -> list[str]:
    """Stand-ins for probe ids."""
    return [f"probe-{index}" for index in range(count)]


def layers_of(
    network: nn.Module, names: list[str], *, side: int = SIDE, input_side: int | None = None
) -> list[LayerInfo]:
    """Layer infos measured by a forward pass of a copy."""
    network = copy.deepcopy(network).eval()
    shapes: dict[str, tuple[int, ...]] = {}

    def note(name: str, output: Tensor) -> None:
        shapes[name] = tuple(output.shape[1:])

    handles = [
        (network if name == "output" else network.get_submodule(name)).register_forward_hook(
            lambda _m, _i, out, name=name: note(name, out)
        )
        for name in names
    ]
    with torch.no_grad():
        network(preprocessing(input_side or side)(torch.rand(1, 3, side, side)))
    for handle in handles:
        handle.remove()
    return [
        LayerInfo(name, depth, (depth + 1) / len(names), int(np.prod(shapes[name])), shapes[name])
        for depth, name in enumerate(names)
    ]


class Extraction:
    """What an extractor gave: nodes by layer, features by layer as ``N D``."""

    def __init__(self, nodes: dict[str, NodeMaps], features_ND: dict[str, np.ndarray]) -> None:
        self.nodes = nodes
        self.features_ND = features_ND

    def maps(self, layer: str) -> np.ndarray:
        """Maps in float64."""
        return self.nodes[layer].maps_NP.astype(np.float64)


def extract(
    network: nn.Module,
    names: list[str],
    canvas_NSS3: np.ndarray,
    *,
    input_side: int | None = None,
    config: AttributionConfig | None = None,
    with_maps: bool = True,
    probe_ids: list[str] | None = None,
    map_side: int | None = None,
    **options: object,
) -> Extraction:
    """Runs one extractor over canvases; every row of every layer must come exactly once."""
    count, side = canvas_NSS3.shape[:2]
    layers = layers_of(network, names, side=side, input_side=input_side)
    rows: dict[str, list[int]] = {name: [] for name in names}
    features: dict[str, dict[int, np.ndarray]] = {name: {} for name in names}

    def collect(layer: str, row0: int, values: Tensor) -> None:
        for offset, row in enumerate(values.cpu().numpy().copy()):
            rows[layer].append(row0 + offset)
            features[layer][row0 + offset] = row

    options.setdefault("batch_size", 3)
    extractor = Extractor(
        network,
        preprocessing(input_side or side),
        layers,
        config or AttributionConfig(),
        map_side=map_side or side,
        memory_bytes=GIB,
        model_id="net",
        **options,  # type: ignore[arg-type]
    )
    with extractor:
        nodes = extractor.extract(
            canvas_NSS3, probe_ids or probe_names(count), collect, with_maps=with_maps
        )
    assert all(sorted(found) == list(range(count)) for found in rows.values())
    return Extraction(
        nodes, {name: np.stack([features[name][row] for row in range(count)]) for name in names}
    )
