"""The nouns that pass between the rooms, as frozen dataclasses of plain values and numpy arrays.

Shape suffixes used everywhere: ``N`` probes, ``C H W`` image, ``S`` canvas side, ``P`` map pixels,
``D`` features, ``E = N(N-1)/2`` edges, ``G`` graphs, ``L`` layers, ``M`` models.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from depara.errors import DeparaError, FailureKind

Float16 = NDArray[np.float16]
Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
UInt8 = NDArray[np.uint8]

ChannelOrder = Literal["rgb", "bgr"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Annotation(NamedTuple):
    """An object of a picture as its source has it: numbers that should be a `Box`, and a class."""

    numbers: tuple[float, ...]
    label: str | None


class Box(NamedTuple):
    """An object of a picture: its corners, px of the upright picture, and its class.

    ``x`` goes right and ``y`` down from the upper left corner; ``x0 < x1``, ``y0 < y1``.
    """

    x0: float
    y0: float
    x1: float
    y1: float
    label: str


@dataclass(frozen=True)
class ProbeRef:
    """Where one probe image is: a path or URI, its label and objects where the source has them.

    A row of a Parquet file is written ``FILE.parquet#ROW`` and names its image column. No objects
    are an empty tuple; where it is not known whether there are any, it is None.
    """

    uri: str
    label: str | None = None
    column: str | None = None
    objects: tuple[Annotation, ...] | None = None


@dataclass(frozen=True)
class Probe:
    """One probe of a probe set.

    ``probe_id`` is the sha256 of the decoded canvas, ``index`` its place in the probe set (0-based,
    by ascending ``probe_id``), ``width`` and ``height`` the size of the original image, px, and
    ``boxes`` its objects, None where they are not known.
    """

    probe_id: str
    index: int
    uri: str
    width: int
    height: int
    label: str | None = None
    boxes: tuple[Box, ...] | None = None


@dataclass(frozen=True)
class DecodedProbe:
    """One decoded image: its canvas (uint8, ``S S 3``, RGB), the canvas' sha256 and its origin.

    ``boxes`` are its objects, None where they are not known.
    """

    probe_id: str
    uri: str
    width: int
    height: int
    label: str | None
    canvas_SS3: UInt8
    boxes: tuple[Box, ...] | None = None


@dataclass(frozen=True)
class InputSpec:
    """What a model takes: a square of ``side`` px, normalised by ``mean`` and ``std`` per channel.

    Three values of mean and std mean colours in the order ``channel_order``, one value means a
    single luminance channel; both are in that order and refer to pixels in [0, 1], whatever range
    the model was trained with: (255 p - m) / s is (p - m/255) / (s/255).
    """

    side: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    channel_order: ChannelOrder = "rgb"

    def __post_init__(self) -> None:
        assert self.side > 0
        assert len(self.mean) == len(self.std)
        assert len(self.mean) in (1, 3)
        assert all(value > 0 for value in self.std)
        assert self.channel_order == "rgb" or len(self.mean) == 3

    @property
    def channels(self) -> str:
        """RGB, BGR or luminance."""
        return self.channel_order.upper() if len(self.mean) == 3 else "luminance"


@dataclass(frozen=True)
class LayerInfo:
    """One cut point: module name, place in the firing order, and the shape of one probe's output.

    ``depth`` is 0-based among the chosen layers, ``depth_fraction`` is ``(depth + 1) / L``,
    ``num_features`` the product of ``shape`` (after pooling, when features are pooled). ``flops``
    are the floating point operations of one probe's forward pass up to it, None when not counted.
    """

    name: str
    depth: int
    depth_fraction: float
    num_features: int
    shape: tuple[int, ...]
    flops: int | None = None


@dataclass(frozen=True)
class Note:
    """What a user must know of numbers that are given all the same: a row of the ``notes`` table.

    ``kind`` is one word for what the note is about; ``message`` says what is the case, why, and
    what to do. ``layer`` is None where the whole model is meant.
    """

    kind: str
    message: str
    layer: str | None = None


@dataclass(frozen=True)
class ModelCard:
    """All that is known of one model without its weights in memory: what plan and keys need.

    ``layers`` are in firing order; ``output_layer`` is the name of the one that stands for the
    model as a target. ``seconds_per_probe`` is a measured forward pass on this machine, for
    ordering work only; ``activation_bytes`` is what one probe's forward pass keeps for the
    backwards. ``input_from`` says where each part of the input was found; ``licence`` is what its
    source states of the weights; ``notes`` are what was noticed while the model was opened.
    """

    model_id: str
    source: str
    architecture: str
    weights_sha256: str
    num_parameters: int
    input: InputSpec
    layers: tuple[LayerInfo, ...]
    output_layer: str
    seconds_per_probe: float = 0.0
    activation_bytes: int = 0
    input_from: str = ""
    licence: str | None = None
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True)
class NodeMaps:
    """The nodes of one graph for a range of probes: unit-norm maps and the norms taken out.

    ``maps_NP`` float16, each row of Euclidean norm 1 or all zero (of several
    maps end to end, shorter where some are); ``norms_N`` float32, >= 0.
    ``conditioning_N`` float64, NaN where it is not defined, or None where it was not measured.
    """

    maps_NP: Float16
    norms_N: Float32
    conditioning_N: Float64 | None = None

    def __post_init__(self) -> None:
        assert self.maps_NP.dtype == np.float16
        assert self.norms_N.dtype == np.float32
        assert self.maps_NP.ndim == 2
        assert self.norms_N.shape == self.maps_NP.shape[:1]


@dataclass(frozen=True)
class Failure:
    """One thing that went wrong and was left behind: a row of the ``failures`` table, and its kind.

    ``error_type`` and ``message`` are for people; what is done about a failure follows from
    ``kind`` alone.
    """

    model_id: str
    stage: str
    error_type: str
    message: str
    layer: str | None = None
    probe_id: str | None = None
    kind: FailureKind = FailureKind.FAULT

    @classmethod
    def of(cls, error: BaseException, message: str, *, stage: str, model_id: str = "") -> Failure:
        """Returns an error as data, with what it knows of its layer, its probe and its kind."""
        known = error if isinstance(error, DeparaError) else DeparaError()
        name = type(error).__name__
        return cls(model_id, stage, name, message, known.layer, known.probe_id, known.kind)

    @property
    def is_passing(self) -> bool:
        """Whether the same may succeed when it is tried again."""
        return self.kind is FailureKind.PASSING

    def row(self) -> dict[str, Any]:
        """Returns what is kept of it: all but the kind."""
        return {name: value for name, value in vars(self).items() if name != "kind"}


@dataclass(frozen=True)
class ProbeRange:
    """Probes ``start <= index < stop`` of the probe set."""

    start: int
    stop: int

    def __post_init__(self) -> None:
        assert 0 <= self.start < self.stop

    def __len__(self) -> int:
        return self.stop - self.start

    def __str__(self) -> str:
        return f"{self.start:06d}-{self.stop:06d}"
