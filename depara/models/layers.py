"""Choosing cut points: globs over module names, or found blocks and stages; each one proven."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from torch import nn

from depara.config.schema import FeatureReduction
from depara.errors import LayerError, near_names
from depara.models.blocks import find_blocks
from depara.models.detectors import body_parts, in_body
from depara.models.dry_pass import OUTPUT, DryPass
from depara.models.outputs import num_features
from depara.models.resolved_cuts import ResolvedCuts
from depara.models.stages import find_stages
from depara.types import LayerInfo

_SHOWN = 6
_AUTOMATIC = ("output", "blocks", "stages")


def proven_layers(
    dry: DryPass,
    module: nn.Module,
    layers: str | Sequence[str],
    output_layer: str | None,
    features: FeatureReduction,
    cuts: ResolvedCuts | None = None,
) -> tuple[LayerInfo, ...]:
    """Returns the cut points in firing order.

    Args:
        dry: what one forward pass of the module showed.
        module: the model.
        layers: ``output``, ``blocks``, ``stages``, or module globs (see `matching_names`).
        output_layer: must be among the result, when given.
        features: ``flatten`` or ``gap``.
        cuts: moves those of ``output``, ``blocks`` and ``stages`` before a final normalisation,
            but for ``output_layer``.

    Raises:
        LayerError: a glob matches nothing, a layer is no cut point, nothing repeats in the tree, or
            ``output_layer`` is not among the chosen layers.
    """
    names = _chosen_names(dry, module, layers)
    for name in names:
        _prove(dry, module, name)
    if cuts is not None and isinstance(layers, str) and layers in _AUTOMATIC:
        names = cuts.resolve(names, output_layer)
    ordered = sorted(names, key=dry.position)
    if output_layer is not None and output_layer not in ordered:
        raise LayerError(
            f"output_layer {output_layer!r} is not among the chosen layers: "
            f"{_hint(output_layer, ordered)}"
        )
    return tuple(
        LayerInfo(
            name=name,
            depth=depth,
            depth_fraction=(depth + 1) / len(ordered),
            num_features=num_features(dry.shape(name), features),
            shape=dry.shape(name)[1:],
            flops=dry.flops(name),
        )
        for depth, name in enumerate(ordered)
    )


def _chosen_names(dry: DryPass, module: nn.Module, layers: str | Sequence[str]) -> list[str]:
    if layers == "output":
        return [OUTPUT]
    if layers in ("blocks", "stages"):
        parts = body_parts(module)
        blocks = find_blocks(module, dry)
        blocks = [name for name in blocks if in_body(name, parts)] or blocks
        if not dry.qualified:
            raise LayerError(f"layers: {layers} finds no cut point: {_no_choice(dry)}")
        if not blocks:
            raise LayerError(
                f"layers: {layers} finds no weight layer that can be a cut point; name module "
                f"globs instead, such as {_quoted(dry.qualified)}"
            )
        return find_stages(module, dry, blocks) if layers == "stages" else blocks
    patterns = [layers] if isinstance(layers, str) else layers
    chosen: dict[str, None] = {}
    for pattern in patterns:
        matches = matching_names(pattern, dry.names)
        if not matches:
            raise LayerError(
                f"layer {pattern!r} matches no module: {_hint(pattern, dry.qualified)}"
                if dry.qualified
                else f"layer {pattern!r} matches no module; {_no_choice(dry)}"
            )
        chosen.update(dict.fromkeys(matches))
    return list(chosen)


def matching_names(pattern: str, names: Iterable[str]) -> list[str]:
    """Returns the names that a glob matches, in their order.

    A name always matches itself. Else ``*`` stands for any text without a dot, ``?`` for one
    character that is no dot, ``[ab]`` and ``[!ab]`` for one of (or none of) some, and ``**`` for
    any text with dots: ``features.*`` are the direct children of ``features``, ``features.**`` all
    modules below it, ``**.conv1`` every ``conv1`` at any depth.
    """
    known = list(names)
    if pattern in known:
        return [pattern]
    expression = _expression(pattern)
    return [name for name in known if expression.fullmatch(name)]


_GLOB_TOKEN = re.compile(
    r"(?P<any_depth>(?:(?<=^)|(?<=\.))\*\*\.)|(?P<deep>\*\*)|(?P<star>\*)|"
    r"(?P<one>\?)|\[(?P<negated>!?)(?P<set>[^\]]+)\]|(?P<text>.)"
)


def _expression(pattern: str) -> re.Pattern[str]:
    parts: list[str] = []
    for token in _GLOB_TOKEN.finditer(pattern):
        if token["any_depth"]:
            parts.append(r"(?:.*\.)?")
        elif token["deep"]:
            parts.append(".*")
        elif token["star"]:
            parts.append(r"[^.]*")
        elif token["one"]:
            parts.append(r"[^.]")
        elif token["set"]:
            negation = "^." if token["negated"] else ""
            parts.append(f"[{negation}{_escaped_set(token['set'])}]")
        else:
            parts.append(re.escape(token["text"]))
    return re.compile("".join(parts))


def _escaped_set(characters: str) -> str:
    return characters.replace("\\", r"\\").replace("^", r"\^").replace("[", r"\[")


def _prove(dry: DryPass, module: nn.Module, name: str) -> None:
    reason = dry.rejection(name)
    if reason is not None:
        parts = body_parts(module)
        body = [other for other in dry.qualified if in_body(other, parts)]
        if body and not in_body(name, parts):
            raise LayerError(
                f"layer {name!r}: {reason}; a detector is cut at its backbone or neck, by layers: "
                f"blocks or stages, or by names such as {_quoted(body[-_SHOWN:])}"
            )
        choice = _hint(name, dry.qualified) if dry.qualified else "no layer of it can be chosen"
        raise LayerError(f"layer {name!r}: {reason}; {choice}")


def _no_choice(dry: DryPass) -> str:
    return f"no layer of this model can be chosen: its output {dry.rejection(OUTPUT)}"


def _hint(name: str, candidates: Sequence[str]) -> str:
    near = near_names(name, candidates)
    return near or f"layers that can be chosen: {_quoted(candidates)}"


def _quoted(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(repr(name) for name in names[:_SHOWN]) + more
