"""Plain chains such as VGG, AlexNet, LeNet or an MLP: one unit per weight layer."""

from __future__ import annotations

from torch import nn
from torch.nn.modules import pooling

from depara.models.dry_pass import DryPass
from depara.models.module_tree import ModuleTree

_POOLS = (
    pooling._MaxPoolNd,
    pooling._AvgPoolNd,
    pooling._LPPoolNd,
    pooling._AdaptiveAvgPoolNd,
    pooling._AdaptiveMaxPoolNd,
)
_INERT = (nn.Identity, nn.modules.dropout._DropoutNd)


def chain_units(tree: ModuleTree, dry: DryPass) -> list[str]:
    """Returns the cut points of a plain chain in firing order.

    A unit is a weight layer with the norm and activation after it; it is cut after the last module
    that keeps the shape and comes before the next weight layer or pooling. With two or more
    convolutional units these are the result, else the linear ones without the final classifier.
    """
    convolutions: list[str] = []
    linears: list[str] = []
    for weight_layer, cut in _units(tree, dry):
        kernel = max(value.ndim for value in tree.modules[weight_layer].parameters())
        (convolutions if kernel >= 3 else linears).append(cut)
    if len(convolutions) >= 2:
        return convolutions
    return linears[:-1] or linears or convolutions


def _units(tree: ModuleTree, dry: DryPass) -> list[tuple[str, str]]:
    """Returns (weight layer, cut point) for each weight layer that has a cut point, in order."""
    units: list[tuple[str, str]] = []
    weight_layer: str | None = None
    for firing in dry.firings:
        name = firing.name
        if name not in dry.leaves or isinstance(_module(tree, name), _INERT):
            continue
        if tree.num_weights(_tree_name(tree, name)):
            weight_layer = None
            if dry.qualifies(name):
                units.append((name, name))
                weight_layer = name
        elif weight_layer is not None:
            keeps_shape = firing.shape == dry.shape(weight_layer)
            if isinstance(_module(tree, name), _POOLS) or not keeps_shape:
                weight_layer = None
            elif dry.qualifies(name):
                units[-1] = (weight_layer, name)
    return units


def _tree_name(tree: ModuleTree, name: str) -> str:
    return name if name in tree.modules else ""


def _module(tree: ModuleTree, name: str) -> nn.Module:
    module: nn.Module = tree.modules[_tree_name(tree, name)]
    return module
