"""Detectors: where their body ends, that is the backbone and neck, and their heads begin."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import nn

_BACKBONE = "backbone"
_OF_ANCHORS = ("rpn", "roi_heads", "anchor_generator")
_ENCODER, _DECODER = "encoder", "decoder"


def body_parts(module: nn.Module) -> tuple[str, ...]:
    """Returns the names of the modules that are a detector's body; none where it is no detector.

    A module with a ``backbone`` beside proposals or anchors (``rpn``, ``roi_heads``,
    ``anchor_generator``: Faster R-CNN, Mask R-CNN, RetinaNet, FCOS, SSD) has its body there, the
    neck being part of it. One with a ``backbone``, an ``encoder`` and a ``decoder`` (DETR and those
    after it) has it in what comes before the decoder's queries.
    """
    for prefix, holder in _holders(module):
        children = dict(holder.named_children())
        if _BACKBONE not in children:
            continue
        if any(name in children for name in _OF_ANCHORS):
            return (prefix + _BACKBONE,)
        if _ENCODER in children and _DECODER in children:
            names = list(children)
            return tuple(prefix + name for name in names[: names.index(_DECODER)])
    return ()


def in_body(name: str, parts: Sequence[str]) -> bool:
    """Whether a module's name is one of a body's parts, or below it."""
    return any(name == part or name.startswith(f"{part}.") for part in parts)


def num_detection_tokens(module: nn.Module) -> int:
    """Returns how many tokens a detector puts after those of the image, as YOLOS does; else 0."""
    return int(getattr(getattr(module, "config", None), "num_detection_tokens", 0))


def _holders(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yields the module itself, and each of its children, which it may be wrapped around."""
    yield "", module
    for name, child in module.named_children():
        yield f"{name}.", child
