"""A module tree read by structure: weight layers, sequences, containers, families of siblings."""

from __future__ import annotations

import re
from collections.abc import Iterator

from torch import Tensor, nn

_NUMBERED = re.compile(r"(.*?)\d+[A-Za-z]?")


class ModuleTree:
    """Names, children and numbers of weight layers of all modules; the root's name is empty.

    A weight layer is a module that multiplies by a matrix or kernel: it owns a parameter of two or
    more dimensions (a ``weight``, or one of more than one row and column), and none of its children
    does. So a position embedding or a layer scale that a block owns is none.
    """

    def __init__(self, root: nn.Module) -> None:
        self.modules = dict(root.named_modules())
        self._weights: dict[str, int] = {}
        self._count("")

    def _count(self, name: str) -> int:
        below = sum(self._count(child) for child in self.children(name))
        own = below or int(owns_matrix(self.modules[name]))
        self._weights[name] = own
        return own

    def children(self, name: str) -> list[str]:
        """Names of the direct children; of a module that is registered twice, the first one."""
        prefix = f"{name}." if name else ""
        named = (prefix + child for child, _ in self.modules[name].named_children())
        return [child for child in named if child in self.modules]

    def num_weights(self, name: str) -> int:
        """Number of weight layers in the module and below it."""
        return self._weights[name]

    def is_composite(self, name: str) -> bool:
        """Whether the module holds two or more weight layers."""
        return self._weights[name] >= 2

    def is_sequence(self, name: str) -> bool:
        """Whether the module is a Sequential, ModuleList or ModuleDict, or of such a class."""
        return isinstance(self.modules[name], nn.Sequential | nn.ModuleList | nn.ModuleDict)

    def is_stage(self, name: str) -> bool:
        """Whether the module holds a sequence whose parametric members are all composite.

        Directly, or through further sequences: such as a ConvNeXt stage, a Swin stage, a dense
        block or a transformer encoder; but no MBConv, whose sequence holds single convolutions.
        Or its composite children are one numbered family of one class, as in timm's RegNet stages.
        """
        return self._is_family(name) or any(
            self._is_sequence_of_composites(child) or self.is_stage(child)
            for child in self.children(name)
            if self.is_sequence(child)
        )

    def _is_sequence_of_composites(self, name: str) -> bool:
        parametric = [
            child for child in self.children(name) if _has_parameters(self.modules[child])
        ]
        return bool(parametric) and all(self.is_composite(child) for child in parametric)

    def _is_family(self, name: str) -> bool:
        composites = {child for child in self.children(name) if self.is_composite(child)}
        classes = {type(self.modules[child]) for child in composites}
        ordered = any(self.is_sequence(child) for child in composites)
        return len(classes) == 1 and not ordered and composites == self.family_members(name)

    def family_members(self, name: str) -> set[str]:
        """Children that share a numbered name, such as ``block1``, ``block2`` or ``mixed_5b``."""
        families: dict[str, list[str]] = {}
        for child in self.children(name):
            match = _NUMBERED.fullmatch(child.rpartition(".")[2])
            if match and self.is_composite(child):
                families.setdefault(match[1], []).append(child)
        return {child for members in families.values() if len(members) >= 2 for child in members}

    def ancestors(self, name: str) -> Iterator[str]:
        """Names of the modules that hold this one, nearest first, without the root."""
        while "." in name:
            name = name.rpartition(".")[0]
            yield name


def _has_parameters(module: nn.Module) -> bool:
    return next(module.parameters(), None) is not None


def owns_matrix(module: nn.Module) -> bool:
    """Whether the module itself owns a parameter that it can multiply by."""
    return any(_is_matrix(name, value) for name, value in module.named_parameters(recurse=False))


def _is_matrix(name: str, value: Tensor) -> bool:
    if value.ndim < 2:
        return False
    return "weight" in name or sum(size > 1 for size in value.shape) >= 2
