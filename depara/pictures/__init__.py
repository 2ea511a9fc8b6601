"""Pictures of single attributions and graphs: what a model looks at, what it finds alike."""

from depara.pictures.attributions import AttributionPicture, attribution_picture
from depara.pictures.files import check_place, write_picture
from depara.pictures.graph import GraphPicture, graph_picture

__all__ = [
    "AttributionPicture",
    "GraphPicture",
    "attribution_picture",
    "check_place",
    "graph_picture",
    "write_picture",
]
