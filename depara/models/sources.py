"""The registry of model sources, by the word before the colon."""

from __future__ import annotations

from depara.errors import ModelError, near_names
from depara.models.hf_source import HuggingFaceSource
from depara.models.python_source import PythonSource
from depara.models.source import Source
from depara.models.timm_source import TimmSource
from depara.models.torchvision_source import TorchvisionSource

SOURCES: dict[str, Source] = {
    "torchvision": TorchvisionSource(),
    "timm": TimmSource(),
    "hf": HuggingFaceSource(),
    "python": PythonSource(),
}


def find_source(source: str) -> tuple[Source, str]:
    """Returns the source and the model's name in it, of ``torchvision:NAME`` and the like.

    Raises:
        ModelError: no such source, or no name.
    """
    kind, _, name = source.partition(":")
    if kind in SOURCES and name:
        return SOURCES[kind], name
    expected = "torchvision:NAME, timm:NAME, hf:NAME_OR_FOLDER or python:package.module:callable"
    hint = near_names(kind, SOURCES)
    raise ModelError(
        f"{source!r} names no model: expected {expected}" + (f"; {hint}" if hint else "")
    )
