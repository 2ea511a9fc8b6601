"""The graphs nearest to one graph, found by sketches and then compared exactly."""

from depara.nearest.answer import Nearest
from depara.nearest.search import nearest
from depara.nearest.short_list import ShortList

__all__ = ["Nearest", "ShortList", "nearest"]
