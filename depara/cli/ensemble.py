"""The commands about several classifiers: which together, and how far apart they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from depara.cli.domains import open_places
from depara.cli.options import AsCsv, AsJson, Output, ScanId
from depara.cli.output import (
    errors_shown,
    left_out_lines,
    print_answer,
    print_frame,
    print_lines,
)
from depara.errors import ConfigError

if TYPE_CHECKING:
    from depara.results import ScanResults


def heads(
    output: Output,
    scan: ScanId = None,
    csv: AsCsv = False,
    json: AsJson = False,
) -> None:
    """Prints how far apart the predictions of classifiers are: Fisher-Rao distance, 0 to pi.

    Example: depara heads depara-out/imagenet --csv > heads.csv
    """
    from depara.scan import open_scan

    with errors_shown():
        table = open_scan(output, scan).head_distances()
        print_answer(
            table.rename_axis("model").reset_index(),
            title="logit_fisher_rao: mean over the probes; classes are taken to be the same",
            csv=csv,
            json=json,
            record=table.to_dict("index"),
        )


def ensemble(
    output: Output,
    target: Annotated[
        str | None,
        typer.Argument(help="Model that stands for the target task; none: the labelled probes."),
    ] = None,
    size: Annotated[int, typer.Option(min=1, help="Most members of the set.")] = 3,
    score: Annotated[
        str,
        typer.Option(
            help="For labelled probes: label_share (features), e_leep, ms_leep or osborn (return "
            "values)."
        ),
    ] = "label_share",
    source: Annotated[
        list[str] | None,
        typer.Option(
            help="MODEL=OUTPUT, repeated, for osborn: a scan with store_features of samples of "
            "what the model was trained with."
        ),
    ] = None,
    scan: ScanId = None,
    csv: AsCsv = False,
    json: AsJson = False,
) -> None:
    """Says which models to combine, each with what it adds to those before it.

    Example: depara ensemble depara-out/digits parity --size 3
    """
    from depara.scan import open_scan

    with errors_shown():
        opened = open_scan(output, scan)
        if target is None:
            found = opened.ensemble_for_labels(size, score, _sources(source or []))
        elif source:
            raise ConfigError("--source is for labelled probes: leave the target out")
        else:
            found = opened.ensemble(target, size)
        if csv or json:
            print_answer(found.frame(), csv=csv, json=json, record=found.record())
            return
        print_lines(f"{target or 'the labelled probes'}: {found.sentence}.")
        shown = found.frame().round({"value": 4, "gain": 4, "alone": 4})
        print_frame(shown, f"members by what they add to {found.score}")
        print_lines(*left_out_lines("no candidates", found.left_out))


def _sources(pairs: list[str]) -> dict[str, ScanResults]:
    """Returns the scans of MODEL=OUTPUT by model."""
    found: dict[str, ScanResults] = {}
    for pair in pairs:
        model, mark, place = pair.partition("=")
        if not mark or not model or not place:
            raise ConfigError(f"--source {pair}: write MODEL=OUTPUT")
        if model in found:
            raise ConfigError(f"--source names model {model!r} twice: give one output of samples")
        found[model] = open_places([place])[place]
    return found
