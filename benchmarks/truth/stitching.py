"""Token stitching: how well the tokens of a source's layer predict those of a target's output.

Every layer's features lie on an 8x8 grid of tokens: maps are averaged to it, or repeated where they
are smaller. Each channel has zero mean and unit deviation over all tokens, and of more than 64
channels the first 64 principal components are kept. A ridge regression predicts a target's token
from the 3x3 tokens of the source around it (beyond the rim are zeros), fitted on four fifths of the
probes and judged on the fifth that was left out: the score is the share of the target's variance
that is predicted, 1 at best. Stitching of Lenc & Vedaldi (CVPR 2015), by regression.

``N`` probes, ``G`` side of the grid, ``C`` channels, ``F = 9 C`` predictors, ``Y`` target channels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from examples.digits.layer_transfer import LAYERS

GRID_SIDE = 8
MAX_CHANNELS = 64
NUM_FOLDS = 5
RIDGE = 1e-2
"""In units of the variance of a predictor."""

Tokens = NDArray[np.float32]


def stitch_scores(
    networks: Mapping[str, nn.Module], inputs: Tensor, layers: Sequence[str] = LAYERS
) -> pd.DataFrame:
    """Returns ``target, source, layer, stitch`` of layers of networks against the others' codes.

    Args:
        networks: trained, in eval mode, by name.
        inputs: the probes as the networks take them.
        layers: of the sources.
    """
    wanted = tuple(dict.fromkeys((*layers, "code")))
    tokens = {name: tokens_of(network, inputs, wanted) for name, network in networks.items()}
    targets = [one["code"] for one in tokens.values()]
    found = []
    for source in networks:
        for layer in layers:
            values = stitch(tokens[source][layer], targets)
            for target, value in zip(networks, values, strict=True):
                if target != source:
                    found.append((target, source, layer, value))
    return pd.DataFrame(found, columns=["target", "source", "layer", "stitch"])


def tokens_of(network: nn.Module, inputs: Tensor, layers: Sequence[str]) -> dict[str, Tokens]:
    """Returns the tokens ``N G G C`` of layers by their names, as they are regressed."""
    found: dict[str, Tensor] = {}

    def keep(name: str) -> None:
        def hook(module: nn.Module, arguments: object, output: Tensor) -> None:
            found[name] = output

        handles.append(network.get_submodule(name).register_forward_hook(hook))

    handles: list[torch.utils.hooks.RemovableHandle] = []
    for name in layers:
        keep(name)
    with torch.no_grad():
        network(inputs)
    for handle in handles:
        handle.remove()
    return {name: _standardised(on_grid(features)) for name, features in found.items()}


def on_grid(features: Tensor) -> Tensor:
    """Returns maps ``N C H W`` or a square of tokens ``N T C`` as ``N G G C``."""
    if features.ndim == 3:
        side = round(features.shape[1] ** 0.5)
        features = features.transpose(1, 2).unflatten(2, (side, side))
    pooled = functional.adaptive_avg_pool2d(features, GRID_SIDE)
    return pooled.permute(0, 2, 3, 1)


def _standardised(grid: Tensor) -> Tokens:
    rows = grid.flatten(0, 2).double().numpy()
    rows = rows - rows.mean(0)
    rows /= np.maximum(rows.std(0), 1e-6)
    if rows.shape[1] > MAX_CHANNELS:
        _, axes = np.linalg.eigh(rows.T @ rows)
        rows = rows @ axes[:, ::-1][:, :MAX_CHANNELS]
        rows /= np.maximum(rows.std(0), 1e-6)
    return rows.reshape(*grid.shape[:3], -1).astype(np.float32)


def stitch(source: Tokens, targets: Sequence[Tokens]) -> list[float]:
    """Returns how well a source's tokens ``N G G C`` predict each target's ``N G G Y``."""
    count = len(source)
    around = neighbourhoods(source).reshape(count, GRID_SIDE**2, -1)
    answers = np.concatenate(targets, axis=3).reshape(count, GRID_SIDE**2, -1)
    folds = np.array_split(np.arange(count), NUM_FOLDS)
    grams = [_gram(around[fold], around[fold]) for fold in folds]
    products = [_gram(around[fold], answers[fold]) for fold in folds]
    errors_Y = np.zeros(answers.shape[2])
    for left_out, fold in enumerate(folds):
        gram_FF = sum(gram for place, gram in enumerate(grams) if place != left_out)
        product_FY = sum(one for place, one in enumerate(products) if place != left_out)
        seen = (count - len(fold)) * GRID_SIDE**2
        ridge = RIDGE * seen * np.eye(len(gram_FF))
        weights_FY = np.linalg.solve(gram_FF + ridge, product_FY).astype(np.float32)
        errors_Y += np.square(answers[fold] - around[fold] @ weights_FY).sum((0, 1))
    variance_Y = np.square(answers).sum((0, 1), dtype=np.float64)
    ends = np.cumsum([0, *(target.shape[3] for target in targets)]).tolist()
    return [
        float(1 - errors_Y[first:last].sum() / max(variance_Y[first:last].sum(), 1e-12))
        for first, last in pairwise(ends)
    ]


def neighbourhoods(tokens: Tokens) -> Tokens:
    """Returns the 3x3 tokens around each one, ``N G G 9C``; zeros beyond the rim."""
    side = tokens.shape[1]
    padded = np.pad(tokens, ((0, 0), (1, 1), (1, 1), (0, 0)))
    moved = [padded[:, y : y + side, x : x + side] for y in range(3) for x in range(3)]
    return np.concatenate(moved, axis=3)


def _gram(left: Tokens, right: Tokens) -> NDArray[np.float64]:
    product = left.reshape(-1, left.shape[2]).T @ right.reshape(-1, right.shape[2])
    return product.astype(np.float64)
