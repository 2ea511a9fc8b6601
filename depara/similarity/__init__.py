"""All pairs of graphs: node and edge similarity as Gram tiles, their sum, and the rankings.

``A`` graphs of the source block, ``B`` graphs of the target block.
"""

from depara.similarity.combine import at_lambda, combine
from depara.similarity.edges import edge_similarity
from depara.similarity.engine.blocks import GraphBlock, TileScores
from depara.similarity.engine.footprint import Footprint
from depara.similarity.engine.plan import Tile, plan_tiles
from depara.similarity.engine.products import node_similarity
from depara.similarity.engine.score_tile import score_tile
from depara.similarity.engine.tile import edge_tile, similarity_tile
from depara.similarity.lambda_ranges import lambda_tables
from depara.similarity.ranking import RankedPairs, layer_ranking, model_ranking
from depara.similarity.scores import find_vectors

__all__ = [
    "Footprint",
    "GraphBlock",
    "RankedPairs",
    "Tile",
    "TileScores",
    "at_lambda",
    "combine",
    "edge_similarity",
    "edge_tile",
    "find_vectors",
    "lambda_tables",
    "layer_ranking",
    "model_ranking",
    "node_similarity",
    "plan_tiles",
    "score_tile",
    "similarity_tile",
]
