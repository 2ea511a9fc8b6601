"""The curves of an evaluation as a picture: P@K, R@K and precision over recall, as in the paper.

Needs matplotlib, the extra ``plot``; it is imported when a picture is drawn, not before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

import pandas as pd

from depara.errors import ConfigError, near_names
from depara.evaluation.baselines import BASELINES, NOISE_CEILING
from depara.evaluation.evaluation import Evaluation
from depara.store.storage import Storage

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PICTURE_FILES = ("evaluation.svg", "evaluation.png")
MAIN_SCORE = "similarity"
"""The score that is drawn boldly, with its interval; the first one where there is none so named."""

_DPI = 200
# Okabe and Ito's colours, which differ for every kind of colour vision; black and grey are kept for
# the baselines, yellow is too pale for a line. The last two are Paul Tol's indigo and wine.
_COLOURS = (
    "#D55E00",
    "#0072B2",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#E69F00",
    "#332288",
    "#882255",
)
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")
_RC: dict[Any, Any] = {
    "font.size": 10.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "figure.constrained_layout.w_pad": 0.1,
    "figure.constrained_layout.h_pad": 0.08,
    "figure.constrained_layout.wspace": 0.03,
    "axes.edgecolor": "#444444",
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "svg.hashsalt": "depara",  # the same evaluation gives the same file
}


@dataclass(frozen=True)
class _Line:
    """How one ranking is drawn."""

    label: str
    colour: str
    style: str | tuple[int, tuple[float, ...]]
    marker: str
    width: float
    order: int
    with_interval: bool = False


_BASELINE_LINES = {
    "random": _Line("random", "#777777", ":", "", 1.8, 1),
    "popularity": _Line("popularity", "#777777", "--", "", 1.5, 1),
    "depth": _Line("depth", "#777777", "-.", "", 1.5, 1),
    "parameters": _Line("parameters", "#AAAAAA", (0, (6, 1)), "", 1.5, 1),
    "gflop": _Line("gflop", "#AAAAAA", (0, (2, 1)), "", 1.5, 1),
    "ceiling_ranks": _Line("ceiling: symmetrised truth (ranks)", "black", "-", "", 1.5, 2),
    "ceiling_values": _Line("ceiling: symmetrised truth (values)", "black", "-", "", 1.5, 2),
}


def plot_evaluation(
    evaluation: Evaluation, folder: str | Storage, *, scores: Sequence[str] | None = None
) -> list[str]:
    """Writes ``evaluation.svg`` and ``evaluation.png``, replacing older ones; returns where.

    Args:
        evaluation: what to draw.
        folder: local folder, URI or storage to write to.
        scores: which scores to draw, in order; None draws all of them. The baselines are always
            drawn; of two ceilings the one with the higher mean Spearman.

    Raises:
        ConfigError: matplotlib is not installed, or the evaluation has no such score.
        StoreError: the folder cannot be written.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise ConfigError(
            'drawing needs matplotlib, which is not installed: pip install "depara[plot]"'
        ) from error
    storage = Storage(folder) if isinstance(folder, str) else folder
    with matplotlib.rc_context(_RC):
        figure = draw_evaluation(evaluation, scores=scores)
        for name in PICTURE_FILES:
            data = BytesIO()
            metadata = {"Date": None} if name.endswith("svg") else {}
            figure.savefig(data, format=name[-3:], dpi=_DPI, metadata=metadata)
            storage.replace(name, data.getvalue())
    return [storage.location(name) for name in PICTURE_FILES]


def draw_evaluation(evaluation: Evaluation, *, scores: Sequence[str] | None = None) -> Figure:
    """Returns the three panels as a matplotlib figure, in the style that is set at the time.

    Raises:
        ConfigError: the evaluation has no such score.
    """
    from matplotlib.figure import Figure

    lines = _lines(evaluation, scores)
    curves = {name: evaluation.curve(name) for name in lines}
    figure = Figure(figsize=(12.6, 4.9), layout="constrained")
    figure.suptitle(_title(evaluation), x=0.008, ha="left", fontsize=12)
    panels = figure.subplots(1, 3)
    for axes, (x, y) in zip(
        panels, (("k", "precision"), ("k", "recall"), ("recall", "precision")), strict=True
    ):
        _draw_perfect(axes, evaluation, x, y)
        for name, line in lines.items():
            _draw_line(axes, curves[name], line, x, y)
        _label(axes, evaluation, x, y)
    handles, labels = panels[0].get_legend_handles_labels()
    handles, labels = [*handles[1:], handles[0]], [*labels[1:], labels[0]]  # perfect ranking last
    figure.legend(handles, labels, loc="outside lower center", ncols=min(4, len(labels)))
    return figure


def _lines(evaluation: Evaluation, scores: Sequence[str] | None) -> dict[str, _Line]:
    """Returns how each ranking is drawn, the scores first."""
    chosen = list(evaluation.scores if scores is None else scores)
    for name in chosen:
        if name not in evaluation.scores:
            hint = near_names(name, evaluation.scores) or f"it has {', '.join(evaluation.scores)}"
            raise ConfigError(f"the evaluation has no score {name!r}; {hint}")
    main = MAIN_SCORE if MAIN_SCORE in chosen else next(iter(chosen), None)
    chosen.sort(key=lambda name: name != main)
    lines = {}
    for place, name in enumerate(chosen):
        is_main = name == main
        lines[name] = _Line(
            label=f"{name} (band: 5-95 % bootstrap)" if is_main else name,
            colour=_COLOURS[place % len(_COLOURS)],
            style="-",
            marker=_MARKERS[place % len(_MARKERS)],
            width=2.6 if is_main else 1.4,
            order=4 if is_main else 3,
            with_interval=is_main,
        )
    return lines | {name: _BASELINE_LINES[name] for name in _drawn_baselines(evaluation)}


def _drawn_baselines(evaluation: Evaluation) -> list[str]:
    drawn = [name for name in evaluation.baselines if name != NOISE_CEILING]  # it has no curve
    ceilings = [name for name in drawn if BASELINES[name].is_ceiling]
    floors = [name for name in drawn if name not in ceilings]
    if not ceilings:
        return floors
    return [str(evaluation.means("spearman").loc[ceilings, "value"].idxmax()), *floors]


def _draw_line(axes: Axes, curve: pd.DataFrame, line: _Line, x: str, y: str) -> None:
    axes.plot(
        curve[x],
        curve[y],
        color=line.colour,
        linestyle=line.style,
        linewidth=line.width,
        marker=line.marker,
        markersize=6.5 if line.with_interval else 5.0,
        markeredgecolor="white",
        markeredgewidth=0.6,
        markevery=max(1, len(curve) // 20),
        label=line.label,
        zorder=line.order,
    )
    if line.with_interval and x == "k" and curve[f"{y}_low"].notna().all():
        low, high = curve[f"{y}_low"], curve[f"{y}_high"]
        axes.fill_between(curve[x], low, high, color=line.colour, alpha=0.15, linewidth=0)


def _draw_perfect(axes: Axes, evaluation: Evaluation, x: str, y: str) -> None:
    """Draws the ranking by the truth itself, as the edge of what is possible."""
    cutoffs = list(range(1, evaluation.num_candidates[1] + 1))
    relevant = evaluation.relevant
    curve: dict[str, Sequence[float]] = {
        "k": cutoffs,
        "precision": [min(k, relevant) / k for k in cutoffs],
        "recall": [min(k, relevant) / relevant for k in cutoffs],
    }
    axes.plot(curve[x], curve[y], color="#D6D6D6", linewidth=5, label="perfect ranking", zorder=0)


def _label(axes: Axes, evaluation: Evaluation, x: str, y: str) -> None:
    from matplotlib.ticker import PercentFormatter

    axes.set_title({"k": f"{y.title()}@K", "recall": "Precision over recall"}[x], fontsize=11)
    axes.set_ylabel(f"{y}, mean over {_averaged(evaluation)}")
    axes.set_ylim(0, 1.03)
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    if x == "k":
        axes.set_xlabel(f"K, the first K {_ranked(evaluation)} of a ranking")
        most = evaluation.num_candidates[1]
        axes.set_xticks(range(1, most + 1, -(-most // 11)))
        axes.set_xlim(0.5, most + 0.5)
    else:
        axes.set_xlabel(f"recall, mean over {_averaged(evaluation)}")
        axes.xaxis.set_major_formatter(PercentFormatter(1))
        axes.set_xlim(0, 1.03)


def _title(evaluation: Evaluation) -> str:
    fewest, most = evaluation.num_candidates
    counted = str(most) if fewest == most else f"{fewest}-{most}"
    return (
        f"Rankings against measured transfers: {evaluation.num_queries} {_averaged(evaluation)}, "
        f"{counted} {_ranked(evaluation)} each, the best {evaluation.relevant} are relevant"
    )


def _averaged(evaluation: Evaluation) -> str:
    return "target-source pairs" if evaluation.kind == "layers" else "targets"


def _ranked(evaluation: Evaluation) -> str:
    return "layers" if evaluation.kind == "layers" else "sources"
