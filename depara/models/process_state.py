"""What code of others may change in the process that runs it, put back once it has run."""

from __future__ import annotations

import builtins
import gc
import locale
import logging
import multiprocessing
import os
import random
import signal
import socket
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import torch
from torch.nn.modules import module as torch_module

_Setting = tuple[Callable[[], Any], Callable[[Any], object]]
"""How a setting is read, and how it is written."""


def _attribute(owner: Any, name: str) -> _Setting:
    return (lambda: getattr(owner, name)), (lambda value: setattr(owner, name, value))


def _autocast(device: str) -> dict[str, _Setting]:
    return {
        f"autocast {device}": (
            lambda: torch.is_autocast_enabled(device),
            lambda value: torch.set_autocast_enabled(device, value),
        ),
        f"autocast {device} dtype": (
            lambda: torch.get_autocast_dtype(device),
            lambda value: torch.set_autocast_dtype(device, value),
        ),
    }


def _set_default_device(device: torch.device) -> None:
    torch.set_default_device(None if device.type == "cpu" else device)


def _set_environment(variables: Mapping[str, str]) -> None:
    for name in set(os.environ) - set(variables):
        del os.environ[name]
    for name, value in variables.items():
        if os.environ.get(name) != value:
            os.environ[name] = value


def _signal_handlers() -> dict[int, Any]:
    return {number: signal.getsignal(number) for number in signal.valid_signals()}


def _set_signal_handlers(handlers: Mapping[int, Any]) -> None:
    if threading.current_thread() is not threading.main_thread():
        return  # nor could others have changed them there
    for number, handler in handlers.items():
        if handler is not None and signal.getsignal(number) is not handler:
            signal.signal(number, handler)


def _global_hooks() -> dict[str, dict[Any, Any]]:
    """The hooks that torch calls for every module of the process."""
    found = {name: value for name, value in vars(torch_module).items() if "_global_" in name}
    return {name: dict(value) for name, value in found.items() if isinstance(value, dict)}


def _set_global_hooks(hooks: Mapping[str, dict[Any, Any]]) -> None:
    for name, entries in hooks.items():
        table = getattr(torch_module, name)
        table.clear()
        table.update(entries)


def _set_import_path(entries: list[str]) -> None:
    """Puts the folders back in order; added ones stay, last: lazy imports may still need them."""
    added = [entry for entry in sys.path if entry not in entries]
    first = [entry for entry in added if entry == os.getcwd()]  # as ``python:`` sources ask for
    sys.path[:] = [*first, *entries, *(entry for entry in added if entry not in first)]


_SETTINGS: dict[str, _Setting] = {
    "default dtype": (torch.get_default_dtype, torch.set_default_dtype),
    "default device": (torch.get_default_device, _set_default_device),
    "gradients": (torch.is_grad_enabled, torch._C._set_grad_enabled),
    "determinism": (torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode),
    "anomaly detection": (torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
    "threads": (torch.get_num_threads, torch.set_num_threads),
    "matmul precision": (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    "fast attention": (
        torch.backends.mha.get_fastpath_enabled,
        torch.backends.mha.set_fastpath_enabled,
    ),
    **{
        f"cudnn {name}": _attribute(torch.backends.cudnn, name)
        for name in ("enabled", "benchmark", "deterministic", "allow_tf32")
    },
    "mkldnn": _attribute(torch.backends.mkldnn, "enabled"),
    **_autocast("cpu"),
    **_autocast("cuda"),
    "autocast cache": (torch.is_autocast_cache_enabled, torch.set_autocast_cache_enabled),
    "module hooks": (_global_hooks, _set_global_hooks),
    "sharing of tensors": (
        torch.multiprocessing.get_sharing_strategy,
        torch.multiprocessing.set_sharing_strategy,
    ),
    "start of processes": (
        lambda: multiprocessing.get_start_method(allow_none=True),
        lambda value: multiprocessing.set_start_method(value, force=True),
    ),
    "numpy errors": (np.geterr, lambda value: np.seterr(**value)),
    "environment": (lambda: dict(os.environ), _set_environment),
    "working folder": (os.getcwd, os.chdir),
    "arguments": _attribute(sys, "argv"),
    "import path": (lambda: list(sys.path), _set_import_path),
    "recursion limit": (sys.getrecursionlimit, sys.setrecursionlimit),
    "output": _attribute(sys, "stdout"),
    "error output": _attribute(sys, "stderr"),
    "print": _attribute(builtins, "print"),
    "exit hook": _attribute(sys, "excepthook"),
    "thread exit hook": _attribute(threading, "excepthook"),
    "signal handlers": (_signal_handlers, _set_signal_handlers),
    "socket timeout": (socket.getdefaulttimeout, socket.setdefaulttimeout),
    "temporary folder": _attribute(tempfile, "tempdir"),
    "garbage collector": (
        gc.isenabled,
        lambda value: gc.enable() if value else gc.disable(),
    ),
    "locale": (
        lambda: locale.setlocale(locale.LC_ALL),
        lambda v: locale.setlocale(locale.LC_ALL, v),
    ),
    "log level": (lambda: logging.root.level, logging.root.setLevel),
    "log limit": (lambda: logging.root.manager.disable, logging.disable),
    "log handlers": (
        lambda: list(logging.root.handlers),
        lambda value: logging.root.handlers.__setitem__(slice(None), value),
    ),
}
"""What is compared, and written where it differs."""

_GENERATORS: tuple[_Setting, ...] = (
    (random.getstate, random.setstate),
    (np.random.get_state, np.random.set_state),
    (torch.get_rng_state, torch.set_rng_state),
)


@contextmanager
def process_kept() -> Iterator[None]:
    """Runs code of others without command line arguments, and leaves the process as it was.

    Put back are torch's defaults (dtype, device, gradients, autocast, threads, determinism, global
    hooks), the three random generators, environment, working folder, ``sys.argv`` and ``sys.path``
    (what was added stays, last), warnings, logging, signal handlers and the like. What cannot be
    seen, such as functions of a library that were replaced, stays changed.
    """
    before = {name: _read(read) for name, (read, _) in _SETTINGS.items()}
    states = [read() for read, _ in _GENERATORS]
    try:
        with warnings.catch_warnings():
            sys.argv = sys.argv[:1]
            yield
    finally:
        for name, (read, write) in _SETTINGS.items():
            if before[name] is not _UNREADABLE and _read(read) != before[name]:
                with suppress(OSError, RuntimeError, ValueError):  # a folder that is gone, and such
                    write(before[name])
        for state, (_, write) in zip(states, _GENERATORS, strict=True):
            write(state)


_UNREADABLE = object()


def _read(read: Callable[[], Any]) -> Any:
    """Returns a setting; torch refuses some of its flags where newer ones contradict them."""
    try:
        return read()
    except (OSError, RuntimeError):
        return _UNREADABLE


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Runs code with all three random generators in a known state, and gives them back untouched.

    Args:
        seed: 0 or more.
    """
    states = [read() for read, _ in _GENERATORS]
    try:
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002, what code of others draws from
        yield
    finally:
        for state, (_, write) in zip(states, _GENERATORS, strict=True):
            write(state)
