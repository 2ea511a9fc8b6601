"""The command that asks a finished scan about a model that it does not have."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from depara.cli.answers import shown_candidates
from depara.cli.options import AsCsv, AsJson, Output, ScanId, Top
from depara.cli.output import errors_shown, print_answer, print_frame, print_lines, stages_shown

if TYPE_CHECKING:
    import pandas as pd

    from depara.query import QueryAnswer

_WORDS = ("output", "stages", "blocks")

_PASSIVE = ("OMP_WAIT_POLICY", "PASSIVE")
"""Threads of torch, which is imported later, sleep while they wait for each other: on a machine
that others use as well, spinning takes several times the CPU time of the work itself."""


def query(
    output: Output,
    entry: Annotated[
        str | None,
        typer.Argument(help="YAML file with one entry below `models:`, as in a scan file."),
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="torchvision:NAME, timm:NAME, hf:..., python:module:callable")
    ] = None,
    weights: Annotated[str | None, typer.Option(help="File, URI, or name of weights.")] = None,
    layers: Annotated[
        str | None, typer.Option(help="output, stages, blocks, or globs joined by commas.")
    ] = None,
    model_id: Annotated[
        str | None, typer.Option("--id", help="Its name; default: of the weights or the source.")
    ] = None,
    show: Annotated[
        Literal["sources", "cuts", "targets", "own-cuts"],
        typer.Option(help="Which table --csv prints."),
    ] = "sources",
    fresh: Annotated[bool, typer.Option("--fresh", help="Compute anew what is kept.")] = False,
    short_list: Annotated[
        int | None,
        typer.Option(min=1, help="Compare with so many models alone, the nearest by sketches."),
    ] = None,
    scan: ScanId = None,
    top: Top = 10,
    csv: AsCsv = False,
    json: AsJson = False,
) -> None:
    """Asks a finished scan about a new model: its sources, its cuts, and where it would serve.

    Computes the new model's graphs alone, in this process, and changes nothing of the scan.

    Example: depara query depara-out/digits --source torchvision:resnet18
    """
    os.environ.setdefault(*_PASSIVE)
    from depara.scan import open_scan

    with errors_shown():
        fields = {"source": source, "weights": weights, "layers": _layers(layers), "id": model_id}
        asked = _asked(entry, fields)
        with stages_shown() as on_progress:
            found = open_scan(output, scan).query(
                asked, fresh=fresh, short_list=short_list, on_progress=on_progress
            )
        for reason in found.left_out:
            print_lines(f"left out: {reason}; run the scan again", err=True)
        if csv or json:
            print_answer(_frame(found, show), csv=csv, json=json, record=found.record())
        else:
            _print(found, top)


def _asked(entry: str | None, fields: dict[str, Any]) -> dict[str, Any] | str:
    from depara.errors import ConfigError

    given = [f"--{name}" for name, value in fields.items() if value is not None]
    if entry is None and fields["source"] is None:
        raise ConfigError("name the model: a YAML file with one entry, or --source NAME")
    if entry is not None and given:
        raise ConfigError(f"{entry!r} and {given[0]} exclude each other: write it into the file")
    if os.getcwd() not in sys.path:  # as `python -m` has it, for code of the user's own
        sys.path.insert(0, os.getcwd())
    return fields if entry is None else entry


def _layers(text: str | None) -> str | list[str] | None:
    if text is None or text in _WORDS:
        return text
    return [one.strip() for one in text.split(",") if one.strip()]


def _frame(found: QueryAnswer, name: str) -> pd.DataFrame:
    frames = {
        "sources": found.sources,
        "cuts": found.cuts,
        "targets": found.targets,
        "own-cuts": found.own_cuts,
    }
    return frames[name]()


def _print(found: QueryAnswer, top: int) -> None:
    advice = found.recommendation
    notes = found.table("notes")["message"].drop_duplicates()
    print_lines(
        f"{found.model_id}: {advice.sentence}.",
        *(f"note: {one}" for one in (*advice.warnings, *notes)),
    )
    print_frame(shown_candidates(advice).head(top), f"sources for {found.model_id}")
    print_lines("[low,high]: 5-95 % over resampled probes; GFLOP to the cut, ms, MB: one probe")
    num_sources = int(found.manifest["num_sources"])
    if num_sources < (found.short_list_of or 0):
        print_lines(
            f"of the {found.short_list_of} models of the scan, the {num_sources} nearest by "
            "sketches were compared: ranks are among these"
        )
    targets = _shown_targets(found.targets())
    print_frame(targets.head(top), f"{found.model_id} as a source for the scan's models")
    more = len(targets) - top
    print_lines(
        *([f"and {more} more targets: --csv --show targets"] if more > 0 else []),
        f"{'taken from' if found.is_reused else 'written:'} {found.location}",
    )


def _shown_targets(frame: pd.DataFrame) -> pd.DataFrame:
    """Returns what fits on a line of each target."""
    import pandas as pd

    ranks = [
        f"{one}{'' if pd.isna(low) else f' [{low},{high}]'}"
        for one, low, high in zip(frame["rank"], frame["rank_low"], frame["rank_high"], strict=True)
    ]
    shown = pd.DataFrame(
        {
            "target": frame["target_model"],
            "rank": ranks,
            "of": frame["num_sources"],
            "similarity": frame["similarity"],
            "first in": frame["p_first"].map("{:.0%}".format, na_action="ignore"),
            "cut": frame["cut"],
            "cut first in": frame["cut_p_first"].map("{:.0%}".format, na_action="ignore"),
        }
    )
    return shown.dropna(axis="columns", how="all")
