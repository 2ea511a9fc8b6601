"""The forms that a pass can have, and how far the values of two passes are apart.

Shapes: ``D`` features, ``P`` map pixels, of one probe.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from torch import Tensor

from depara.attribution.layer_pass import RETURNED


@dataclass(frozen=True)
class Form:
    """The shortcuts that a pass takes.

    ``skips_graph``: no autograd graph where only features are asked for. ``channels_last``: so lie
    images and weights. ``is_fused``: batch normalisation in eval mode is computed as what it is
    (`norms`, `conv_norms`). ``ends_early``: the forward ends, by an exception, at the last layer.
    """

    skips_graph: bool = False
    channels_last: bool = False
    is_fused: bool = False
    ends_early: bool = False


PLAIN = Form()


@dataclass
class ProbeValues:
    """The features and the maps (times their norm) of one probe, by layer.

    ``returned_C`` is what the model itself returned, where it was asked for: no form of the pass is
    given up for it.
    """

    features_D: dict[str, Tensor] = field(default_factory=dict)
    maps_P: dict[str, Tensor] = field(default_factory=dict)
    returned_C: Tensor | None = None

    def take(self, layer: str, values_D: Tensor) -> None:
        """Keeps a copy of one probe's features at a layer, or of what the model returned."""
        if layer == RETURNED:
            self.returned_C = values_D.clone()
        else:
            self.features_D[layer] = values_D.clone()


class Difference(NamedTuple):
    """How far a layer's features or map in one pass are from another's; its share of the norm."""

    layer: str
    what: str
    distance: float
    share: float

    def __str__(self) -> str:
        return f"{self.what} of layer {self.layer!r} off by {100 * self.share:.2g} %"


def differences(found: ProbeValues, expected: ProbeValues) -> Iterator[Difference]:
    for what, one, other in (
        ("features", found.features_D, expected.features_D),
        ("map", found.maps_P, expected.maps_P),
    ):
        for layer, values in one.items():
            if layer in other:
                yield Difference(layer, what, *_distance(values, other[layer]))


def _distance(found: Tensor, expected: Tensor) -> tuple[float, float]:
    """Returns ``||f - e||``, and its share of the larger of both norms, 0 where both are zero.

    Both are infinite for another number of values.
    """
    if found.shape != expected.shape:
        return float("inf"), float("inf")
    one, other = found.double(), expected.double()
    distance = float((one - other).norm())
    size = max(float(one.norm()), float(other.norm()))
    return distance, distance / size if size else 0.0


@dataclass
class ReturnProof:
    """Whether a model's own return value is the same for a probe alone as in its batch.

    What comes after the last layer is not proven with the layers: a model that is sound up to there
    is scanned whatever it returns. Where the return value differs it is not kept.
    """

    tolerance: float
    differs: bool = False
    plain_C: Tensor | None = None

    def compare(self, found: ProbeValues) -> None:
        """Compares the return value of a batch's last probe with that of the plain pass."""
        if found.returned_C is not None and self.plain_C is not None:
            self.differs |= _distance(found.returned_C, self.plain_C)[1] > self.tolerance
        self.plain_C = None
