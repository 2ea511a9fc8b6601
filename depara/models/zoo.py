"""Opening one model of the zoo: built, loaded, frozen, with its input and its identity."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn
from torch.nn.parameter import UninitializedParameter

from depara.config.schema import FeatureReduction, ModelConfig
from depara.errors import ModelError, WeightsError, near_names
from depara.models.architecture import architecture_line, own_modules
from depara.models.checkpoint import (
    file_sha256,
    read_checkpoint,
    state_dict_sha256,
    weights_file,
)
from depara.models.dry_pass import DryPass, call_model, dry_canvas, run_dry_pass
from depara.models.foreign import foreign_code
from depara.models.identity import FileProof, hold_tensors, prove_code_is_current
from depara.models.layers import proven_layers
from depara.models.model_input import resolve_input
from depara.models.preprocessing import Preprocess
from depara.models.process_state import process_kept, seeded
from depara.models.resolved_cuts import ResolvedCuts
from depara.models.settled import settled
from depara.models.source import Filled, Source
from depara.models.sources import find_source
from depara.models.state_dict import (
    StateDict,
    check_finite,
    find_state_dict,
    strip_prefix,
)
from depara.types import InputSpec, LayerInfo, ModelCard, Note

_RANDOM = "random:"
_DEFAULT_SEED = 0


@dataclass(frozen=True)
class LoadedModel:
    """A model on the CPU in float32, in eval mode, all parameters frozen.

    ``preprocess`` turns a canvas into its input (see `Preprocess`); ``weights_sha256`` is that of
    the weights file, or of the state dict when there is no file; ``architecture`` is the line of
    `architecture_line`; ``input_from`` says where each part of the input was found; ``notes`` are
    what a user must know of how it was opened.
    """

    module: nn.Module
    preprocess: Preprocess
    input: InputSpec
    weights_sha256: str
    architecture: str
    num_parameters: int
    source: str
    input_from: str
    licence: str | None = None
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True)
class _Built:
    """A module that holds its weights, the sha256 of their file, if any, and how it was read."""

    module: nn.Module
    weights_name: str | None = None
    file_sha256: str | None = None
    state_dict_key: str = ""
    notes: tuple[Note, ...] = ()


def open_model(
    config: ModelConfig, *, canvas_side: int, weights_path: Path | None = None
) -> LoadedModel:
    """Returns the model of one entry of the scan file.

    Args:
        config: the entry.
        canvas_side: px; the input's side where neither the entry nor the source names one.
        weights_path: a local copy of the entry's weights, where these are a file and one is there.

    Raises:
        WeightsError: weights missing, damaged, unsafe, not finite, of another sha256, or not of
            this architecture.
        ChangedModelError: weights or code changed while they were read.
        ModelError: unknown source or name, missing package, or the builder raises.
        OutOfMemoryError: memory ran out.
    """
    with _blamed_on(config.id):
        source, name = find_source(config.source)
        built = _build(source, name, config, weights_path)
        module = _frozen(built.module)
        prove_code_is_current(own_modules(module))
        check_finite(module)
        sha256 = built.file_sha256 or state_dict_sha256(module)
        _check_pin(config, sha256)
        declared = source.declared_input(name, config.kwargs, built.weights_name, module)
        resolved = resolve_input(config.input, declared, canvas_side)
        return LoadedModel(
            module=module,
            preprocess=Preprocess(resolved.spec).eval(),
            input=resolved.spec,
            weights_sha256=sha256,
            architecture=architecture_line(
                config.source, config.kwargs, module, built.state_dict_key
            ),
            num_parameters=sum(parameter.numel() for parameter in module.parameters()),
            source=config.source,
            input_from=resolved.origins,
            licence=_licence(source, name, config, built, module),
            # A twin's input is its model's, which has the note.
            notes=built.notes + (resolved.notes if config.null_of is None else ()),
        )


def choose_layers(
    model: LoadedModel, config: ModelConfig, *, canvas_side: int, features: FeatureReduction
) -> tuple[LayerInfo, ...]:
    """Returns the cut points of ``config.layers`` in firing order, proven by one dry forward pass.

    Each fires exactly once and gives a floating-point tensor, batch first, that depends on the
    input.

    Args:
        model: as `open_model` gives it.
        config: its entry in the scan file.
        canvas_side: px.
        features: ``flatten`` or ``gap``, for the number of features.

    Raises:
        LayerError: a layer matches nothing or is no cut point; near names are listed.
        ModelError: the model raises, or needs another input.
        OutOfMemoryError: memory ran out.
    """
    with _blamed_on(config.id):
        dry = run_dry_pass(model.module, model.preprocess, canvas_side)
        cuts = _own_cuts(model, config, dry, canvas_side)
        return proven_layers(
            dry,
            model.module,
            config.layers,
            config.output_layer,
            features,
            cuts,
        )


def describe_model(
    config: ModelConfig, *, canvas_side: int, features: FeatureReduction
) -> tuple[LoadedModel, ModelCard]:
    """Returns the opened model and its card: identity, input, layers, and measured cost.

    Raises:
        ModelError, WeightsError, LayerError, OutOfMemoryError: as `open_model` and `choose_layers`;
            also a model that gives other values for the same input the second time.
    """
    model = open_model(config, canvas_side=canvas_side)
    with _blamed_on(config.id):
        dry = run_dry_pass(model.module, model.preprocess, canvas_side)
        cuts = _own_cuts(model, config, dry, canvas_side)
        layers = proven_layers(
            dry,
            model.module,
            config.layers,
            config.output_layer,
            features,
            cuts,
        )
        seconds_per_probe = _timed_second_pass(model, dry, canvas_side)
    card = ModelCard(
        model_id=config.id,
        source=config.source,
        architecture=model.architecture,
        weights_sha256=model.weights_sha256,
        num_parameters=model.num_parameters,
        input=model.input,
        layers=layers,
        output_layer=config.output_layer or layers[-1].name,
        seconds_per_probe=seconds_per_probe,
        activation_bytes=dry.activation_bytes(layers[-1].name),
        input_from=model.input_from,
        licence=model.licence,
        notes=(*model.notes, *(cuts.notes if cuts else ())),
    )
    return model, card


def _own_cuts(
    model: LoadedModel, config: ModelConfig, dry: DryPass, canvas_side: int
) -> ResolvedCuts | None:
    """What moves cuts before a normalisation; a random twin must have its model's, by name."""
    if config.null_of is not None:
        return None
    return ResolvedCuts(model.module, model.preprocess, canvas_side, dry)


@contextmanager
def _blamed_on(model_id: str) -> Iterator[None]:
    """Puts the model's id in front of errors about it, and the process back as it was."""
    try:
        with process_kept(), foreign_code("cannot be opened"):
            yield
    except ModelError as error:
        raise type(error)(f"model {model_id!r}: {error}") from error


def _build(source: Source, name: str, config: ModelConfig, weights_path: Path | None) -> _Built:
    weights = config.weights
    if weights is None:
        return _build_pretrained(source, name, config, None)
    if weights.startswith(_RANDOM):
        with seeded(_seed(weights)):
            return _Built(source.build(name, config.kwargs))
    names = source.weight_names(name)
    if weights in names:
        return _build_pretrained(source, name, config, weights)
    if not _looks_like_a_file(weights):
        hint = near_names(weights, names)
        raise WeightsError(
            f"weights {weights!r} is neither a file nor a weights name of {config.source}"
            + (f": {hint}" if hint else "")
        )

    def load(state: StateDict) -> Filled:
        with seeded(_DEFAULT_SEED):
            return source.load(name, config.kwargs, state)

    local = weights_file(weights) if weights_path is None else nullcontext(weights_path)
    with local as path:
        return _loaded(config, path, load, shown=weights)


def _build_pretrained(
    source: Source, name: str, config: ModelConfig, weights_name: str | None
) -> _Built:
    with seeded(_DEFAULT_SEED):
        pretrained = source.pretrained(name, config.kwargs, weights_name)
    if pretrained.file is None:
        hold_tensors(pretrained.module)
        return _Built(pretrained.module, weights_name)

    def fill(state: StateDict) -> Filled:
        return source.fill(pretrained.module, name, state)

    built = _loaded(config, pretrained.file, fill, shown=pretrained.file.name)
    return replace(built, weights_name=weights_name)


def _loaded(
    config: ModelConfig, path: Path, load: Callable[[StateDict], Filled], *, shown: str
) -> _Built:
    """Returns a module with the tensors of a weights file, proven to be those that were hashed."""
    proof = FileProof(path)
    sha256 = file_sha256(path)
    _check_pin(config, sha256)
    state = find_state_dict(read_checkpoint(path, shown), config.state_dict_key)
    filled = load(strip_prefix(state, config.strip_prefix))
    hold_tensors(filled.module)
    proof.prove(sha256, shown)
    return _Built(filled.module, None, sha256, filled.reading.identity, filled.reading.notes)


def _licence(
    source: Source, name: str, config: ModelConfig, built: _Built, module: nn.Module
) -> str | None:
    """What the source states of its own weights; of others it knows nothing."""
    if config.weights is not None and built.weights_name is None:
        return None
    return source.licence(name, built.weights_name, module)


def _seed(weights: str) -> int:
    text = weights.removeprefix(_RANDOM)
    if not re.fullmatch(r"\d{1,18}", text):
        raise WeightsError(f"weights {weights!r}: expected random:SEED with a whole number")
    return int(text)


def _looks_like_a_file(weights: str) -> bool:
    return "/" in weights or Path(weights).suffix != "" or Path(weights).exists()


def _check_pin(config: ModelConfig, sha256: str) -> None:
    if config.weights_sha256 is not None and config.weights_sha256 != sha256:
        raise WeightsError(
            f"weights {config.weights or config.source!r}: sha256 is {sha256}, "
            f"weights_sha256 expects {config.weights_sha256}"
        )


def _frozen(module: nn.Module) -> nn.Module:
    lazy = [
        name
        for name, parameter in module.named_parameters()
        if isinstance(parameter, UninitializedParameter)
    ]
    if lazy:
        raise ModelError(
            f"parameter {lazy[0]!r} has no values yet: a lazy module must be run once before it "
            "is returned"
        )
    return settled(module)


def _timed_second_pass(model: LoadedModel, dry: DryPass, canvas_side: int) -> float:
    """Returns the seconds per probe of a forward pass, and proves that it repeats the first one.

    Raises:
        ModelError: the two differ.
    """
    canvas = dry_canvas(canvas_side)
    with torch.no_grad():
        start = time.perf_counter()
        again = call_model(model.module, model.preprocess, canvas)
        seconds = time.perf_counter() - start
    first = dry.returned
    if first is not None and again is not None and not _repeats(first, again):
        raise ModelError(
            "gives other values for the same input the second time: it draws random numbers, or "
            "keeps state between calls, even in eval mode"
        )
    return seconds / len(canvas)


def _repeats(first: torch.Tensor, again: torch.Tensor) -> bool:
    if first.shape != again.shape:
        return False
    if not first.numel():
        return True
    tolerance = 1e-3 * float(first.nan_to_num(0.0, 0.0, 0.0).abs().max())
    return torch.allclose(first, again, rtol=1e-3, atol=tolerance, equal_nan=True)
