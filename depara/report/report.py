"""The report of a scan: everything is read, put together, and written as one file."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pandas as pd

from depara.answers import ModelTree
from depara.answers.standings import SYMBOLS
from depara.answers.tree import tree_of
from depara.errors import ConfigError
from depara.report.choices import LABELS, baselines, choices_table, figures, warnings
from depara.report.columns import whole_column
from depara.report.dendrogram import dendrogram
from depara.report.grid import Grid
from depara.report.page import render
from depara.report.payload import payload
from depara.report.pictures import Gallery, make_gallery
from depara.report.queries import queries
from depara.report.sections import (
    changes_section,
    files,
    labels_section,
    models_table,
    phases,
    problems,
    settings,
    truth_section,
)
from depara.report.tables import Table
from depara.results import ScanResults
from depara.similarity.combine import describe_terms
from depara.store.layout import scan_folder
from depara.store.storage import Storage
from depara.texts import shown_line

REPORT_FILE = "report.html"
_CHANGES = ("new", "changed", "reused", "removed", "failed")
_SIGNS = {"new": "+", "changed": "~", "reused": "=", "removed": "−", "failed": "✕"}


@dataclass(frozen=True)
class WrittenReport:
    """Where a report lies, its bytes, those of its pictures among them, and how long it took, s."""

    location: str
    num_bytes: int
    picture_bytes: int
    seconds: float


def write_report(
    scan: ScanResults, path: str | None = None, pictures: int | None = None
) -> WrittenReport:
    """Writes the report of a finished scan, one HTML file that needs nothing else.

    Args:
        scan: an open scan.
        path: local path or URI; None is ``report.html`` beside the tables of the scan.
        pictures: of how many models attributions and graphs are shown; None: as many as fit, at
            most 40; 0 leaves them out.

    Raises:
        ConfigError: the scan has no ranking.
        StoreError: a table is missing or damaged, or the place cannot be written.
    """
    started = time.perf_counter()
    text, picture_bytes = report_html(scan, pictures, is_beside=path is None)
    data = text.encode()
    if path is None:
        storage, name = Storage(scan.output), f"{scan_folder(scan.scan_id)}/{REPORT_FILE}"
    else:
        folder, _, name = path.rpartition("/")
        storage = Storage(folder or ("/" if path.startswith("/") else "."))
        if not name:
            raise ConfigError(f"{path} is a folder: give a file name, such as {path}{REPORT_FILE}")
    storage.replace(name, data)
    seconds = time.perf_counter() - started
    return WrittenReport(storage.location(name), len(data), picture_bytes, seconds)


def report_html(
    scan: ScanResults, pictures: int | None = None, *, is_beside: bool = True
) -> tuple[str, int]:
    """Returns the report of a scan, and the bytes of the pictures in it.

    Args:
        is_beside: whether it will lie beside the tables of the scan, to which it then links.
    """
    grid = Grid(scan)
    if not len(grid.targets):
        raise ConfigError(
            f"scan {scan.scan_id} ranks no source: it has not two models that worked; add models "
            "to the scan file and run it again"
        )
    tree = _tree(grid)
    order = list(tree.order) if tree is not None else list(grid.models)
    place = {name: code for code, name in enumerate(grid.models)}
    gallery = make_gallery(scan, order, pictures)
    simple = baselines(grid)
    choices = choices_table(grid, simple)
    context = _context(grid, choices, tree, gallery, is_beside=is_beside)
    tables: Sequence[Table] = [one for one in context["tables"].values() if one is not None]
    data = payload(grid, [place[name] for name in order])
    shown = {shown_line(name): code for name, code in place.items()}
    data["models"] = list(shown) if len(shown) == len(place) else data["models"]
    data["tables"] = {one.name: one.record(shown) for one in tables if one.is_virtual}
    data["baselines"] = {
        LABELS[name]: whole_column(one[grid.targets]) for name, one in simple.items()
    }
    data["gallery"] = gallery.record(place)
    return render(context, data), gallery.num_bytes


def _tree(grid: Grid) -> ModelTree | None:
    names = list(grid.models)
    try:
        return tree_of(pd.DataFrame(grid.similarity_MM, names, names), "similarity")
    except ConfigError:
        return None


def _context(
    grid: Grid, choices: Table, tree: ModelTree | None, gallery: Gallery, *, is_beside: bool
) -> dict[str, Any]:
    scan = grid.scan
    manifest = scan.manifest
    labels, truth = labels_section(scan), truth_section(scan)
    folder = Storage(scan.output).location(scan_folder(scan.scan_id))
    return {
        "scan_id": scan.scan_id,
        "output": shown_line(scan.output),
        "folder": shown_line(folder),
        "link": "" if is_beside else None,
        "manifest": manifest,
        "finished": _date(manifest.get("finished_at")),
        "changes": [
            (name, _SIGNS[name], [shown_line(one) for one in manifest["changes"].get(name, [])])
            for name in _CHANGES
            if "changes" in manifest
        ],
        "figures": figures(grid, choices),
        "warnings": [shown_line(one) for one in warnings(grid, choices)],
        "symbols": SYMBOLS,
        "rule": describe_terms(scan.terms),
        "num_models": grid.size,
        "tree": None if tree is None else dendrogram(tree),
        "labels": labels,
        "truth": truth,
        "diff": changes_section(scan),
        "phases": phases(manifest),
        "gallery": gallery,
        "layer_rule": describe_terms(scan.layer_terms),
        "queries": queries(
            folder,
            grid.models[int(grid.targets[0])],
            scan.terms,
            scan.layer_score,
            scan.tables_in_parts,
        ),
        "tables": {
            "choices": choices,
            "models": models_table(grid),
            "labels": labels and labels.table,
            "truth": truth and truth.table,
            "failures": problems(scan, "failures"),
            "notes": problems(scan, "notes"),
            "settings": settings(manifest),
            "files": files(manifest),
        },
    }


def _date(text: str | None) -> str:
    if not text:
        return "at an unknown time"
    when = datetime.fromisoformat(text)
    return f"{when.day} {when:%B %Y, %H:%M %Z}".rstrip()
