"""The tree of a zoo: which models belong together, as in Figure 5 of the DEPARA paper.

``M`` models.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.cluster.hierarchy import leaves_list, linkage, optimal_leaf_ordering
from scipy.spatial.distance import squareform

from depara.answers.matrix import matrix
from depara.errors import ConfigError
from depara.results import ScanResults
from depara.texts import shown_line

_PLAIN = re.compile(r"[^\s()\[\]{}/\\,;:=*'\"`+<>_-]+")
_MOST_ORDERED = 400
"""Models up to which leaves are put next to their nearest: its time grows with the third power."""


@dataclass(frozen=True)
class ModelTree:
    """Models joined from the most alike to the least, by mean similarity (average linkage, UPGMA).

    ``models`` are the leaves; ``linkage_M4`` is SciPy's: row i joins two clusters at a distance
    into cluster ``M + i``; ``highest`` less the distance is the mean similarity of the two.
    """

    models: tuple[str, ...]
    linkage_M4: NDArray[np.float64]
    highest: float
    score: str

    @property
    def order(self) -> tuple[str, ...]:
        """The models with neighbours next to each other."""
        if len(self.models) == 1:
            return self.models
        return tuple(self.models[place] for place in leaves_list(self.linkage_M4))

    def newick(self) -> str:
        """Returns the tree in Newick format; a branch's length is half the distance joined at."""
        heights = self._heights()

        def text(node: int, above: float) -> str:
            length = f":{above - heights[node]:.6g}"
            if node < len(self.models):
                return _newick_name(self.models[node]) + length
            return f"({','.join(text(one, heights[node]) for one in self._children(node))}){length}"

        root = len(heights) - 1
        return f"{text(root, heights[root]).rpartition(':')[0]};"

    def lines(self) -> list[str]:
        """Returns the tree for a terminal, one line per model and per join, the latest join first.

        The number at a join is the mean similarity of what it joins.
        """
        root = 2 * len(self.models) - 2
        return list(self._lines(root, "", ""))

    def frame(self) -> pd.DataFrame:
        """Returns the joins as a table: ``left``, ``right``, ``similarity``, ``models``.

        A cluster is named by its join, ``#1`` the first; ``models`` counts what it then holds.
        """
        rows = [
            {
                "join": f"#{place}",
                "left": self._name(int(left)),
                "right": self._name(int(right)),
                "similarity": self.highest - distance,
                "models": int(count),
            }
            for place, (left, right, distance, count) in enumerate(self.linkage_M4, start=1)
        ]
        return pd.DataFrame(rows, columns=["join", "left", "right", "similarity", "models"])

    def _name(self, node: int) -> str:
        size = len(self.models)
        return self.models[node] if node < size else f"#{node - size + 1}"

    def _lines(self, node: int, first: str, rest: str) -> Iterator[str]:
        if node < len(self.models):
            yield f"{first}── {shown_line(self.models[node])}"
            return
        similarity = self.highest - self.linkage_M4[node - len(self.models), 2]
        upper, lower = self._children(node)
        yield f"{first}─┐ {similarity:.3f}"
        yield from self._lines(upper, f"{rest} ├", f"{rest} │")
        yield from self._lines(lower, f"{rest} └", f"{rest}  ")

    def _children(self, node: int) -> tuple[int, int]:
        left, right = self.linkage_M4[node - len(self.models), :2]
        return int(left), int(right)

    def _heights(self) -> NDArray[np.float64]:
        return np.concatenate([np.zeros(len(self.models)), self.linkage_M4[:, 2] / 2])


def model_tree(
    scan: ScanResults, score: str = "similarity", lambda_: float | None = None
) -> ModelTree:
    """Returns the tree of a scan's models; both directions of a score are averaged.

    Args:
        scan: an open scan.
        score: see `matrix`.
        lambda_: see `matrix`.

    Raises:
        ConfigError: see `matrix`; or pairs were not compared (``similarity.pairs: nearest``).
    """
    table = matrix(scan, score, lambda_)
    try:
        return tree_of(table, score)
    except ConfigError as error:
        if scan.manifest.get("pairs") != "nearest":
            raise
        raise ConfigError(
            f"{error}: the scan compares models with their nearest alone (similarity.pairs: "
            "nearest), and a tree needs all of them: scan with similarity.pairs: outputs"
        ) from error


def tree_of(table: pd.DataFrame, score: str) -> ModelTree:
    """Returns the tree of a `matrix`."""
    names = tuple(str(name) for name in table.index)
    values_MM = table.to_numpy(np.float64, copy=True)
    mean_MM = (values_MM + values_MM.T) / 2
    if len(names) < 2:
        raise ConfigError("a tree needs two models that worked: the scan has fewer")
    pairs = squareform(np.nan_to_num(mean_MM, nan=0.0), checks=False)
    np.fill_diagonal(mean_MM, 0.0)
    missing = np.argwhere(np.isnan(mean_MM))
    if len(missing):
        one, other = missing[0]
        raise ConfigError(f"{names[one]!r} and {names[other]!r} were not compared by {score}")
    highest = float(pairs.max())
    distances = highest - pairs
    joined = linkage(distances, "average")
    if len(names) <= _MOST_ORDERED:
        joined = optimal_leaf_ordering(joined, distances)
    return ModelTree(names, joined, highest, score)


def _newick_name(name: str) -> str:
    """Returns a name as Newick has it: quoted unless plain."""
    if _PLAIN.fullmatch(name):
        return name
    return "'" + shown_line(name).replace("'", "''") + "'"
