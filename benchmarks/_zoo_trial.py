"""One architecture of the sweep: opened, cut and attributed by the product, and compared."""

from __future__ import annotations

import copy
import re
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from benchmarks._zoo_autograd import Array, PlainGraph, cosine, plain_graphs
from benchmarks._zoo_configs import NoConfigError, write_config
from benchmarks._zoo_entries import MAX_PARAMETERS, Attempt, Entry, num_parameters
from depara.attribution import Extractor, FeatureBank
from depara.config import AttributionConfig, InputConfig, ModelConfig
from depara.errors import DeparaError
from depara.extraction.graph_checks import checked_edges, feature_variation
from depara.models import OUTPUT, LoadedModel, choose_layers, describe_model, open_model
from depara.models.conditioning import conditioning_notes
from depara.types import LayerInfo, ModelCard, NodeMaps, Note

CANVAS_SIDE_PX = 64
NUM_PROBES = 3
MAX_COMPARED = 8
"""So many of the blocks are compared, spread over the depth; the first and last always."""
SLACK = 1e-3
"""What is allowed of ``1 - cosine``, and of edges and relative Gram errors, ..."""
FLOOR_FACTOR = 10
"""... beside so many times the error that plain float32 has itself against float64."""
UNRESOLVED = 1e-2
"""``1 - cosine`` of two plain passes above which float32 does not resolve a map."""
MEMORY_BYTES = 2**30

AGREES = "agrees"
DISAGREES = "DISAGREES"
REFUSED = "refused"
REFUSED_LATE = "refused late"
TRACEBACK = "TRACEBACK"
LEFT_OUT = "left out"


@dataclass
class Row:
    """What the sweep found of one architecture; None where it was not measured.

    ``blocks`` and ``stages`` are the number of cuts, first and last, or why there are none.
    Cosines, conditioning: the least; errors: the largest, over the compared layers. ``seconds`` are
    of the processor.
    """

    name: str
    verdict: str = ""
    words: str = ""
    parameters: int | None = None
    side_px: int | None = None
    blocks: str = ""
    stages: str = ""
    compared: int = 0
    cosine_float32: float | None = None
    cosine_float64: float | None = None
    plain_cosine: float | None = None
    gram_error: float | None = None
    edges_error: float | None = None
    conditioning: float | None = None
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Returns the fields as plain values."""
        return asdict(self)


@dataclass(frozen=True)
class _Opened:
    """What the product's doors gave."""

    model: LoadedModel
    card: ModelCard
    config: ModelConfig


@dataclass(frozen=True)
class Extracted:
    """What the product computed of one layer, and whether it marks the maps as noise."""

    maps_NP: Array
    gram_NN: Array
    edges_E: Array
    conditioning: float | None
    is_marked: bool = False


def try_architecture(entry: Entry) -> Row:
    """Returns the row of one architecture; whatever goes wrong is in it."""
    row = Row(entry.name)
    started_s = time.process_time()
    try:
        if entry.library in ("torchvision", "timm"):
            row.parameters = num_parameters(entry.library, entry.model)
        if row.parameters is not None and row.parameters > MAX_PARAMETERS:
            row.verdict = LEFT_OUT
            row.words = f"{row.parameters / 1e6:.0f} M parameters"
        else:
            with tempfile.TemporaryDirectory() as folder:
                _try(entry, row, Path(folder))
    except Exception as error:  # noqa: BLE001, this is what the sweep looks for
        row.verdict, row.words = TRACEBACK, _last_line(error)
    row.seconds = time.process_time() - started_s
    return row


def pictures(count: int, side: int) -> NDArray[np.uint8]:
    """Returns canvases ``N S S 3``: a rough ground, and one block of colour on each."""
    rng = np.random.default_rng(0)
    canvases = []
    for _ in range(count):
        ground = rng.integers(0, 256, (7, 7, 3), dtype=np.uint8)
        canvas = np.array(Image.fromarray(ground).resize((side, side), Image.Resampling.BICUBIC))
        top, left = rng.integers(0, side // 2, 2)
        canvas[top : top + side // 3, left : left + side // 3] = rng.integers(0, 256, 3)
        noise = rng.normal(0, 8, canvas.shape)
        canvases.append((canvas + noise).clip(0, 255).astype(np.uint8))
    return np.stack(canvases)


def _try(entry: Entry, row: Row, folder: Path) -> None:
    try:
        opened = _opened(entry, row, folder)
    except DeparaError as error:
        row.verdict, row.words = REFUSED, _line(error)
        return
    except NoConfigError as error:
        row.verdict, row.words = LEFT_OUT, _line(error)
        return
    row.parameters = opened.model.num_parameters
    row.side_px = opened.card.input.side
    row.notes += _kinds(opened.card.notes)
    compared = _compared(opened, row)
    row.compared = len(compared)
    plain_module, wide_module = _copies(opened)
    canvas_NSS3 = pictures(NUM_PROBES, CANVAS_SIDE_PX)
    try:
        product = _extracted(opened, compared, canvas_NSS3, row)
    except DeparaError as error:
        row.verdict, row.words = REFUSED_LATE, _line(error)
        return
    spec = opened.model.input
    layers = [layer.name for layer in compared]
    plain = plain_graphs(plain_module, spec, layers, canvas_NSS3, torch.float32)
    try:
        wide = plain_graphs(wide_module.double(), spec, layers, canvas_NSS3, torch.float64)
    except RuntimeError as error:
        row.notes.append(f"no float64: {_line(error)}")
        wide = plain
    compare(row, product, plain, wide)


def _opened(entry: Entry, row: Row, folder: Path) -> _Opened:
    """Opens by the first attempt that works.

    Raises:
        DeparaError, NoConfigError: as the last attempt's.
    """
    for number, attempt in enumerate(entry.attempts, start=1):
        try:
            config = _model_config(entry, attempt, folder / str(number))
            model, card = describe_model(config, canvas_side=CANVAS_SIDE_PX, features="flatten")
        except (DeparaError, NoConfigError):
            if number == len(entry.attempts):
                raise
        else:
            row.blocks = _span([layer.name for layer in card.layers])
            return _Opened(model, card, config)
    raise AssertionError("an entry has at least one attempt")


def _model_config(entry: Entry, attempt: Attempt, folder: Path) -> ModelConfig:
    source = entry.name
    if entry.library == "hf":
        folder.mkdir()
        write_config(entry.model, folder, attempt.side)
        source = f"hf:{folder}"
    return ModelConfig(
        id=entry.model.rpartition(":")[2],
        source=source,
        weights="random:0",
        kwargs=attempt.kwargs,
        input=InputConfig() if attempt.side is None else InputConfig(side=attempt.side),
        layers="blocks",
    )


def _compared(opened: _Opened, row: Row) -> Sequence[LayerInfo]:
    """The layers to compare: the stages, blocks spread over the depth, and the output."""
    blocks = [layer.name for layer in opened.card.layers]
    try:
        stages = [layer.name for layer in _chosen(opened, "stages")]
        row.stages = _span(stages)
    except DeparaError as error:
        stages, row.stages = [], _line(error)
    places = np.linspace(0, len(blocks) - 1, min(len(blocks), MAX_COMPARED)).astype(int)
    names = list(dict.fromkeys([*(blocks[place] for place in places), *stages]))
    try:
        return _chosen(opened, list(dict.fromkeys([*names, OUTPUT])))
    except DeparaError as error:  # such as a detector's boxes, of which there may be none
        row.notes.append(f"no cut: {_line(error)}")
        return _chosen(opened, names)


def _chosen(opened: _Opened, layers: str | list[str]) -> tuple[LayerInfo, ...]:
    config = opened.config.model_copy(update={"layers": layers})
    return choose_layers(opened.model, config, canvas_side=CANVAS_SIDE_PX, features="flatten")


def _copies(opened: _Opened) -> tuple[nn.Module, nn.Module]:
    """Two more of the module, which the product's pass does not touch."""
    try:
        return copy.deepcopy(opened.model.module), copy.deepcopy(opened.model.module)
    except (RuntimeError, TypeError):  # such as tensors computed from others: built again
        first, second = (
            open_model(opened.config, canvas_side=CANVAS_SIDE_PX).module for _ in range(2)
        )
        return first, second


def _extracted(
    opened: _Opened, layers: Sequence[LayerInfo], canvas_NSS3: NDArray[np.uint8], row: Row
) -> dict[str, Extracted]:
    """The product's nodes, Gram matrices and edges."""
    with (
        FeatureBank(len(canvas_NSS3), layers, memory_bytes=MEMORY_BYTES) as bank,
        Extractor(
            opened.model.module,
            opened.model.preprocess,
            layers,
            AttributionConfig(),
            map_side=CANVAS_SIDE_PX,
            memory_bytes=MEMORY_BYTES,
            model_id=opened.config.id,
        ) as extractor,
    ):
        ids = [f"{index:064x}" for index in range(len(canvas_NSS3))]
        nodes = extractor.extract(canvas_NSS3, ids, bank.write)
        row.notes += _kinds(extractor.notes)
        return {
            name: _extracted_layer(opened.config.id, name, bank, found)
            for name, found in nodes.items()
        }


def _extracted_layer(model_id: str, name: str, bank: FeatureBank, nodes: NodeMaps) -> Extracted:
    """One layer's values, by the steps that a scan takes."""
    grams, edges_E = checked_edges(model_id, name, bank, "zscore")
    measured = [] if nodes.conditioning_N is None else nodes.conditioning_N
    finite = [float(value) for value in measured if np.isfinite(value)]
    conditioning = float(np.median(finite)) if finite else None
    return Extracted(
        maps_NP=nodes.maps_NP.astype(np.float64),
        gram_NN=grams.raw_NN,
        edges_E=edges_E.astype(np.float64),
        conditioning=conditioning,
        is_marked=bool(conditioning_notes(name, conditioning, feature_variation(grams.raw_NN))),
    )


def compare(
    row: Row,
    product: dict[str, Extracted],
    plain: dict[str, PlainGraph],
    wide: dict[str, PlainGraph],
) -> None:
    """Fills in the figures and the verdict of a row.

    Args:
        row: to fill.
        product: what the product computed, by layer.
        plain: the same layers by plain autograd in float32.
        wide: in float64.
    """
    wrong: list[str] = []
    unresolved: list[str] = []
    zero: list[str] = []
    for layer, mine in product.items():
        one, exact = plain[layer], wide[layer]
        against_plain = _least_cosine(mine.maps_NP, one.maps_NP)
        against_exact = _least_cosine(mine.maps_NP, exact.maps_NP)
        floor = _least_cosine(one.maps_NP, exact.maps_NP)
        gram_error = _relative(mine.gram_NN, exact.gram_NN)
        edges_error = float(np.abs(mine.edges_E - exact.edges_E).max())
        row.cosine_float32 = _least(row.cosine_float32, against_plain)
        row.cosine_float64 = _least(row.cosine_float64, against_exact)
        row.plain_cosine = _least(row.plain_cosine, floor)
        row.gram_error = max(row.gram_error or 0.0, gram_error)
        row.edges_error = max(row.edges_error or 0.0, edges_error)
        if mine.conditioning is not None:
            row.conditioning = _least(row.conditioning, mine.conditioning)
        if not mine.maps_NP.any():
            zero.append(layer)
        elif min(1 - floor, 1 - against_exact) > UNRESOLVED:
            unresolved.append(layer)
            if not mine.is_marked:
                wrong.append(f"{layer}: float32 does not resolve its maps, and nobody is told")
        errors = {
            "maps": (1 - against_exact, 1 - floor),
            "Gram": (gram_error, _relative(one.gram_NN, exact.gram_NN)),
            "edges": (edges_error, float(np.abs(one.edges_E - exact.edges_E).max())),
        }
        wrong += [
            f"{layer}: {what} off by {error:.1e}, plain float32 by {least:.1e}"
            for what, (error, least) in errors.items()
            if not error <= SLACK + FLOOR_FACTOR * least
        ]
    if zero:
        row.notes.append(f"zero maps at {_span(zero)}")
    if unresolved:
        row.notes.append(f"float32 does not resolve {_span(unresolved)}")
    row.verdict = DISAGREES if wrong else AGREES
    more = f" and {len(wrong) - 2} more" if len(wrong) > 2 else ""
    row.words = "; ".join(wrong[:2]) + more


def _kinds(notes: Iterable[Note]) -> list[str]:
    return [f"{count} notes of {kind}" for kind, count in Counter(n.kind for n in notes).items()]


def _least_cosine(one_NP: Array, other_NP: Array) -> float:
    """The least over the probes; NaN where one is not finite."""
    return float(np.min([cosine(a, b) for a, b in zip(one_NP, other_NP, strict=True)]))


def _least(one: float | None, other: float) -> float:
    return other if one is None else float(np.minimum(one, other))


def _relative(one_NN: Array, exact_NN: Array) -> float:
    largest = float(np.abs(exact_NN).max())
    difference = float(np.abs(one_NN - exact_NN).max())
    return difference / largest if largest > 0 else difference


def _span(names: Iterable[str]) -> str:
    listed = list(names)
    if len(listed) < 2:
        return f"{len(listed)}: {', '.join(listed)}"
    return f"{len(listed)}: {listed[0]} ... {listed[-1]}"


def _line(error: BaseException) -> str:
    """The error's text on one line, without the temporary folders of configs."""
    text = " ".join(str(error).split()) or type(error).__name__
    return re.sub(rf"{re.escape(tempfile.gettempdir())}/\w+/\d+", "FOLDER", text)


def _last_line(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "/depara/" in frame.filename] or list(frames)
    where = f"{Path(own[-1].filename).name}:{own[-1].lineno}"
    return f"{type(error).__name__} at {where}: {_line(error)}"
