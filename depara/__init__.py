"""DEPARA: Deep Attribution Graphs for choosing which pretrained model, and layer, to start from."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from depara._version import __version__

if TYPE_CHECKING:
    from depara.results import list_scans, list_times
    from depara.scan import Scan, open_scan

__all__ = ["Scan", "__version__", "list_scans", "list_times", "open_scan"]

_ROOMS = {
    "Scan": "depara.scan",
    "open_scan": "depara.scan",
    "list_scans": "depara.results",
    "list_times": "depara.results",
}


def __getattr__(name: str) -> Any:
    """Loads the public names when they are first used, so that `import depara` stays quick."""
    if name in _ROOMS:
        return getattr(import_module(_ROOMS[name]), name)
    raise AttributeError(f"module 'depara' has no attribute {name!r}")
