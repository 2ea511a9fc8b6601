"""What a model keeps between two calls, put back to what it was before the first one.

A pass that ends at its last layer leaves a model's own bookkeeping half done, and a whole one may
count, cache or average. Every pass therefore starts from the state in which the model was opened:
attributes of its modules, what lies in their lists, dicts and sets, and values that were written
into buffers and other tensors. State elsewhere (globals, closures) is out of reach here; the
proof in `pass_proof` finds it by its effect.
"""

from __future__ import annotations

import sys
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from operator import is_
from types import MethodType, SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

_MAPPINGS = (dict, OrderedDict, defaultdict)
_COLLECTIONS = (list, deque, set)
_CONTAINERS = (*_MAPPINGS, *_COLLECTIONS)
_FOREIGN = frozenset(sys.stdlib_module_names) | {"torch", "numpy", "depara"}
"""Packages whose objects are left alone: locks, loggers and streams are nobody's state."""


class ModelState:
    """The state of a module as it is now; `restore` puts it back.

    Args:
        module: the module; all that it holds is followed.
        original: gives the tensor that a parameter or buffer stands for, with the values that it
            is to keep, or None: then a copy is made.
    """

    def __init__(
        self, module: nn.Module, original: Callable[[Tensor], Tensor | None] = lambda _: None
    ) -> None:
        self._mappings: list[_Mapping] = []
        self._collections: list[_Collection] = []
        self._tensors: list[_Values] = []
        self._empty: list[Any] = []
        self._follow([module], original)

    def restore(self) -> None:
        """Puts back what has changed since."""
        if any(self._empty):  # most of what a module has: one look at all of them
            for container in self._empty:
                container.clear()
        for mapping in self._mappings:
            mapping.restore()
        for collection in self._collections:
            collection.restore()
        for tensor in self._tensors:
            tensor.restore()

    def _follow(
        self, values: Iterable[object], original: Callable[[Tensor], Tensor | None]
    ) -> None:
        waiting = list(values)
        followed: dict[int, object] = {}
        while waiting:
            value = waiting.pop()
            if id(value) in followed:
                continue
            followed[id(value)] = value
            if isinstance(value, Tensor):
                self._keep_tensor(value, original(value))
            else:
                waiting += self._keep(value)

    def _keep(self, value: Any) -> list[object]:
        """Takes note of one value; returns what it holds."""
        kind = type(value)
        if kind in _CONTAINERS and not value:
            self._empty.append(value)
            return []
        if kind in _MAPPINGS:
            self._mappings.append(_Mapping(value, tuple(value), tuple(value.values())))
            return list(value.values())
        if kind in _COLLECTIONS:
            self._collections.append(_Collection(value, tuple(value)))
            return list(value)
        if kind in (tuple, frozenset):
            return list(value)
        return [value.__dict__] if _has_state(kind) else []

    def _keep_tensor(self, tensor: Tensor, original: Tensor | None) -> None:
        if isinstance(tensor, nn.Parameter) or tensor.is_inference():
            return  # frozen, or torch does not count the writes into it
        values = tensor.detach().clone() if original is None else original
        self._tensors.append(_Values(tensor, tensor._version, values))


def _has_state(kind: type[Any]) -> bool:
    """Whether the attributes of such objects may be what a model keeps."""
    if issubclass(kind, (nn.Module, SimpleNamespace)):
        return True
    if kind.__module__.partition(".")[0] in _FOREIGN or issubclass(kind, type):
        return False
    return kind.__dictoffset__ != 0


@dataclass
class _Mapping:
    """A dict, or the attributes of an object, and what was in it."""

    mapping: dict[Any, Any]
    keys: tuple[Any, ...]
    values: tuple[Any, ...]

    def restore(self) -> None:
        mapping = self.mapping
        if _same(mapping, self.keys) and _same(mapping.values(), self.values):
            return
        mapping.clear()
        mapping.update(zip(self.keys, self.values, strict=True))


@dataclass
class _Collection:
    """A list, deque or set, and what was in it."""

    collection: Any
    values: tuple[Any, ...]

    def restore(self) -> None:
        if not _same(self.collection, self.values):
            self.collection.clear()
            put = self.collection.update if type(self.collection) is set else self.collection.extend
            put(self.values)


@dataclass
class _Values:
    """A tensor, the number of writes into it so far, and the values that it had."""

    tensor: Tensor
    version: int
    values: Tensor

    def restore(self) -> None:
        if self.tensor._version != self.version:
            with torch.no_grad():
                self.tensor.copy_(self.values)
            self.version = self.tensor._version


def _same(found: Any, kept: tuple[Any, ...]) -> bool:
    """Whether a collection holds the very objects that it held before, in their order.

    A bound method is made anew each time that it is taken.
    """
    if len(found) != len(kept):
        return False
    return all(map(is_, found, kept)) or all(
        one is other or (type(one) is MethodType and one == other)
        for one, other in zip(found, kept, strict=True)
    )
