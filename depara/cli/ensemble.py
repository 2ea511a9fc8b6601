"""The commands about several classifiers: which together, and how far apart they are."""

from __future__ import annotations

from typing import Annotated

import typer

from depara.cli.options import AsCsv, AsJson, Output, ScanId
from depara.cli.output import errors_shown, print_answer, print_frame, print_lines

_SHOWN = 6


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
            help="For labelled probes: label_share (features), e_leep or ms_leep (return values)."
        ),
    ] = "label_share",
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
            found = opened.ensemble_for_labels(size, score)
        else:
            found = opened.ensemble(target, size)
        if csv or json:
            print_answer(found.frame(), csv=csv, json=json, record=found.record())
            return
        print_lines(f"{target or 'the labelled probes'}: {found.sentence}.")
        shown = found.frame().round({"value": 4, "gain": 4, "alone": 4})
        print_frame(shown, f"members by what they add to {found.score}")
        if found.left_out:
            names = sorted(found.left_out)
            more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
            why = found.left_out[names[0]]
            print_lines(f"no candidates ({why}): {', '.join(names[:_SHOWN])}{more}")
