"""What a model looks at: probes, the attribution over them, and a second model beside the first.

Legend: ``n`` probes shown, ``S`` canvas side, ``M`` map side, ``T`` side shown, px.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from depara.errors import ConfigError
from depara.pictures.choice import ranked_probes, spread_probes
from depara.pictures.files import DPI, GREY, INK, PALE, WARNING, drawing, shortened, signed
from depara.pictures.overlay import (
    colour_scale,
    diverging,
    in_cells,
    map_image,
    overlay,
    thumbnail,
)
from depara.pictures.page import (
    EDGE,
    Line,
    Page,
    characters,
    height_of,
    note_lines,
    title_lines,
)
from depara.pictures.subject import Subject, find_other, find_subject
from depara.results import ScanResults
from depara.results.graphs import read_map_cosines
from depara.store.keys import maps_per_node
from depara.store.storage import Storage
from depara.types import Float32, Probe, UInt8

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_PROBES = 40
MOST_CELLS = 32
_PANEL, _GAP, _LABEL, _NUMBER, _HEAD, _SCALE = 1.6, 0.07, 1.45, 0.55, 0.3, 0.7  # inches
_PANEL_PX = round(_PANEL * DPI)


@dataclass(frozen=True)
class AttributionPicture:
    """Some probes, one model's attribution maps of them, and perhaps another's.

    ``maps_SnMM`` are the unit-norm maps of each of the ``subjects`` (one or two), shown as sums
    over at most ``cells`` x ``cells`` cells. With two,
    ``cosines_n`` are the cosines of their maps, and ``node_similarity`` the mean cosine over all
    ``num_probes`` probes of the scan, as in its tables. ``chosen_by`` says how the probes were
    chosen, ``method`` how the maps were made.
    """

    subjects: tuple[Subject, ...]
    probes: tuple[Probe, ...]
    canvases_nSS3: UInt8
    maps_SnMM: tuple[Float32, ...]
    cells: int
    cosines_n: Float32 | None
    node_similarity: float | None
    num_probes: int
    chosen_by: str
    method: str

    @property
    def titles(self) -> list[str]:
        """The name of the graph, or of both, A and B."""
        names = [subject.title() for subject in self.subjects]
        if len(names) == 1:
            return names
        return [f"{letter}  {name}" for letter, name in zip("AB", names, strict=True)]

    @property
    def subtitle(self) -> str:
        """What is shown; with two graphs, how alike their maps are."""
        shown = f"{len(self.probes)} of {self.num_probes} probes, {self.chosen_by}"
        if self.cosines_n is None or self.node_similarity is None:
            return shown
        return (
            f"mean cosine of the maps: {signed(self.node_similarity, 3)} over all probes "
            f"(node_similarity), {signed(float(self.cosines_n.mean()), 3)} over those shown; "
            f"{shown}"
        )

    def frame(self) -> pd.DataFrame:
        """Returns the probes shown: index, probe_id, label, uri, and the cosine of the two maps."""
        names = ["index", "probe_id", "label", "uri"]
        rows = [[getattr(probe, name) for name in names] for probe in self.probes]
        frame = pd.DataFrame(rows, columns=names)
        if self.cosines_n is not None:
            frame.insert(1, "cosine", self.cosines_n)
        return frame

    def figure(self) -> Figure:
        """Returns the picture as a matplotlib figure.

        Raises:
            ConfigError: matplotlib is not installed.
        """
        with drawing():
            return _draw(self)


def attribution_picture(
    scan: ScanResults,
    model: str,
    layer: str | None = None,
    probes: Sequence[int | str] = (),
    against: str | None = None,
    count: int = 5,
    cells: int = MOST_CELLS,
) -> AttributionPicture:
    """Returns what a model looks at, for some probes, and another model beside it.

    Args:
        layer: None is the model's output layer.
        probes: which, as of `ScanResults.probe`; none: ``count`` of them. Beside another model they
            go from the probe on which both agree most to the one on which they agree least, evenly
            by rank; else they are those that the layer finds most unlike each other.
        against: another graph, ``MODEL`` or ``MODEL:LAYER``.
        cells: maps of a larger side are shown as sums over so many cells; see
            `depara.pictures.overlay.in_cells`. The cosines are of the whole maps.

    Raises:
        ConfigError: the scan has no such model, layer or probe, or the probes are too many.
        StoreError: what is stored is missing or damaged.
    """
    subjects = [find_subject(scan, model, layer)]
    if against is not None:
        subjects.append(find_other(scan, against))
    if not 1 <= (wanted := len(probes) or count) <= MOST_PROBES:
        raise ConfigError(
            f"a picture shows 1 to {MOST_PROBES} probes, got {wanted}: name fewer, or draw several"
        )
    chosen = [scan.probe(name) for name in probes]
    cosines_N = _cosines(scan, *subjects) if against is not None else None
    chosen_by = "those that were asked for"
    if not chosen:
        every = scan.probes()
        if cosines_N is None:
            places = spread_probes(scan.edges(model, subjects[0].layer), count)
            chosen_by = "those that the layer finds most unlike each other"
        else:
            places = ranked_probes(cosines_N, count)
            chosen_by = "from where both agree most to where least"
        chosen = [every[place] for place in places]
    indices = [probe.index for probe in chosen]
    return AttributionPicture(
        subjects=tuple(subjects),
        probes=tuple(chosen),
        canvases_nSS3=scan.canvases(indices),
        maps_SnMM=tuple(scan.attributions(one.model, one.layer, indices) for one in subjects),
        cells=cells,
        cosines_n=None if cosines_N is None else cosines_N[indices],
        node_similarity=None if cosines_N is None else float(cosines_N.mean(dtype=np.float64)),
        num_probes=len(scan.probes()),
        chosen_by=chosen_by,
        method=_method(scan.manifest.get("comparison", {})),
    )


def _method(comparison: Mapping[str, Any]) -> str:
    settings, num_maps = comparison.get("attribution", {}), maps_per_node(comparison)
    shown = f", the last of {num_maps} maps" if num_maps > 1 else ""
    name, scalar = settings.get("method", "attribution"), settings.get("scalar", "output")
    return f"{name} of the layer's {scalar}{shown}"


def _cosines(scan: ScanResults, one: Subject, other: Subject) -> Float32:
    keys = [scan.graph_key(subject.model, subject.layer) for subject in (one, other)]
    return read_map_cosines(Storage(scan.output), *keys)


def _draw(picture: AttributionPicture) -> Figure:
    rows, is_pair = len(picture.probes), len(picture.subjects) == 2
    inner = _LABEL + 3 * (_PANEL + _GAP) + (_NUMBER if is_pair else 0)
    heads = title_lines(picture.titles, picture.subtitle, inner)
    warnings = [warning for subject in picture.subjects for warning in subject.warning()]
    notes = note_lines(warnings, inner)
    top = EDGE + height_of(heads) + _HEAD
    foot = top + rows * (_PANEL + _GAP) + 0.1
    page = Page(2 * EDGE + inner, foot + _SCALE + height_of(notes) + EDGE)
    page.lines(EDGE, EDGE, heads)
    side = _side(picture)
    shown = [[in_cells(one, picture.cells) for one in maps] for maps in picture.maps_SnMM]
    scales = [colour_scale(*maps) for maps in shown]
    names = ["probe", "attribution over it", "alone"]
    if is_pair:
        names[1:] = [f"{name} over it, ±{one:.2g}" for name, one in zip("AB", scales, strict=True)]
    for row, top_of_row in enumerate(top + np.arange(rows) * (_PANEL + _GAP)):
        canvas = picture.canvases_nSS3[row]
        images = [thumbnail(canvas, side)]
        for maps, scale in zip(shown, scales, strict=True):
            images.append(overlay(canvas, maps[row], side, scale))
        if not is_pair:
            images.append(map_image(shown[0][row], side, scales[0]))
        for column, (image, name) in enumerate(zip(images, names, strict=True)):
            left = EDGE + _LABEL + column * (_PANEL + _GAP)
            axes = page.axes(left, top_of_row, _PANEL, _PANEL)
            axes.spines[:].set_color(PALE)
            axes.imshow(image)
            if row == 0:
                page.text(left, top - 0.07, name, size=9, color=GREY)
        _label(page, picture, row, top_of_row)
    if is_pair:
        page.text(page.width - EDGE, top - 0.07, "cosine", size=9, color=GREY, ha="right")
    _draw_scale(page, picture, scales, foot)
    page.lines(EDGE, foot + _SCALE, notes)
    return page.figure


def _label(page: Page, picture: AttributionPicture, row: int, top: float) -> None:
    """Prints what stands before the panels of a row, and its cosine behind them."""
    probe = picture.probes[row]
    room = characters(_LABEL - 0.1, 7.5)
    lines = [Line(f"probe {probe.index}", 9, INK)]
    if probe.label is not None:
        lines.append(Line(shortened(f"label {probe.label}", room), 7.5))
    lines.append(Line(shortened(probe.uri.rpartition("/")[2], room), 7.5))
    for subject, maps in zip(picture.subjects, picture.maps_SnMM, strict=True):
        if not maps[row].any():
            name = "all zero" if len(picture.subjects) == 1 else f"{subject.model}: all zero"
            lines.append(Line(shortened(name, room), 7.5, WARNING))
    page.lines(EDGE, top + (_PANEL - height_of(lines)) / 2, lines)
    if picture.cosines_n is not None:
        text = signed(float(picture.cosines_n[row]), 2)
        page.text(
            page.width - EDGE, top + _PANEL / 2, text, size=11, color=INK, ha="right", va="center"
        )


def _draw_scale(
    page: Page, picture: AttributionPicture, scales: Sequence[float], top: float
) -> None:
    """Draws the colour bar: what the colours mean, and where they end."""
    left, width = EDGE + _LABEL, 3 * (_PANEL + _GAP) - _GAP
    axes = page.axes(left, top + 0.08, width, 0.13)
    axes.imshow(
        diverging(np.linspace(-1, 1, 255, dtype=np.float32)[None]),
        aspect="auto",
        extent=(-1.0, 1.0, 0.0, 1.0),
    )
    axes.spines[:].set_color(PALE)
    names = ["", ""] if len(scales) == 1 else [" A", " B"]
    ends = [f"{scale:.2g}{name}" for scale, name in zip(scales, names, strict=False)]
    labels = [", ".join(f"{sign}{end}" for end in ends) for sign in ("−", "+")]
    axes.set_xticks([-1, 0, 1], labels=[labels[0], "0", labels[1]], fontsize=8)
    axes.tick_params(length=2, width=0.6)
    first, _, last = axes.get_xticklabels()
    first.set_horizontalalignment("left")
    last.set_horizontalalignment("right")
    cell = picture.canvases_nSS3.shape[1] / min(picture.cells, picture.maps_SnMM[0].shape[1])
    per = "pixel" if cell == 1 else f"cell of {cell:.3g} x {cell:.3g} px"
    text = f"{picture.method}, per {per}; maps of norm 1; the largest 1 % share the end colours"
    page.text(left + width / 2, top + 0.43, text, size=7.5, color=GREY, va="top", ha="center")


def _side(picture: AttributionPicture) -> int:
    """Returns the side to show at, px: the canvas', or a multiple near a panel's own pixels."""
    side: int = picture.canvases_nSS3.shape[1]
    return min(side * max(1, _PANEL_PX // side), 2 * _PANEL_PX)
