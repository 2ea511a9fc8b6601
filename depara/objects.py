"""The objects of a probe set: their boxes on the canvas, and their classes.

``O`` objects, ``N`` probes.

The canvas is the centre square of a probe, and every model resizes the whole of it. So one box,
in shares of the canvas' side, is the box at every model's input and on every layer's grid.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from depara.identity import short_hash
from depara.types import Box, Float64, Probe

MIN_VISIBLE = 0.5
"""Share of an object's area that must be on the canvas: what is cut off more is left out."""


@dataclass(frozen=True, eq=False)
class ProbeObjects:
    """The objects on the canvases of a probe set, in the order of the probes and their boxes.

    ``probe_O`` is the index of each one's probe; ``boxes_O4`` its corners ``x0, y0, x1, y1`` in
    shares of the canvas' side, 0 to 1, cut at the canvas' edges; ``labels`` its class.
    ``num_dropped`` counts those that lie outside the canvas by more than half of their area.
    """

    probe_O: NDArray[np.intp]
    boxes_O4: Float64
    labels: tuple[str, ...]
    num_dropped: int = 0

    def __post_init__(self) -> None:
        assert self.boxes_O4.shape == (len(self.probe_O), 4)
        assert len(self.labels) == len(self.probe_O)

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def key(self) -> str:
        """32 hex digits that name the boxes; other classes of the same boxes have the same key."""
        return short_hash([self.probe_O.tolist(), self.boxes_O4.tolist()])

    @classmethod
    def of(cls, probes: Sequence[Probe]) -> ProbeObjects | None:
        """Returns the objects of probes in index order; None where of no probe any are known."""
        if all(probe.boxes is None for probe in probes):
            return None
        every = [(probe, box) for probe in probes for box in probe.boxes or ()]
        placed = [(probe.index, box.label, _on_canvas(box, probe)) for probe, box in every]
        kept = [(index, label, corners) for index, label, corners in placed if corners is not None]
        return cls(
            np.array([index for index, _, _ in kept], dtype=np.intp),
            np.array([corners for _, _, corners in kept], dtype=np.float64).reshape(-1, 4),
            tuple(label for _, label, _ in kept),
            len(every) - len(kept),
        )

    def places(self, probes: Collection[int]) -> NDArray[np.intp]:
        """Returns which of the objects are of some probes."""
        return np.flatnonzero(np.isin(self.probe_O, list(probes)))


def _on_canvas(box: Box, probe: Probe) -> tuple[float, float, float, float] | None:
    """Returns a box in shares of the canvas' side; None where too little of it is on the canvas."""
    short = min(probe.width, probe.height)
    left, top = (probe.width - short) / 2, (probe.height - short) / 2
    corners = np.array([box.x0 - left, box.y0 - top, box.x1 - left, box.y1 - top]) / short
    x0, y0, x1, y1 = np.clip(corners, 0.0, 1.0).tolist()
    whole = (corners[2] - corners[0]) * (corners[3] - corners[1])
    return (x0, y0, x1, y1) if (x1 - x0) * (y1 - y0) >= MIN_VISIBLE * whole else None
