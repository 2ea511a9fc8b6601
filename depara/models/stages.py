"""Finding a network's stages: the last block at each spatial resolution."""

from __future__ import annotations

from itertools import pairwise
from math import ceil

from torch import nn

from depara.models.dry_pass import DryPass
from depara.models.module_tree import ModuleTree, owns_matrix
from depara.models.outputs import resolution

_QUARTERS = 4
_CLASS_TOKENS = 2
"""Most tokens that stand for the whole image: a class token, and one for distillation."""
_STRIDE_2 = 4
"""The share of positions that a halving of height and width leaves is one of so many."""


def find_stages(module: nn.Module, dry: DryPass, blocks: list[str]) -> list[str]:
    """Returns the last block before each change of resolution, and the last block of all.

    The resolution is height and width, or the number of tokens; a change of channels alone is
    none. A network of one resolution, such as a ViT, gives the blocks at a quarter, half, three
    quarters and the whole of its depth; so does one whose last blocks only add a class token or
    read it out, as in CaiT, XCiT and ConViT. Where a block is only a part of its stage's output, as
    in a DenseNet, whose dense blocks join what their layers add, the stage itself is taken.

    Args:
        module: the model.
        dry: what one forward pass of it showed.
        blocks: as `find_blocks` gives them.
    """
    sizes = [resolution(dry.shape(name)) for name in blocks]
    if _is_one_resolution(sizes):
        depths = {ceil(len(blocks) * part / _QUARTERS) - 1 for part in range(1, _QUARTERS + 1)}
        return [blocks[depth] for depth in sorted(depths)]
    last = [
        name
        for name, size, following in zip(blocks, sizes, [*sizes[1:], None], strict=True)
        if size != following
    ]
    tree = ModuleTree(module)
    return [_completed(tree, dry, name) for name in last]


def _is_one_resolution(sizes: list[tuple[int, ...]]) -> bool:
    """Whether all blocks have the same positions, class tokens aside."""
    changes = [pair for pair in pairwise(sizes) if pair[0] != pair[1]]
    return all(_is_class_token(before, after) for before, after in changes)


def _is_class_token(before: tuple[int, ...], after: tuple[int, ...]) -> bool:
    """Whether a change of the number of tokens is a class token that joins, or that alone is left.

    What is left alone is less than any pooling of the tokens by two would leave.
    """
    if len(before) != 1 or len(after) != 1:
        return False
    joins = 0 < after[0] - before[0] <= _CLASS_TOKENS
    is_left = after[0] <= _CLASS_TOKENS and after[0] * _STRIDE_2 < before[0]
    return joins or is_left


def _completed(tree: ModuleTree, dry: DryPass, name: str) -> str:
    """Returns the module around a block that joins its output with others, else the block."""
    around = name.rpartition(".")[0]
    if not around or not dry.qualifies(around):
        return name
    shape, whole = dry.shape(name), dry.shape(around)
    if resolution(shape) != resolution(whole) or shape == whole:
        return name
    between = dry.firings[dry.position(name) + 1 : dry.position(around)]
    later = (tree.modules.get(firing.name) for firing in between)
    return name if any(module and owns_matrix(module) for module in later) else around
