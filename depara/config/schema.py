"""The scan file as validated, frozen models: one class per section, one docstring per field."""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    ByteSize,
    Field,
    field_validator,
    model_validator,
)

from depara.catalog import METHODS
from depara.config.section import Section
from depara.config.similarity import SimilarityConfig

Scalar = Literal["l2norm", "mean"]
Channels = Literal["mean", "abs"]
FeatureReduction = Literal["flatten", "gap"]
Normalization = Literal["zscore", "center", "none"]
Preset = Literal["paper", "authors_tasks", "authors_layers"]
Arithmetic = Literal["fp32", "tf32", "bf16"]
Precision = Literal[Arithmetic, "auto"]
if TYPE_CHECKING:
    AttributionMethod = str
else:
    AttributionMethod = Literal[tuple(METHODS)]

_PAPERS = {"lambda": 2.0}

PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "paper": {
        "attribution": {"scalar": "l2norm", "channels": "mean"},
        "edges": {"normalize": "none"},
        "similarity": _PAPERS,
    },
    "authors_tasks": {
        "attribution": {"scalar": "mean", "channels": "mean"},
        "edges": {"normalize": "center"},
        "similarity": _PAPERS,
    },
    "authors_layers": {
        "attribution": {"scalar": "mean", "channels": "abs"},
        "edges": {"normalize": "none"},
        "similarity": _PAPERS,
    },
}
"""The settings of the paper and of the authors' two code bases (see docs/concepts.md)."""

MODEL_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+\-]{0,127}")
SCAN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._\-]{0,127}")


def _none_as_text(value: Any) -> Any:
    """YAML reads a bare ``none`` as text but ``null`` and ``~`` as None: accept both."""
    return "none" if value is None else value


class ProbesConfig(Section):
    """Which images to probe the models with."""

    source: str | list[str]
    """Folder (searched recursively), glob, URI prefix (s3://...), ``package://NAME/path``, text
    file with one image per line (optionally a tab and a label), or a Parquet file with a column of
    images. A list joins several sources."""
    count: Annotated[int, Field(ge=4)] | None = 200
    """How many probes to draw from the source; null takes all."""
    seed: int = 0
    """Seed of the draw."""
    column: str | None = None
    """Image column of a Parquet source: bytes, a Hugging Face image, or text of paths or base64;
    null finds the only column of bytes or Hugging Face images."""
    label_column: str | None = None
    """Label column of a Parquet source, or its folders ``NAME=...``; null uses ``label`` when there
    is one."""
    boxes_column: str | None = None
    """Column of a Parquet source with the objects of each picture: a list of [x0, y0, x1, y1], px
    of the upright picture, empty where there are none. null: no objects are known."""
    box_labels_column: str = "box_labels"
    """Column of a Parquet source with the class of each of these boxes: a list as long."""
    annotations: str | None = None
    """COCO JSON with the objects of a source of image files: path or URI; each `file_name` is the
    end of a picture's path."""

    @model_validator(mode="after")
    def _boxes_are_of_one_place(self) -> ProbesConfig:
        if self.boxes_column is not None and self.annotations is not None:
            raise ValueError(
                "boxes_column and annotations both give the objects of pictures: leave one out"
            )
        return self


class CanvasConfig(Section):
    """The one square image that all models see, each resized and normalised its own way."""

    side: Annotated[int, Field(ge=8, le=1024)] = 224
    """Side in px; a probe's short side is resized to it, then the centre square is cut."""


class InputConfig(Section):
    """What one model takes; every field left out is what the model's source declares."""

    side: Annotated[int, Field(ge=1, le=4096)] | None = None
    """Side of the square input, px."""
    mean: list[float] | None = None
    """Mean per channel of pixels in [0, 1]: three values for RGB, one for a luminance input."""
    std: list[float] | None = None
    """Standard deviation per channel, likewise."""
    channel_order: Literal["rgb", "bgr"] | None = None
    """Order of the three channels, of mean and of std: rgb or bgr."""
    scale: Annotated[float, Field(gt=0)] | None = None
    """What a full pixel is before mean and std, which are then in its units: 255 for networks that
    take 0 to 255. null: 1."""

    @model_validator(mode="after")
    def _mean_and_std_agree(self) -> InputConfig:
        for name, values in (("mean", self.mean), ("std", self.std)):
            if values is not None and len(values) not in (1, 3):
                raise ValueError(f"{name} needs 1 or 3 values, got {len(values)}")
            if values is not None and not all(map(math.isfinite, values)):
                raise ValueError(f"{name} must be finite, got {values}")
        if self.mean is not None and self.std is not None and len(self.mean) != len(self.std):
            raise ValueError(f"mean has {len(self.mean)} values but std has {len(self.std)}")
        if self.std is not None and any(value <= 0 for value in self.std):
            raise ValueError(f"std must be positive, got {self.std}")
        if self.scale is not None and (self.mean is None or self.std is None):
            raise ValueError(f"scale {self.scale:g} needs mean and std, which are in its units")
        if self.channel_order == "bgr" and 1 in (len(self.mean or ()), len(self.std or ())):
            raise ValueError("channel_order bgr needs three channels, mean or std has one")
        return self


class ModelConfig(Section):
    """One model of the zoo: where its code and weights come from, and where to cut it."""

    id: str
    """Name in all tables; letters, digits and ``. _ + -``. With a glob of weights: a template such
    as ``"resnet-{stem}"``."""
    source: str
    """``torchvision:NAME``, ``timm:NAME``, ``hf:NAME_OR_FOLDER`` or
    ``python:package.module:callable``."""
    kwargs: dict[str, Any] = Field(default_factory=dict)
    """Keyword arguments of the builder."""
    weights: str | None = None
    """Path or URI of a file of weights, or of the ``.index.json`` of a sharded one;
    ``package://NAME/path``, a weights name of the source (``IMAGENET1K_V2``), or ``random:SEED``.
    null: the source's own pretrained weights (for ``python:``, the module as the callable returns
    it). A glob makes one model per file; a file of that very name wins."""
    weights_sha256: str | None = None
    """Expected sha256 of the weights file; another one is an error."""
    state_dict_key: str | None = None
    """Dotted key of the state dict inside the checkpoint; null takes the one that fits."""
    strip_prefix: str | None = None
    """Prefix to take off the state dict's keys, the others are left out; null takes the one off
    that fits."""
    input: InputConfig = InputConfig()
    """Side, mean, std and channel order of the input; default: what the source declares."""
    layers: Literal["output", "stages", "blocks"] | list[str] = "blocks"
    """Cut points: ``output``, ``stages``, ``blocks``, or a list of module globs, where ``*``
    matches within one dotted part and ``**`` across parts. The first three are cut before a final
    normalisation that leaves only rounding noise of the maps; a list is taken as it is."""
    output_layer: str | None = None
    """The layer that stands for the model as a target; null takes the last of ``layers``."""

    null_of: str | None = None
    """Set for a random-weights twin: the model it stands beside. Twins are in no ranking."""

    @field_validator("id")
    @classmethod
    def _id_is_a_name(cls, value: str) -> str:
        if "{" not in value and not MODEL_ID.fullmatch(value):
            raise ValueError(f"{value!r} is no model id: use letters, digits and . _ + -")
        return value

    @field_validator("weights_sha256")
    @classmethod
    def _sha_is_hex(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[0-9a-f]{64}", value.lower()):
            raise ValueError("a sha256 has 64 hexadecimal digits")
        return value.lower() if value else value

    @field_validator("layers")
    @classmethod
    def _layers_are_given(cls, value: str | list[str]) -> str | list[str]:
        if isinstance(value, list) and not value:
            raise ValueError("the list of layers is empty")
        return value


class AttributionConfig(Section):
    """How a node, the attribution map of one probe, is computed."""

    method: AttributionMethod = "grad_input"
    """grad_input (the paper), or another of `depara.catalog.METHODS`; see docs/concepts.md."""
    scalar: Scalar = "l2norm"
    """What is differentiated: the L2 norm of the layer's output (paper, Eq. 3) or its mean."""
    channels: Channels = "mean"
    """Reduction over RGB: the signed mean, or the mean of absolute values."""
    map_side: Annotated[int, Field(ge=1)] | None = None
    """Side of the stored map: null is the canvas side; a divisor of it sums over cells."""
    steps: Annotated[int, Field(ge=2, le=1024)] = 32
    """integrated_gradients, gradient_field: quadrature points; smoothgrad: noisy copies. Else
    unused."""
    points: Annotated[int, Field(ge=1, le=64)] = 5
    """gradient_field: places of the path whose maps are compared, the last one its end; graphs are
    so many times larger. At most `steps`. Else unused."""
    noise: Annotated[float, Field(gt=0, le=1)] = 0.15
    """smoothgrad: standard deviation of the noise, as a share of the pixel range. Else unused."""

    @model_validator(mode="after")
    def _points_are_steps(self) -> AttributionConfig:
        if METHODS[self.method].maps == "points" and self.points > self.steps:
            raise ValueError(
                f"attribution.points {self.points} is more than attribution.steps {self.steps}: a "
                f"place needs a step of the path before it; use at most {self.steps} points, or "
                "more steps"
            )
        return self

    @property
    def num_maps(self) -> int:
        """Maps in a node: of most methods one."""
        named = METHODS[self.method].maps
        count: int = getattr(self, named) if named else 1
        return count


class EdgesConfig(Section):
    """How an edge, the cosine of two probes' features, is computed."""

    features: FeatureReduction = "flatten"
    """flatten: every value of the layer's output; gap: the mean over positions per channel."""
    normalize: Annotated[Normalization, BeforeValidator(_none_as_text)] = "zscore"
    """Of each feature dimension over the probes: zscore, center, or none (the paper)."""


class UncertaintyConfig(Section):
    """How sure the rankings are, were the probes others of the same kind."""

    resamples: Annotated[int, Field(ge=0, le=100_000)] = 1000
    """Bootstrap resamples of the probes for the 5-95 % intervals; 0 turns all of it off."""
    seed: int = 0
    """Seed of the resamples."""
    time_share: Annotated[float, Field(gt=0, le=10)] = 0.1
    """Share of the scan's time that it may take; over it, fewer resamples (at least 100)."""


class ComputeConfig(Section):
    """What the work may use."""

    workers: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    """Number of worker actors; auto fills the cluster, but never more than there are models."""
    num_gpus: Annotated[float, Field(ge=0)] | Literal["auto"] = 0.0
    """GPUs of each worker; a fraction shares one GPU among workers; auto: 1, 1/2, 1/4 or 1/8 by
    what each model needs, and CPUs where there is no GPU."""
    gpu_memory: ByteSize | None = None
    """Memory of one GPU, for num_gpus auto; null: the nodes with GPUs are asked."""
    num_cpus: Annotated[float, Field(gt=0)] = 1
    """CPUs of each worker, and its number of compute threads."""
    batch_size: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    """Probes per forward pass; auto measures on the first probes. Never changes the result: models
    whose probes depend on each other are run one at a time."""
    precision: Precision = "fp32"
    """fp32; tf32 to allow TensorFloat-32 on NVIDIA GPUs; bf16 for the forward and backward pass of
    layers whose first probes show that maps and edges agree with fp32, the others are computed in
    fp32; auto: the fastest that agrees, measured on the first probes."""
    memory: ByteSize = ByteSize(4 * 1024**3)
    """Memory of each worker for features and tiles; what exceeds it spills to local disk."""
    unit_probes: Annotated[int, Field(ge=1)] = 256
    """Probes per work unit and per node file."""
    unit_timeout_s: Annotated[float, Field(gt=0)] = 1800.0
    """The most that one work unit may take, s. Deadlines are shorter, many times what was measured
    and at least two minutes; above the default, they rise with it."""
    spill_dir: str | None = None
    """Local folder for spilled features; null is the system's temporary folder."""
    ready_timeout_s: Annotated[float, Field(gt=0)] = 600.0
    """How long to wait for the first worker to become ready, s."""

    @field_validator("memory")
    @classmethod
    def _memory_suffices(cls, value: ByteSize) -> ByteSize:
        if value < 64 * 1024**2:
            raise ValueError("needs at least 64MiB")
        return value

    @field_validator("num_gpus")
    @classmethod
    def _gpus_are_placeable(cls, value: float | str) -> float | str:
        if isinstance(value, str):
            return value
        if value > 1 and value != int(value):
            raise ValueError(f"above 1 only whole numbers can be placed, got {value}")
        return value


class ScanConfig(Section):
    """A whole scan: what is compared with what, how, where, and where the results go."""

    output: str = "./depara-out"
    """Local folder or s3://bucket/prefix for graphs and tables."""
    scan_id: str | None = None
    """Name of this scan's folder; null is the UTC time and a short hash of the config."""
    probes: ProbesConfig
    """The probe images."""
    canvas: CanvasConfig = CanvasConfig()
    """The shared canvas."""
    models: Annotated[list[ModelConfig], Field(min_length=1)]
    """The zoo."""
    attribution: AttributionConfig = AttributionConfig()
    """Nodes."""
    edges: EdgesConfig = EdgesConfig()
    """Edges."""
    preset: Preset | None = None
    """paper, authors_tasks or authors_layers: sets scalar, channels, normalize, terms where not
    given."""
    similarity: SimilarityConfig = SimilarityConfig()
    """Comparison of graphs."""
    uncertainty: UncertaintyConfig = UncertaintyConfig()
    """Intervals."""
    nulls: Annotated[int, Field(ge=0, le=10)] = 0
    """Random-weights twins of each model to compare as well: the floor of its similarity."""
    store_outputs: bool | None = None
    """Whether to keep what each model returns, as logits; null: where probes have labels."""
    store_features: bool = False
    """Whether to keep the features of output layers, for distances between probe sets."""
    compute: ComputeConfig = ComputeConfig()
    """Resources."""

    @field_validator("scan_id")
    @classmethod
    def _scan_id_is_a_name(cls, value: str | None) -> str | None:
        if value is not None and not SCAN_ID.fullmatch(value):
            raise ValueError(f"{value!r} is no scan id: use letters, digits and . _ -")
        return value

    @model_validator(mode="after")
    def _fields_agree(self) -> ScanConfig:
        side, map_side = self.canvas.side, self.attribution.map_side
        if map_side is not None and (map_side > side or side % map_side):
            divisors = [d for d in range(1, side + 1) if side % d == 0]
            near = sorted(divisors, key=lambda d: abs(d - map_side))[:4]
            raise ValueError(
                f"attribution.map_side {map_side} does not divide canvas.side {side}: "
                f"use one of {', '.join(map(str, sorted(near)))}"
            )
        ids = [model.id for model in self.models]
        twice = sorted(name for name, count in Counter(ids).items() if count > 1)
        if twice:
            raise ValueError(
                f"two models have the id {', '.join(map(repr, twice))}: ids are unique"
            )
        return self

    @property
    def map_side(self) -> int:
        """Side of the stored maps, px."""
        return self.attribution.map_side or self.canvas.side

    @property
    def node_values(self) -> int:
        """Values of one node: the pixels of all its maps."""
        return self.attribution.num_maps * self.map_side**2
