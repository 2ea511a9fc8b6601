"""Node similarity less what all models of a zoo share: maps centred at the zoo's mean map.

grad*input multiplies every model's maps by the same canvas, so that unrelated models agree where
the canvas is bright. Let ``u_g`` be a graph's stacked unit maps and ``m`` their mean over the
ranked output graphs; ``node_centred`` is the cosine of ``u_s - m`` and ``u_t - m`` (ours). With
``<u_g, m>``, ``<u_g, u_g>`` and ``<m, m>`` it follows from node similarities alone.

``G`` graphs, ``A`` sources, ``B`` targets, ``n`` probes of a range, ``N`` probes in all, ``P`` map
pixels, ``R`` weightings of the probes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from depara.similarity.engine.blocks import GraphBlock
from depara.similarity.engine.panel import Panel
from depara.similarity.engine.preflight import check_maps
from depara.similarity.engine.stream import READ_GRAPHS
from depara.types import Float32, Float64, ProbeRange

_LEAST_SQUARE = 1e-5
"""Of ``u - m`` per probe: below it is what float16 leaves of a graph that is the mean itself."""


@dataclass(frozen=True)
class Centre:
    """How some graphs' maps lie to the mean map, probe by probe: float32.

    ``cosines_GN`` are ``<u_gi, m_i>``, ``squares_GN`` are ``<u_gi, u_gi>`` (1, or 0 where the map
    is all zero; of several maps in a node, the share that is not), ``mean_squares_N`` are
    ``<m_i, m_i>``: the mean of ``cosines_GN`` over the ranked output graphs.
    """

    cosines_GN: Float32
    squares_GN: Float32
    mean_squares_N: Float32

    def __post_init__(self) -> None:
        assert self.cosines_GN.shape == self.squares_GN.shape
        assert self.cosines_GN.shape[1:] == self.mean_squares_N.shape

    @classmethod
    def of_zoo(
        cls, cosines_GN: Float32, squares_GN: Float32, is_ranked_G: Sequence[bool]
    ) -> Centre:
        """Returns the centre of a zoo, whose mean map is that of its ranked graphs."""
        ranked_GN = cosines_GN[np.asarray(is_ranked_G, np.bool_)]
        return cls(cosines_GN, squares_GN, ranked_GN.mean(axis=0, dtype=np.float64).astype("f4"))

    def rows(self, places: Sequence[int]) -> Centre:
        """Returns the same of some of the graphs."""
        index = np.asarray(places, np.intp)
        return Centre(self.cosines_GN[index], self.squares_GN[index], self.mean_squares_N)

    def weighted(self, shares_RN: Float32) -> Centred:
        """Returns the means under some weightings of the probes.

        Args:
            shares_RN: each row sums to 1.
        """
        return Centred(
            self.cosines_GN @ shares_RN.T,
            self.squares_GN @ shares_RN.T,
            shares_RN @ self.mean_squares_N,
        )

    def mean(self) -> Centred:
        """Returns the means over all probes, ``R`` 1, in double precision."""
        return Centred(
            self.cosines_GN.mean(axis=1, keepdims=True, dtype=np.float64),
            self.squares_GN.mean(axis=1, keepdims=True, dtype=np.float64),
            self.mean_squares_N.mean(keepdims=True, dtype=np.float64),
        )


@dataclass(frozen=True)
class Centred:
    """`Centre` under ``R`` weightings of the probes: all that `centred_similarity` needs."""

    to_mean_GR: NDArray[np.floating]
    square_GR: NDArray[np.floating]
    mean_square_R: NDArray[np.floating]

    @cached_property
    def norms_GR(self) -> NDArray[np.floating]:
        """Returns ``|u_g - m|``, 0 where it is rounding."""
        squares_GR = self.square_GR - 2 * self.to_mean_GR + self.mean_square_R
        squares_GR[squares_GR <= _LEAST_SQUARE] = 0
        norms_GR: NDArray[np.floating] = np.sqrt(squares_GR)
        return norms_GR


def centred_similarity(
    node_AR: NDArray[np.floating], source: Centred, target: Centred, place: int | slice
) -> NDArray[np.floating]:
    """Returns ``node_centred`` of all sources with one target, ``(A, R)``, in [-1, 1].

    ``(s_V - <u_s, m> - <u_t, m> + <m, m>) / (|u_s - m| |u_t - m|)``; 0 where a graph is the mean
    itself, as that of a zoo of one model is.

    Args:
        node_AR: their node similarity with the target.
        source: of the ``A`` sources.
        target: of the targets.
        place: of the target among them; a slice of as many as sources pairs them off.
    """
    shared_AR = source.to_mean_GR + target.to_mean_GR[place] - source.mean_square_R
    norms_AR = source.norms_GR * target.norms_GR[place]
    found_AR: NDArray[np.floating] = np.zeros_like(shared_AR)
    np.divide(node_AR - shared_AR, norms_AR, out=found_AR, where=norms_AR > 0)
    np.clip(found_AR, -1.0, 1.0, out=found_AR)
    return found_AR


def centred_matrix(node_AB: NDArray[np.floating], source: Centre, target: Centre) -> Float64:
    """Returns ``node_centred`` of every pair over all probes: float64 ``(A, B)``."""
    of_source, of_target = source.mean(), target.mean()
    columns = [
        centred_similarity(node_AB[:, place, None], of_source, of_target, place)[:, 0]
        for place in range(node_AB.shape[1])
    ]
    return np.array(columns, np.float64).T


def centred_pairs(
    node_T: Float64, centre: Centre, sources: Sequence[int], targets: Sequence[int]
) -> Float64:
    """Returns ``node_centred`` of ``T`` pairs over all probes, by their places: float64."""
    mean = centre.mean()
    of_source, of_target = (
        Centred(mean.to_mean_GR[rows], mean.square_GR[rows], mean.mean_square_R)
        for rows in (np.asarray(sources, np.intp), np.asarray(targets, np.intp))
    )
    found_T1 = centred_similarity(node_T[:, None], of_source, of_target, slice(None))
    return found_T1[:, 0].astype(np.float64)


def map_sums(block: GraphBlock, probes: ProbeRange) -> Float32:
    """Returns the sum of a block's maps of some probes, float32 ``(n, P)``."""
    sums_nP = np.zeros((len(probes), block.num_pixels), np.float32)
    for maps_nP in _maps(block, probes):
        sums_nP += maps_nP
    return sums_nP


def products_with(
    block: GraphBlock, probes: ProbeRange, mean_nP: Float32
) -> tuple[Float32, Float32]:
    """Returns ``<u_gi, m_i>`` and ``<u_gi, u_gi>`` of a block's maps: float32 ``(G, n)`` each."""
    shape = (block.num_graphs, len(probes))
    cosines_Gn, squares_Gn = np.empty(shape, np.float32), np.empty(shape, np.float32)
    for graph, maps_nP in enumerate(_maps(block, probes)):
        np.einsum("np,np->n", maps_nP, mean_nP, out=cosines_Gn[graph])
        np.einsum("np,np->n", maps_nP, maps_nP, out=squares_Gn[graph])
    return cosines_Gn, squares_Gn


def _maps(block: GraphBlock, probes: ProbeRange) -> Iterator[Float32]:
    """Yields each graph's maps ``(n, P)``; the next ones overwrite them."""
    shape = (len(probes), block.num_pixels)
    panel = Panel(1, shape[0] * shape[1])
    for start in range(0, block.num_graphs, READ_GRAPHS):
        graphs = slice(start, min(start + READ_GRAPHS, block.num_graphs))
        for graph, maps_nP in enumerate(block.read_maps(probes, graphs), start):
            check_maps(maps_nP, graph, probes, block.num_pixels)
            row = np.ascontiguousarray(maps_nP).reshape(-1)
            yield panel.fill([row], 0, row.size).reshape(shape)
