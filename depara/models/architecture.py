"""One line that names an architecture and changes whenever its code would compute otherwise."""

from __future__ import annotations

import hashlib
import inspect
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from torch import nn

from depara.errors import ModelError
from depara.models.own_code import reachable_source

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_LIBRARIES = frozenset({"torch", "torchvision", "timm", "transformers"})
_SCALARS = (bool, int, float, str, type(None))
_HASH_DIGITS = 16


def architecture_line(
    source: str, kwargs: Mapping[str, Any], module: nn.Module, state_dict_key: str
) -> str:
    """Returns source, keyword arguments, a hash of the module tree, and the checkpoint's key.

    The hash covers the printed tree, names and shapes of parameters and buffers, the plain-valued
    attributes of every module (such as a number of heads, which no shape shows), and the source
    text of classes that are not of a released library, with what of the user's own code they run
    (`reachable_source`). It is the same in every process.
    """
    digest = hashlib.sha256()
    for line in _description(module):
        try:
            digest.update(line.encode())
        except UnicodeEncodeError as error:
            raise ModelError(
                f"{source}: a name or setting in its module tree is no UTF-8 text, which no table "
                f"can hold: {line[:200]!r}: rename it"
            ) from error
        digest.update(b"\n")
    parts = [source]
    if kwargs:
        parts.append(json.dumps(kwargs, sort_keys=True, default=str))
    parts.append(f"tree:{digest.hexdigest()[:_HASH_DIGITS]}")
    if state_dict_key:
        parts.append(f"key:{state_dict_key}")
    return " ".join(parts)


def _description(module: nn.Module) -> Iterator[str]:
    yield _ADDRESS.sub("", str(module))
    for name, parameter in module.named_parameters():
        yield f"{name} {tuple(parameter.shape)}"
    for name, buffer in module.named_buffers():
        yield f"{name} {tuple(buffer.shape)}"
    for name, child in module.named_modules():
        yield f"{name} {json.dumps(_plain_attributes(child), sort_keys=True)}"
    yield from _own_source(module)


def _plain_attributes(module: nn.Module) -> dict[str, object]:
    return {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_") and name != "training" and _is_plain(value)
    }


def _is_plain(value: object) -> bool:
    if isinstance(value, list | tuple):
        return all(isinstance(item, _SCALARS) for item in value)
    return isinstance(value, _SCALARS)


def own_modules(module: nn.Module) -> set[str]:
    """Returns the names of Python modules, of no released library, that the tree's code is of."""
    classes = {cls for child in module.modules() for cls in type(child).__mro__}
    own = {cls.__module__ for cls in classes if not _is_of_a_library(cls)}
    return own.union(name for name, _ in _beside_classes(module))


def _own_source(module: nn.Module) -> Iterator[str]:
    classes = {type(child) for child in module.modules()}
    for cls in sorted(classes, key=lambda cls: (cls.__module__, cls.__qualname__)):
        if _is_of_a_library(cls):
            continue
        try:
            yield inspect.getsource(cls)
        except (OSError, TypeError):
            yield f"{cls.__module__}.{cls.__qualname__}"
    for (name, inside), text in _beside_classes(module).items():
        yield f"{name}.{inside}: {text}"


def _beside_classes(module: nn.Module) -> dict[tuple[str, str], str]:
    classes = {type(child) for child in module.modules()}
    attributes = (value for child in module.modules() for value in vars(child).values())
    return reachable_source([*classes, *filter(callable, attributes)], classes)


def _is_of_a_library(cls: type) -> bool:
    return cls.__module__.partition(".")[0] in _LIBRARIES
