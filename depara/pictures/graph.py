"""The DEPARA itself: probes as thumbnails, near each other where a layer finds them alike.

Legend: ``n`` probes shown, ``S`` canvas side, ``T`` side of a thumbnail, px, ``K`` edges.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from depara.errors import ConfigError
from depara.graph import rank_vector
from depara.pictures.files import GREY, INK, drawing, signed
from depara.pictures.layout import (
    apart,
    layout_stress,
    mds_positions,
    procrustes,
    strongest_edges,
)
from depara.pictures.overlay import colour_scale, in_cells, overlay, thumbnail
from depara.pictures.page import EDGE, Line, Page, grey_lines, height_of, note_lines, title_lines
from depara.pictures.subject import Subject, find_other, find_subject
from depara.results import ScanResults
from depara.similarity import edge_similarity
from depara.types import Float32, Float64, UInt8

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap, Normalize
    from matplotlib.figure import Figure

MOST_PROBES = 200
EDGES_PER_PROBE = 2
_CELLS = 32
_FILLED = 0.52
"""The share of the panel's side that thumbnails in a row by row order would fill."""
_MOST_BYTES, _BYTES_PER_PIXEL = 1_600_000, 4.2  # PNG of noise, in base64
_PANEL, _BETWEEN, _SCALE = 6.6, 0.4, 0.62  # inches
_EDGE_COLOURS = ("#C9D6E3", "#7FA6CC", "#2F6FA8", "#08306B")


@dataclass(frozen=True)
class PlacedGraph:
    """One graph in the plane.

    ``places_n2`` are where its probes stand, ``thumbnails_nTT3`` what is seen of them. ``pairs_K2``
    are its strongest edges as places among the probes shown, ``cosines_K`` their cosines;
    ``stress`` is Kruskal's stress-1 of the scaling, before thumbnails were moved apart.
    """

    subject: Subject
    places_n2: Float64
    thumbnails_nTT3: tuple[UInt8, ...]
    pairs_K2: NDArray[np.intp]
    cosines_K: Float32
    stress: float

    def edges(self) -> set[tuple[int, int]]:
        """Returns the strongest edges as pairs, first < second."""
        return {(int(a), int(b)) for a, b in self.pairs_K2}


@dataclass(frozen=True)
class GraphPicture:
    """One graph, or two side by side, over the same probes.

    ``indices`` are the probes shown, of ``num_probes``; ``thumbnail_size`` is their side in shares
    of the panel's. With two graphs, ``edge_similarity`` is that of the scan's tables, over all
    probes, and the second graph is turned and mirrored onto the first (Procrustes).
    """

    graphs: tuple[PlacedGraph, ...]
    indices: tuple[int, ...]
    num_probes: int
    thumbnail_size: float
    edge_similarity: float | None

    @property
    def titles(self) -> list[str]:
        """The name of the graph, or of both, A and B."""
        names = [graph.subject.title() for graph in self.graphs]
        if len(names) == 1:
            return names
        return [f"{letter}  {name}" for letter, name in zip("AB", names, strict=True)]

    @property
    def num_shared(self) -> int:
        """How many of the edges drawn are drawn in every graph."""
        return len(set.intersection(*(graph.edges() for graph in self.graphs)))

    @property
    def subtitle(self) -> str:
        """How many probes are shown; with two graphs, how alike their edges are."""
        shown = f"{len(self.indices)} of {self.num_probes} probes"
        if self.edge_similarity is None:
            return shown
        return (
            f"edge_similarity {signed(self.edge_similarity, 3)} over all probes; {shown}, and "
            f"{self.num_shared} of the {len(self.graphs[0].cosines_K)} edges drawn are in both"
        )

    @property
    def legend(self) -> str:
        """How to read the picture, and how faithful it is."""
        stress = " and ".join(f"{graph.stress:.2f}" for graph in self.graphs)
        sample = " The probes are a random sample: the first by their hashes."
        if len(self.indices) == self.num_probes:
            sample = ""
        pair = "" if len(self.graphs) == 1 else "; dashed: in one graph only; B is turned onto A"
        return (
            "Near each other: alike to the layer. Distances are 1 − cosine of the features as far "
            f"as a plane has them (MDS, stress {stress}; above 0.2 is rough), and thumbnails are "
            f"moved apart where they would overlap. Lines: the {len(self.graphs[0].cosines_K)} "
            f"strongest edges{pair}.{sample}"
        )

    def frame(self) -> pd.DataFrame:
        """Returns the edges drawn, strongest first: model, layer, two probes, cosine, shared.

        ``probe_a`` and ``probe_b`` are indices; ``shared`` says whether every graph has the edge.
        """
        shared = set.intersection(*(graph.edges() for graph in self.graphs))
        columns = ["model", "layer", "probe_a", "probe_b", "cosine", "shared"]
        rows = [
            (
                graph.subject.model,
                graph.subject.layer,
                self.indices[a],
                self.indices[b],
                float(cosine),
                (a, b) in shared,
            )
            for graph in self.graphs
            for (a, b), cosine in zip(graph.pairs_K2.tolist(), graph.cosines_K, strict=True)
        ]
        return pd.DataFrame(rows, columns=columns)

    def figure(self) -> Figure:
        """Returns the picture as a matplotlib figure.

        Raises:
            ConfigError: matplotlib is not installed.
        """
        with drawing():
            return _draw(self)


def graph_picture(
    scan: ScanResults,
    model: str,
    layer: str | None = None,
    against: str | None = None,
    count: int = 40,
    maps: bool = False,
) -> GraphPicture:
    """Returns the DEPARA of a model at a layer, placed in the plane, and perhaps another beside it.

    Args:
        layer: None is the model's output layer.
        against: another graph, ``MODEL`` or ``MODEL:LAYER``.
        count: how many probes: the first ones, which are a random sample, the same for all graphs
            of a scan, as probes are in the order of their hashes.
        maps: show the attribution over each probe, the graph's nodes, instead of the probe.

    Raises:
        ConfigError: the scan has no such model or layer, or the probes are too few or too many.
        StoreError: what is stored is missing or damaged.
    """
    subjects = [find_subject(scan, model, layer)]
    if against is not None:
        subjects.append(find_other(scan, against))
    if not 3 <= count <= MOST_PROBES:
        raise ConfigError(f"a graph is drawn of 3 to {MOST_PROBES} probes, got {count}")
    num_probes = len(scan.probes())
    indices = list(range(min(count, num_probes)))
    canvases = scan.canvases(indices)
    whole = [scan.edges(one.model, one.layer) for one in subjects]
    size = _FILLED / math.sqrt(max(len(indices), 6))
    side = _thumbnail_px(len(indices) * len(subjects), canvases.shape[1])
    graphs: list[PlacedGraph] = []
    for subject, edges_NN in zip(subjects, whole, strict=True):
        edges_nn = edges_NN[np.ix_(indices, indices)]
        places = mds_positions(edges_nn)
        stress = layout_stress(places, 1 - edges_nn)
        if graphs:
            places = procrustes(places, graphs[0].places_n2)
        places = apart(_fitted(places), 1.22 * size)
        pairs, cosines = strongest_edges(edges_nn, EDGES_PER_PROBE * len(indices))
        seen = [thumbnail(canvas, side) for canvas in canvases]
        if maps:
            seen = _nodes(scan, subject, indices, canvases, side)
        graphs.append(PlacedGraph(subject, places, tuple(seen), pairs, cosines, stress))
    return GraphPicture(
        graphs=tuple(graphs),
        indices=tuple(indices),
        num_probes=num_probes,
        thumbnail_size=size,
        edge_similarity=_edge_similarity(*whole) if len(whole) == 2 else None,
    )


def _nodes(
    scan: ScanResults, subject: Subject, indices: list[int], canvases_nSS3: UInt8, side: int
) -> list[UInt8]:
    found = scan.attributions(subject.model, subject.layer, indices)
    shown = [in_cells(one, _CELLS) for one in found]
    scale = colour_scale(*shown)
    pairs = zip(canvases_nSS3, shown, strict=True)
    return [overlay(canvas, one, side, scale) for canvas, one in pairs]


def _edge_similarity(edges_NN: Float32, others_NN: Float32) -> float:
    upper = np.triu_indices(len(edges_NN), 1)
    ranks = [rank_vector(one[upper])[None] for one in (edges_NN, others_NN)]
    return float(edge_similarity(*ranks)[0, 0])


def _thumbnail_px(count: int, canvas_side: int) -> int:
    """Returns the side of thumbnails, px, so that a picture of noise stays below 2 MB as SVG."""
    side = min(128, int(math.sqrt(_MOST_BYTES / (count * _BYTES_PER_PIXEL))))
    return side - side % canvas_side if side > canvas_side else side


def _fitted(places_n2: Float64) -> Float64:
    """Returns places centred and scaled into the square from 0 to 1."""
    low, high = places_n2.min(axis=0), places_n2.max(axis=0)
    span = float((high - low).max())
    fitted: Float64 = 0.5 + (places_n2 - (low + high) / 2) / (span if span > 0 else 1.0)
    return fitted


def _draw(picture: GraphPicture) -> Figure:
    from matplotlib.colors import LinearSegmentedColormap, Normalize

    count = len(picture.graphs)
    inner = count * _PANEL + (count - 1) * _BETWEEN
    heads = title_lines(picture.titles, picture.subtitle, inner)
    warnings = [warning for graph in picture.graphs for warning in graph.subject.warning()]
    notes = [*grey_lines(picture.legend, inner), Line("", 4), *note_lines(warnings, inner)]
    boxes = [_box(graph, picture.thumbnail_size) for graph in picture.graphs]
    panel_height = _PANEL * max(height / width for _, (width, height) in boxes)
    top = EDGE + height_of(heads) + 0.25
    foot = top + panel_height + 0.2
    page = Page(2 * EDGE + inner, foot + _SCALE + height_of(notes) + EDGE)
    page.lines(EDGE, EDGE, heads)
    drawn = np.concatenate([graph.cosines_K for graph in picture.graphs])
    low, high = float(drawn.min()), float(drawn.max())
    colours = LinearSegmentedColormap.from_list("edges", _EDGE_COLOURS)
    norm = Normalize(low, max(high, low + 1e-6))
    shared = set.intersection(*(graph.edges() for graph in picture.graphs))
    for place, (graph, (middle, (width, _))) in enumerate(zip(picture.graphs, boxes, strict=True)):
        left = EDGE + place * (_PANEL + _BETWEEN)
        axes = page.axes(left, top, _PANEL, panel_height)
        _draw_graph(axes, graph, picture.thumbnail_size, shared, colours, norm)
        half_x, half_y = width / 2, width / 2 * panel_height / _PANEL
        axes.set(
            xlim=(middle[0] - half_x, middle[0] + half_x),
            ylim=(middle[1] - half_y, middle[1] + half_y),
        )
        if count == 2:
            page.text(left, top, "AB"[place], size=11, color=INK, weight="bold", va="top")
    _draw_scale(page, foot, colours, (low, high))
    page.lines(EDGE, foot + _SCALE, notes)
    return page.figure


def _box(graph: PlacedGraph, size: float) -> tuple[Float64, tuple[float, float]]:
    """Returns the middle of what is drawn, and its width and height, the height at most that."""
    low, high = graph.places_n2.min(axis=0) - size / 2, graph.places_n2.max(axis=0) + size / 2
    width, height = 1.02 * (high - low)
    return (low + high) / 2, (float(max(width, height)), float(height))


def _draw_scale(page: Page, top: float, colours: Colormap, ends: tuple[float, float]) -> None:
    axes = page.axes(EDGE, top + 0.08, 2.6, 0.12)
    shades = np.linspace(0, 1, 255)[None]
    axes.imshow(shades, cmap=colours, aspect="auto", extent=(0.0, 1.0, 0.0, 1.0))
    axes.spines[:].set_visible(False)
    axes.set_xticks([0, 1], labels=[signed(end, 2) for end in ends], fontsize=8)
    axes.tick_params(length=2, width=0.6)
    first, last = axes.get_xticklabels()
    first.set_horizontalalignment("left")
    last.set_horizontalalignment("right")
    page.text(EDGE + 2.75, top + 0.14, "cosine of an edge", size=8, color=GREY, va="center")


def _draw_graph(
    axes: Axes,
    graph: PlacedGraph,
    size: float,
    shared: set[tuple[int, int]],
    colours: Colormap,
    norm: Normalize,
) -> None:
    """Draws edges, the weakest first, and thumbnails over them."""
    from matplotlib.collections import LineCollection

    pairs, cosines = graph.pairs_K2[::-1], graph.cosines_K[::-1]
    is_shared = np.array([(int(a), int(b)) in shared for a, b in pairs], dtype=bool)
    strength = np.asarray(norm(cosines))
    for kept, style in ((~is_shared, (0, (3, 2))), (is_shared, "solid")):
        lines = LineCollection(
            list(graph.places_n2[pairs[kept]]),
            colors=colours(strength[kept]),
            linewidths=0.6 + 2.2 * strength[kept],
            linestyles=[style],
            capstyle="butt",
        )
        axes.add_collection(lines)
    half = size / 2
    for (x, y), image in zip(graph.places_n2, graph.thumbnails_nTT3, strict=True):
        axes.imshow(image, extent=(x - half, x + half, y - half, y + half), zorder=3)
    axes.set_axis_off()
