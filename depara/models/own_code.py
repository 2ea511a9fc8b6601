"""The user's own code that a module runs beside its class bodies: bases, functions, constants."""

from __future__ import annotations

import ast
import functools
import inspect
import sys
from collections.abc import Collection, Iterator
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

_INSTALLED = ("site-packages", "dist-packages")
_VERSIONED = frozenset({"depara", *sys.stdlib_module_names})
"""Packages whose code a version stands for."""


def reachable_source(start: Collection[Any], known: Collection[type]) -> dict[tuple[str, str], str]:
    """Returns the source texts that classes and functions depend on, by module and name, sorted.

    These are base classes, functions, other classes and top-level constants of the user's own
    modules, however far they name one another. Code of installed packages and of Python is told by
    versions, and is left out.

    Args:
        start: classes, functions, and whatever else, which is passed over.
        known: classes whose source is told elsewhere.
    """
    found: dict[tuple[str, str], str] = {}
    seen: set[int] = set()
    todo: list[Any] = list(start)
    while todo:
        one = _unwrapped(todo.pop())
        if (
            id(one) in seen
            or not isinstance(one, type | FunctionType)
            or not _is_own(one.__module__)
        ):
            continue
        seen.add(id(one))
        if isinstance(one, type):
            todo += one.__mro__[1:]
            functions = [f for value in vars(one).values() for f in _functions(value)]
        else:
            functions = [one]
        if one not in known:
            found[one.__module__, one.__qualname__] = _source(one)
        for function in functions:
            for place, value, constant in _named(function):
                if constant is None:
                    todo.append(value)
                else:
                    found[place] = constant
    return dict(sorted(found.items()))


def _is_own(module: str | None) -> bool:
    file = getattr(sys.modules.get(module or ""), "__file__", None)
    if file is None or (module or "").partition(".")[0] in _VERSIONED:
        return False
    return not any(part in _INSTALLED for part in Path(file).parts)


def _unwrapped(value: Any) -> Any:
    while isinstance(value, functools.partial):
        value = value.func
    is_function = isinstance(value, FunctionType | functools._lru_cache_wrapper)
    return inspect.unwrap(value) if is_function else value


def _functions(value: Any) -> Iterator[FunctionType]:
    """Yields the plain functions of a class attribute: of methods, and all sides of properties."""
    if isinstance(value, property):
        inner = [value.fget, value.fset, value.fdel]
    else:
        inner = [getattr(value, "__func__", value)]
    for function in inner:
        plain = _unwrapped(function)
        if isinstance(plain, FunctionType):
            yield plain


def _source(one: type | FunctionType) -> str:
    try:
        return inspect.getsource(one)
    except (OSError, TypeError):
        return "unknown"


def _named(function: FunctionType) -> Iterator[tuple[tuple[str, str], Any, str | None]]:
    """Yields what a function names of own modules: place, value, and the text of a constant."""
    names = _names(function.__code__)
    spaces = [(function.__module__, function.__globals__)]
    spaces += [
        (value.__name__, vars(value))
        for name in names
        if isinstance(value := function.__globals__.get(name), ModuleType)
        and _is_own(value.__name__)
    ]
    for module, space in spaces:
        for name in sorted(names & space.keys()):
            value = space[name]
            if isinstance(value, type | FunctionType | functools.partial) or callable(value):
                yield (module, name), value, None
            elif not isinstance(value, ModuleType) and _is_own(module):
                text = _assigned(module).get(name)
                if text is not None:
                    yield (module, name), value, text


def _names(code: CodeType) -> set[str]:
    inner = (constant for constant in code.co_consts if isinstance(constant, CodeType))
    return set(code.co_names).union(*map(_names, inner))


def _assigned(module: str) -> dict[str, str]:
    """Returns the source of the top-level assignments of a module, by name."""
    file = getattr(sys.modules.get(module), "__file__", None)
    try:
        return _assignments(Path(file or "").read_text())
    except (OSError, SyntaxError, ValueError):
        return {}


@functools.lru_cache(maxsize=64)
def _assignments(source: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for statement in ast.parse(source).body:
        targets: list[ast.expr] = []
        if isinstance(statement, ast.Assign):
            targets = statement.targets
        elif isinstance(statement, ast.AnnAssign | ast.AugAssign):
            targets = [statement.target]
        for target in targets:
            for name in ast.walk(target):
                if isinstance(name, ast.Name):
                    found[name.id] = found.get(name.id, "") + ast.unparse(statement) + "\n"
    return found
