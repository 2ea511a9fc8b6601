"""The graphs nearest to one graph, found by sketches and then compared exactly."""

from depara.nearest.answer import Nearest
from depara.nearest.search import nearest

__all__ = ["Nearest", "nearest"]
