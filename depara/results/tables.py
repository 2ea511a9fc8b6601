"""Tables for the terminal."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from depara.texts import shown_line

_SHORT = {
    "node_similarity": "node",
    "edge_similarity": "edge",
    "models_reused": "reused",
    "graphs_reused": "reused",
    "pairs_reused": "reused",
}
_MARK = " ~"
_RIGHT = {"int32", "int64", "float32", "float64", "Int64", "Float64"}


def make_console() -> Console:
    """Returns a console as wide as the terminal; logs and files get 120 columns."""
    console = Console()
    return console if console.is_terminal else Console(width=120)


def frame_table(frame: pd.DataFrame, title: str | None = None) -> Table:
    """Returns a data frame as a terminal table: numbers to the right, three decimals."""
    table = Table(title=title, title_justify="left", header_style="bold")
    for name in frame.columns:
        numeric = str(frame[name].dtype) in _RIGHT
        table.add_column(
            _SHORT.get(str(name), str(name)),
            justify="right" if numeric else "left",
            overflow="fold",
        )
    for row in frame.itertuples(index=False):
        table.add_row(*(Text(_cell(value)) for value in row))
    return table


def top_sources_table(
    ranking: pd.DataFrame,
    targets: Sequence[str],
    count: int = 5,
    noisy: Collection[tuple[str, str]] = (),
) -> Table:
    """Returns the best sources of some targets with their similarity, one row per target.

    ``noisy`` are models and layers whose maps are rounding noise; they are marked by ``~``.
    """
    table = Table(header_style="bold")
    table.add_column("target", overflow="fold")
    kept = ranking[ranking["rank"] <= count]
    width = int(kept["rank"].max()) if len(kept) else 0
    for place in range(1, width + 1):
        table.add_column(f"{place}.", overflow="fold")
    for target in targets:
        rows = kept[kept["target_model"] == target].sort_values("rank")
        graphs = list(zip(rows["source_model"], rows["source_layer"], strict=True))
        names = [name + _MARK * ((name, layer) in noisy) for name, layer in graphs]
        pairs = zip(names, rows["similarity"], strict=True)
        cells = [Text(f"{name}\n{score:.3f}") for name, score in pairs]
        mark = _MARK * any((target, layer) in noisy for layer in rows["target_layer"])
        table.add_row(Text(target + mark, style="bold"), *cells)
    return table


def _cell(value: object) -> str:
    if value is None or value is pd.NA or (isinstance(value, float) and pd.isna(value)):
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else shown_line(str(value))
