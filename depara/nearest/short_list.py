"""The models of a zoo that are nearest to a new one: what a query of a large zoo is confined to."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from depara.errors import ConfigError
from depara.nearest.making import make_sketch
from depara.nearest.search import FIRST_CUT, check_terms, open_search
from depara.query.progress import Progress
from depara.query.zoo import Zoo
from depara.store.graphs import CommittedGraph

_ESTIMATED_PER_MODEL = 20


@dataclass(frozen=True)
class ShortList:
    """Chooses as many models of a zoo; of them alone graphs are read and compared."""

    size: int

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ConfigError(f"a short list of {self.size} models: give at least 1")

    def choose(self, output: str, zoo: Zoo, graph: CommittedGraph, tell: Progress) -> Zoo:
        """Returns the zoo with those models alone whose output graphs are the best sources.

        By the estimates of their sketches, as `nearest` has them; sketches that are missing are
        made, and left beside their graphs. Twins stay with their models.

        Args:
            output: where the zoo is.
            zoo: the zoo.
            graph: the new model's output graph.
            tell: told what is done.

        Raises:
            ConfigError: the similarity, or what ranks layers, has a term that sketches do not have.
            StoreError: no graph of the zoo can be used.
            StorageUnavailableError: the storage does not answer.
        """
        check_terms(zoo)
        if zoo.config.similarity.layer_terms.get("node_centred"):
            raise ConfigError(
                f"layers of scan {zoo.scan_id} are ranked by node_centred, which needs the "
                "mean map of all models: ask without a short list"
            )
        outputs = zoo.outputs
        if len(outputs) <= self.size:
            return zoo
        search = open_search(output, zoo, list(outputs), tell)
        most = max(FIRST_CUT, _ESTIMATED_PER_MODEL * self.size)
        index = search.index(holds=len(outputs) <= most)
        cut = search.cut(index, make_sketch(graph, search.cells), most)
        best = np.argsort(-cut.estimates, kind="stable")[: self.size]
        best = best[np.isfinite(cut.estimates[best])]
        models = {outputs[place].model_id for place in cut.chosen[best].tolist()}
        return replace(zoo.of_models(models), left_out=(*zoo.left_out, *search.reasons()))
