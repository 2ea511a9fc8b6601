"""Finding a network's blocks: the repeated units of its module tree, by structure, not by name.

1. Sequences and stages (modules that hold a sequence of composites) are opened, the root too.
2. What is met so is a candidate when it is composite: two or more weight layers.
3. A candidate is a unit when it lives in a sequence, its class repeats among the candidates, or it
   shares a numbered name with a sibling. A single one (a wrapper, encoder or head) is opened too.
4. Only modules that fire once and depend on the input are kept; where a unit cannot be a cut point
   the nearest module around it that can is taken (such as a block that folds patches into the
   batch).
5. With fewer than two blocks the network is a plain chain: see `chain`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from torch import nn

from depara.models.chain import chain_units
from depara.models.dry_pass import DryPass
from depara.models.module_tree import ModuleTree


@dataclass(frozen=True)
class _Candidate:
    """A composite met while opening; ``is_unit``: it lives in a sequence or a numbered family."""

    name: str
    is_unit: bool


def find_blocks(module: nn.Module, dry: DryPass) -> list[str]:
    """Returns the names of a model's blocks in firing order; empty when it has no weight layer.

    Args:
        module: the model.
        dry: what one forward pass of it showed.
    """
    tree = ModuleTree(module)
    blocks = _qualified_units(tree, dry, "")
    while len(blocks) == 1:
        inner = _qualified_units(tree, dry, blocks[0])
        if not inner or inner == blocks:
            break
        blocks = inner
    if len(blocks) < 2:
        units = chain_units(tree, dry)
        blocks = units if len(units) > len(blocks) else blocks
    return sorted(blocks, key=dry.position)


def _qualified_units(tree: ModuleTree, dry: DryPass, start: str) -> list[str]:
    units = _units(tree, start)
    chosen = [name for name in units if dry.qualifies(name)]
    for name in units:
        if not dry.qualifies(name):
            around = _nearest_around(tree, dry, name, chosen, start)
            if around is not None:
                chosen.append(around)
    return chosen


def _nearest_around(
    tree: ModuleTree, dry: DryPass, name: str, chosen: Iterable[str], start: str
) -> str | None:
    """Returns the nearest module around ``name`` that can be a cut point and overlaps no other."""
    for around in tree.ancestors(name):
        if around == start or any(_holds(around, other) for other in chosen):
            return None
        if dry.qualifies(around):
            return around
    return None


def _holds(outer: str, inner: str) -> bool:
    return outer == inner or inner.startswith(f"{outer}.")


def _units(tree: ModuleTree, start: str) -> list[str]:
    """Returns the units below ``start``, single candidates opened until only units are left."""
    candidates, small = _opened(tree, start)
    while True:
        classes = Counter(
            type(tree.modules[item.name]) for item in candidates if _classed(tree, item)
        )
        single = [
            item
            for item in candidates
            if not item.is_unit
            and not (_classed(tree, item) and classes[type(tree.modules[item.name])] >= 2)
        ]
        if not single:
            break
        candidates = [item for item in candidates if item not in single]
        for item in single:
            more, more_small = _opened(tree, item.name)
            candidates += more
            small += more_small
    unit_classes = {type(tree.modules[item.name]) for item in candidates if _classed(tree, item)}
    alike = [name for name in small if type(tree.modules[name]) in unit_classes]
    whole = [item.name for item in candidates if not any(_holds(item.name, name) for name in alike)]
    return whole + alike


def _classed(tree: ModuleTree, item: _Candidate) -> bool:
    """Whether the candidate's class says what it is: a plain Sequential may be anything."""
    return type(tree.modules[item.name]) is not nn.Sequential


def _opened(tree: ModuleTree, name: str) -> tuple[list[_Candidate], list[str]]:
    """Returns the candidates met by opening a module, and the single-weight modules beside them."""
    candidates: list[_Candidate] = []
    small: list[str] = []
    family = tree.family_members(name)
    for child in tree.children(name):
        is_unit = tree.is_sequence(name) or child in family
        if not tree.is_composite(child):
            small += [child] if tree.num_weights(child) else []
            continue
        if tree.is_sequence(child) or tree.is_stage(child):
            inner, inner_small = _opened(tree, child)
            candidates += inner or [_Candidate(child, is_unit)]
            small += inner_small
        else:
            candidates.append(_Candidate(child, is_unit))
    return candidates, small
