"""The parts of the report below the first screen, each a table or a list of facts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from depara.answers import ScanChanges, diff, recommend_for_labels
from depara.dotted import leaves
from depara.errors import ConfigError
from depara.evaluation.record import RECORD_FILE
from depara.report.grid import Grid
from depara.report.tables import Column, Kind, Table, known
from depara.results import ScanResults
from depara.store.layout import evaluation_folder
from depara.store.storage import Storage
from depara.texts import shown_line

_KINDS: dict[str, Kind] = {"model_id": "name", "nights": "whole"}
_METRICS = ("spearman", "precision@1", "precision@3", "regret@1", "regret@3")


@dataclass(frozen=True)
class Phase:
    """A phase of the scan: seconds, and where it lies from 0 to 1."""

    name: str
    seconds: float
    start: float
    share: float


def models_table(grid: Grid) -> Table:
    """Returns every model: how good a source, how easy a target it is, and what it costs."""
    table = grid.scan.table("models")
    place = {name: code for code, name in enumerate(grid.models)}
    source_M, target_M = grid.means(0), grid.means(1)
    wins = (grid.rank_MM == 1).sum(axis=0)
    layers = grid.scan.table("layers")
    outputs = layers[layers["is_output"]].set_index("model_id")["gflop"].to_dict()
    rows = []
    for row in table.to_dict("records"):
        name = row["model_id"]
        code = place.get(name)
        rows.append(
            [
                shown_line(name),
                None if code is None else known(source_M[code]),
                None if code is None else known(target_M[code]),
                None if code is None else int(wins[code]),
                known(row["num_parameters"]),
                known(outputs.get(name)),
                _times(known(row["seconds_per_probe"]), 1e3),
                _times(known(row["bytes_per_probe"]), 1e-6),
                known(row["licence"]),
                known(row["status"]),
                known(row["seconds"]),
                _times(known(row["peak_memory_bytes"]), 1e-6),
                known(row["source"]),
            ]
        )
    columns = [
        Column("model", "model", "name"),
        Column("good_source", "good source", "number", about="mean similarity to all targets"),
        Column("easy_target", "easy target", "number", about="mean similarity of all its sources"),
        Column("times_first", "times first", "whole", about="targets whose first choice it is"),
        Column("num_parameters", "parameters", "whole"),
        Column("gflop", "GFLOP", "number", about="of a forward pass of one probe"),
        Column("ms", "ms", "number", 1, about="a forward pass of one probe where it was opened"),
        Column("mb", "MB", "number", 1, about="activations of one probe"),
        Column("licence", "licence"),
        Column("status", "status"),
        Column("seconds", "s", "number", 1, about="time spent in this scan"),
        Column("peak_mb", "peak MB", "number", 0, about="peak memory of its worker"),
        Column("source", "code from"),
    ]
    return _without_empty(Table("models", "Models", columns, rows))


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _without_empty(table: Table) -> Table:
    """Returns the table without columns of which nothing is known."""
    kept = [
        place
        for place in range(len(table.columns))
        if any(row[place] is not None for row in table.rows)
    ]
    return Table(
        table.name,
        table.caption,
        [table.columns[place] for place in kept],
        [[row[place] for place in kept] for row in table.rows],
        table.domain,
    )


@dataclass(frozen=True)
class Labels:
    """What to start from for the labelled probes, and the models by consensus."""

    sentence: str
    about: str
    table: Table


def labels_section(scan: ScanResults) -> Labels | None:
    """Returns the ranking by labels, None where there is none."""
    try:
        found = recommend_for_labels(scan)
    except ConfigError:
        return None
    facts = [
        Column("rank", "rank", "whole"),
        Column("model", "model", "name"),
        Column("cut", "cut at", "text", about="its best layer by consensus"),
        Column("standing", "standing", "sign"),
        Column("rank_interval", "rank, 5 to 95 %", "interval", 0, about="over half samples"),
        Column("p_first", "first in", "share", about="share of half samples"),
        Column("agree", "scores that agree", "whole", about=f"of {found.num_scores}"),
    ]
    columns = [*facts, *(Column(name, name, "whole", about="rank") for name in found.scores)]
    rows = []
    for row in found.models.to_dict("records"):
        interval = [known(row[name]) for name in ("rank", "rank_low", "rank_high")]
        rows.append(
            [
                known(row["rank"]),
                known(row["model_id"]),
                known(row["cut"]),
                known(row["standing"]),
                [*interval, None],
                known(row["p_first"]),
                known(row["num_agree"]),
                *(known(row[name]) for name in found.scores),
            ]
        )
    table = Table("labels", "Models by labels", columns, rows, (1.0, float(len(rows))))
    return Labels(shown_line(found.sentence), found.target, table)


@dataclass(frozen=True)
class Truth:
    """An evaluation against measured transfers: what the truth was, and the means by score."""

    about: str
    table: Table


def truth_section(scan: ScanResults) -> Truth | None:
    """Returns the scan's evaluation, None where there is none that can be read."""
    data = Storage(scan.output).read_or_none(f"{evaluation_folder(scan.scan_id)}/{RECORD_FILE}")
    if data is None:
        return None
    try:
        record = json.loads(data)
        means: Mapping[str, Any] = record["means"]
        baselines = set(record["baselines"])
        about = (
            f"{record['num_queries']} targets, {record['relevant']} relevant sources each, "
            f"truth: {record['truth']}"
        )
        names = [name for name in _METRICS if any(name in one for one in means.values())]
        rows = [
            [
                shown_line(name),
                "baseline or ceiling" if name in baselines else "score",
                *(
                    [known(values[metric][end]) for end in ("value", "low", "high")] + [None]
                    if metric in values
                    else [None] * 4
                    for metric in names
                ),
            ]
            for name, values in means.items()
        ]
    except (ValueError, KeyError, TypeError):
        return None
    columns = [
        Column("score", "score", "text"),
        Column("kind", "kind", "text"),
        *(Column(name, name, "interval", 2) for name in names),
    ]
    table = Table("truth", "Rankings against the truth", columns, rows)
    return Truth(shown_line(about), table)


def changes_section(scan: ScanResults) -> ScanChanges | None:
    """Returns what changed since the scan before, None for the first scan."""
    try:
        return diff(scan)
    except ConfigError:
        return None


def phases(manifest: Mapping[str, Any]) -> list[Phase]:
    """Returns where the scan's time went, one phase after another."""
    spent = {name: float(one) for name, one in manifest.get("phases", {}).items()}
    whole = sum(spent.values()) or 1.0
    found, start = [], 0.0
    for name, seconds in spent.items():
        found.append(Phase(name, seconds, start / whole, seconds / whole))
        start += seconds
    return found


def problems(scan: ScanResults, name: str) -> Table | None:
    """Returns the failures or the notes of a scan, None where there are none."""
    frame = scan.table(name)
    if frame.empty:
        return None
    labels = {"model_id": "model", "error_type": "error", "nights": "scans in a row"}
    kept = [
        str(column)
        for column in frame.columns
        if column not in ("probe_id",) or frame[column].notna().any()
    ]
    columns = [
        Column(column, labels.get(column, column), _KINDS.get(column, "text")) for column in kept
    ]
    rows = [[known(one) for one in row] for row in frame[kept].itertuples(index=False)]
    return _without_empty(Table(name, name, columns, rows))


def settings(manifest: Mapping[str, Any]) -> Table:
    """Returns the settings of the scan file without its models, and the versions."""
    config = {k: v for k, v in manifest.get("config", {}).items() if k != "models"}
    rows = [[shown_line(name), _text(value)] for name, value in leaves(config)]
    rows += [[f"version of {k}", _text(v)] for k, v in manifest.get("versions", {}).items()]
    rows += [[name, _text(manifest.get(name))] for name in ("git_revision", "probe_set")]
    columns = [Column("setting", "setting"), Column("value", "value")]
    return Table("settings", "Settings and versions", columns, rows)


def files(manifest: Mapping[str, Any]) -> Table:
    """Returns the Parquet files of the scan."""
    rows = [
        [_file(name, fact), known(fact.get("rows")), known(fact.get("bytes")), fact.get("sha256")]
        for name, fact in manifest.get("tables", {}).items()
    ]
    columns = [
        Column("file", "file"),
        Column("rows", "rows", "whole"),
        Column("bytes", "bytes", "whole"),
        Column("sha256", "sha256"),
    ]
    return Table("files", "Tables of the scan", columns, rows)


def _file(name: str, fact: Mapping[str, Any]) -> str:
    return f"{name}/" if "parts" in fact else f"{name}.parquet"


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_text(one) for one in value)
    return "not set" if value is None or value is pd.NA else shown_line(str(value))
