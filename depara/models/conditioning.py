"""How well float32 resolves the attribution maps of a layer.

Shapes: ``B`` probes of a batch, ``S`` canvas side.

The L2 norm of a normalised output (LayerNorm, RMSNorm, an embedding of unit length) is nearly the
same for every input. Its gradient is then the small difference of large terms that cancel in the
backward pass, and what float32 leaves of them, about 3e-7, is noise beside it. The conditioning

    k = ||x - mu|| ||ds/dx|| / ||F||          (scalar ``l2norm``, s = ||F||)
    k = ||x - mu|| ||ds/dx|| / (||F||/sqrt D)  (scalar ``mean``, of D values)

is the relative change of the scalar for a relative change of the canvas ``x``, ``mu`` the mean
pixel. The mean of D values may itself be near 0 by right; what cancels is beside their root mean
square, which therefore takes its place. ``k`` is free of the scale of the features.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from depara.models.row_norms import row_norms
from depara.types import IMAGENET_MEAN, Note

RESOLVED = 1e-3
"""Conditioning, over the variation of the features, below which maps are marked: float32 resolves
them worse than they are stored.

Measured, float32 against float64 maps, on transformers of torch, timm and transformers with random
weights (LayerNorm, RMSNorm, F.normalize, post-norm blocks; ViT, Swin, PVT, SegFormer, SigLIP): the
noise is about ``3e-7 / k`` of a map, so that ``1 - cosine`` is about ``(3e-7 / k)^2 / 2``. A cosine
of 0.9998 at ``k`` = 8e-6, 0.98 at 1.3e-6, and no agreement at 3e-7, where ``k`` itself is only
noise. float16, in which maps are stored, keeps 3e-4 of a value: as much noise as float32 has at
1e-3. Sound layers, and normalised outputs with the unequal gains that training gives, have 0.05 to
50 and are far above it.

Where the features themselves hardly differ from probe to probe (a token that is mostly a learned
constant), ``k`` is small and nothing cancels. So ``k`` is compared with their variation, the root
of their total variance over their mean square, 0 to 1: sound layers have about as much of either.
"""

FLOAT32_NOISE = 3e-7
"""Noise of a map as a share of it, times its conditioning over the variation."""

STEEP = 1e3
"""Conditioning above which maps are marked: rounding grows as any change of the canvas does.

Measured, float32 against float64 maps of deep random networks (tanh, SiLU and instance norm, ReLU
and group norm; 5 to 60 layers): noise is 3e-6 to 1e-5 of a map times ``k``, from ``k`` = 0.3 to
2e4; an EfficientNetV2 of timm with random weights has 0.4 at 4,000. Trained networks have 0.05 to
50.
"""

STEEP_NOISE = 1e-5
"""Noise of a map as a share of it, over its conditioning; at least."""


def conditioning(
    shifted_B3SS: Tensor, gradient_B3SS: Tensor, norms_B: Tensor, num_values: int, scalar: str
) -> Tensor:
    """Returns ``k`` of each probe, float64 ``B``; NaN where the output is all zero.

    Args:
        shifted_B3SS: ``x - mu``.
        gradient_B3SS: of the scalar with respect to the canvas.
        norms_B: Euclidean norms of the layer's output.
        num_values: of the layer's output, per probe.
        scalar: ``l2norm`` or ``mean``.
    """
    steepness_B = row_norms(shifted_B3SS).double() * row_norms(gradient_B3SS).double()
    k_B = steepness_B / norms_B.double()
    k_B = torch.where(norms_B > 0, k_B, torch.nan)
    return k_B * math.sqrt(num_values) if scalar == "mean" else k_B


def is_resolved(value: float | None, variation: float) -> bool:
    """Whether float32 resolves maps of this conditioning.

    Where there is nothing to resolve they count as resolved: not measured, output zero (NaN), or
    independent of the input (0).

    Args:
        value: the conditioning.
        variation: of the features over the probes, 0 to 1.
    """
    return value is None or not 0 < value < RESOLVED * variation


def reference_shift(canvas_B3SS: Tensor) -> Tensor:
    """Returns ``x - mu``, ``mu`` the ImageNet mean pixel."""
    mean = torch.tensor(IMAGENET_MEAN, dtype=canvas_B3SS.dtype, device=canvas_B3SS.device)
    return canvas_B3SS - mean[None, :, None, None]


def conditioning_notes(layer: str, value: float | None, variation: float) -> tuple[Note, ...]:
    """Returns the note on a layer whose maps are rounding noise to a degree that tells.

    Args:
        layer: its name.
        value: the conditioning; None where it was not measured.
        variation: of the features over the probes, 0 to 1.
    """
    if value is not None and value > STEEP:
        return (_steep_note(layer, value),)
    if value is not None and not is_resolved(value, variation):
        return (_cancelled_note(layer, value, variation),)
    return ()


def _steep_note(layer: str, value: float) -> Note:
    share = float(f"{100 * min(STEEP_NOISE * value, 1.0):.1g}")
    return Note(
        "conditioning",
        f"its output changes {value:.0f} times as much as the canvas does, relatively "
        f"(conditioning; trained networks have 0.05 to 50), and so does rounding: {share:g} % of "
        "its maps and more is noise of float32, and node_similarity with them means little; check "
        "the weights (random ones, or a checkpoint of another architecture, do this), or name an "
        "earlier layer in `layers`",
        layer,
    )


def _cancelled_note(layer: str, value: float, variation: float) -> Note:
    share = float(f"{100 * min(FLOAT32_NOISE * variation / value, 1.0):.1g}")
    return Note(
        "conditioning",
        f"{_CAUSE} (conditioning {value:.0e}, sound layers have 0.05 and more): rounding noise of "
        f"float32 is about {share:g} % of its maps, and node_similarity with them means "
        "little; go by edge_similarity, or name a layer before the normalisation in `layers`",
        layer,
    )


def moved_note(layer: str, instead_of: str, value: float) -> Note:
    """Returns the note on a cut that was moved to ``layer``."""
    return Note(
        "conditioning",
        f"cut at {layer!r} instead of {instead_of!r}, of which {_CAUSE} (conditioning "
        f"{value:.0e}, sound layers have 0.05 and more) and maps are rounding noise of float32; "
        f"`layers: [{instead_of}]` takes it all the same",
        layer,
    )


_CAUSE = (
    "the norm hardly depends on the input, as where an output is normalised last (LayerNorm, "
    "RMSNorm, unit length)"
)
