"""One graph's values: unit-norm node maps, edges in ``pdist`` order, and the edges' rank vector."""

from depara.graph.edges import edge_count, edge_index, edges_from_gram
from depara.graph.nodes import normalize_maps
from depara.graph.ranks import rank_vector

__all__ = ["edge_count", "edge_index", "edges_from_gram", "normalize_maps", "rank_vector"]
