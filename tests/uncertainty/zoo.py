"""A small zoo: labels of models and layers, and graphs that resemble each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tests.similarity.engine.array_block import ArrayBlock, random_block


@dataclass(frozen=True)
class Label:
    """A `GraphLabel`."""

    model_id: str
    layer: str
    depth: int
    is_output: bool


def labels(num_models: int, num_layers: int) -> list[Label]:
    """Models in no alphabetical order, layers in firing order; the last one is the output."""
    names = [f"m{(7 * model + 3) % num_models}" for model in range(num_models)]
    return [
        Label(name, f"layer{num_layers - depth}", depth, depth == num_layers - 1)
        for name in names
        for depth in range(num_layers)
    ]


def tied_block(num_graphs: int, num_probes: int, seed: int = 0) -> ArrayBlock:
    """Like `random_block`, with ties of every kind: coarse, half zero, and constant edges."""
    block = random_block(num_graphs, num_probes, 30, seed)
    edges_GE = block.edges_GE
    edges_GE[0] = 0.25
    edges_GE[1] = np.round(edges_GE[1] * 4) / 4
    edges_GE[2, ::2] = 0.0
    edges_GE[2, 1] = -0.0
    block.maps_GNP[3, : num_probes // 2] = 0
    return block
