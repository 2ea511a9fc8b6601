"""Global torch settings, changed only inside a context manager that puts them back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn


@contextmanager
def arithmetic(precision: str) -> Iterator[None]:
    """Fixes how float32 products are computed, and undoes it.

    ``fp32`` turns TensorFloat-32 off for matrix products and for cuDNN, which allows it by default
    (https://pytorch.org/docs/stable/notes/cuda.html#tensorfloat-32-tf32-on-ampere-and-later-devices);
    ``tf32`` turns it on. On the CPU products are always float32. cuDNN chooses deterministic
    algorithms without timing them, so that a run can be repeated to the bit. Attention takes
    its plain path: the fused one for inference skips the hooks of the modules that it fuses.
    """
    matmul = torch.get_float32_matmul_precision()
    cudnn_flags = {name: _read(torch.backends.cudnn, name) for name in _CUDNN_FLAGS}
    precisions = [(backend, backend.fp32_precision) for backend in _fp32_backends()]
    has_fast_attention = torch.backends.mha.get_fastpath_enabled()
    try:
        torch.backends.mha.set_fastpath_enabled(False)
        torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
        torch.backends.cudnn.allow_tf32 = precision == "tf32"
        torch.backends.cudnn.deterministic = True
        torch.backends.cudnn.benchmark = False
        for backend in _onednn_backends():
            backend.fp32_precision = "ieee"
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(has_fast_attention)
        torch.set_float32_matmul_precision(matmul)
        for name, value in cudnn_flags.items():
            if value is not None:
                setattr(torch.backends.cudnn, name, value)
        for backend, value in precisions:
            backend.fp32_precision = value


_CUDNN_FLAGS = ("allow_tf32", "deterministic", "benchmark")


def _read(backend: Any, name: str) -> Any:
    """Returns a flag; None where torch refuses it because newer settings contradict each other."""
    try:
        return getattr(backend, name)
    except RuntimeError:
        return None


def _onednn_backends() -> list[Any]:
    """The CPU's per-operation precision settings; torch has them from 2.9 on."""
    backend = torch.backends.mkldnn
    found = [getattr(backend, name, None) for name in ("matmul", "conv", "rnn")]
    return [one for one in found if hasattr(one, "fp32_precision")]


def _fp32_backends() -> list[Any]:
    cudnn = torch.backends.cudnn
    found = [torch.backends.cuda.matmul, getattr(cudnn, "conv", None), getattr(cudnn, "rnn", None)]
    return [one for one in found if hasattr(one, "fp32_precision")] + _onednn_backends()


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Puts a module into eval mode and gives every submodule its own mode back."""
    modes = [(child, child.training) for child in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for child, training in modes:
            child.training = training
