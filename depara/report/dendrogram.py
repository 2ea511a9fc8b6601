"""The tree of a zoo as lines in the plane, few enough to be read.

Legend: ``M`` models, ``L`` leaves drawn.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from depara.answers import ModelTree

MOST_LEAVES = 80
_WIDTH, _ROW = 560.0, 22.0


@dataclass(frozen=True)
class Leaf:
    """A leaf as drawn: one model, or a cluster of several whose first is named."""

    name: str
    members: tuple[str, ...]
    y: float
    x: float


@dataclass(frozen=True)
class Dendrogram:
    """A tree as drawn: ``path`` in SVG's syntax, leaves to the right, ``ticks`` of its scale.

    x is the mean similarity of what is joined there, the least at the left.
    """

    path: str
    leaves: tuple[Leaf, ...]
    ticks: tuple[tuple[float, str], ...]
    width: float
    height: float
    num_models: int


def dendrogram(tree: ModelTree, most_leaves: int = MOST_LEAVES) -> Dendrogram:
    """Returns the tree in the plane; above ``most_leaves`` its lowest joins are one leaf each."""
    count = len(tree.models)
    joins = tree.linkage_M4
    hidden = max(count - most_leaves, 0)
    members: list[tuple[int, ...]] = [(place,) for place in range(count)]
    for left, right, _, _ in joins:
        members.append(members[int(left)] + members[int(right)])
    # A node is drawn whole when its join is among the first ``hidden``: nothing below is shown.
    order = {name: place for place, name in enumerate(tree.order)}
    below = set(joins[:hidden, :2].astype(int).ravel().tolist())
    shown = [node for node in range(count + hidden) if node not in below]
    shown.sort(key=lambda node: min(order[tree.models[one]] for one in members[node]))
    farthest = float(joins[:, 2].max()) or 1.0
    least = float(joins[:, 2].min()) if len(joins) else 0.0
    span = max(farthest - min(least, 0.0), 1e-9)

    def x_of(distance: float) -> float:
        return round(_WIDTH * (1 - distance / span), 1)

    y: dict[int, float] = {}
    x: dict[int, float] = {}
    for row, node in enumerate(shown):
        y[node] = _ROW * (row + 0.5)
        x[node] = x_of(float(joins[node - count, 2])) if node >= count else _WIDTH
    parts = []
    for place in range(hidden, len(joins)):
        left, right = int(joins[place, 0]), int(joins[place, 1])
        here = x_of(float(joins[place, 2]))
        parts.append(f"M{x[left]:g} {y[left]:g}H{here:g}V{y[right]:g}H{x[right]:g}")
        node = count + place
        y[node], x[node] = round((y[left] + y[right]) / 2, 1), here
    root = len(joins) + count - 1
    parts.append(f"M{x[root]:g} {y[root]:g}h-12")
    leaves = [
        Leaf(
            tree.models[members[node][0]],
            tuple(tree.models[one] for one in members[node]),
            y[node],
            x[node],
        )
        for node in shown
    ]
    ticks = [
        (x_of(tree.highest - value), f"{value:.3g}")
        for value in _round_values(tree.highest - span, tree.highest)
    ]
    return Dendrogram("".join(parts), tuple(leaves), tuple(ticks), _WIDTH, _ROW * len(shown), count)


def _round_values(low: float, high: float) -> list[float]:
    span = high - low
    if not span > 0:
        return []
    step = 10 ** np.floor(np.log10(span / 3))
    step *= next(factor for factor in (1, 2, 5, 10) if span / (step * factor) <= 5)
    first = np.ceil(low / step)
    return [float(step * k) for k in np.arange(first, np.floor(high / step) + 1)]
