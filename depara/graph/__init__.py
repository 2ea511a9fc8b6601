"""One graph's edges: their values in ``pdist`` order, and their rank vector."""

from depara.graph.edges import edge_count, edge_index, edges_from_gram
from depara.graph.ranks import rank_vector

__all__ = ["edge_count", "edge_index", "edges_from_gram", "rank_vector"]
