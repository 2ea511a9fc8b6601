"""DEPARA: Deep Attribution Graphs for choosing which pretrained model, and layer, to start from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from depara._version import __version__

if TYPE_CHECKING:
    from depara.results import ScanResults, list_scans, list_times, open_scan

__all__ = ["ScanResults", "__version__", "list_scans", "list_times", "open_scan"]


def __getattr__(name: str) -> Any:
    """Loads the public names when they are first used, so that `import depara` stays quick."""
    if name in __all__:
        from depara import results

        return getattr(results, name)
    raise AttributeError(f"module 'depara' has no attribute {name!r}")
