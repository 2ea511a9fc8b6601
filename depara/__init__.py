"""DEPARA: Deep Attribution Graphs for choosing which pretrained model, and layer, to start from."""

from depara._version import __version__

__all__ = ["__version__"]
