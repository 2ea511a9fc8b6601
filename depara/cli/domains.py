"""The commands that compare probe sets: how far apart, and what one tells of another's labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from depara.cli.options import AsCsv, AsJson
from depara.cli.output import errors_shown, left_out_lines, print_answer, print_lines
from depara.errors import ConfigError

if TYPE_CHECKING:
    from depara.results import ScanResults

_PLACE = "Output of a scan with store_features, of the scan ID by OUTPUT#ID."
Model = Annotated[
    str | None, typer.Option("--model", help="Under this model alone; default: all they share.")
]


def distance(
    outputs: Annotated[list[str], typer.Argument(help=f"Two or more. {_PLACE}")],
    model: Model = None,
    matrix: Annotated[
        str | None,
        typer.Option(help="All sets against all by emd, frechet or pge, under one model."),
    ] = None,
    csv: AsCsv = False,
    json: AsJson = False,
) -> None:
    """Says how far apart probe sets are, in the features of each model that their scans share.

    Two samples of one distribution are apart too: emd_chance and frechet_chance say how far.

    Example: depara distance depara-out/ours depara-out/imagenet
    """
    from depara.domains import compare_sets

    with errors_shown():
        found = compare_sets(open_places(outputs), model)
        if matrix is not None:
            table = found.matrix(matrix, model)
            shown, record = table.rename_axis("set").reset_index(), table.to_dict("index")
            print_answer(shown, f"{matrix} of probe sets", csv=csv, json=json, record=record)
            return
        title = "distances of probe sets, both on one scale: 0 is the same set"
        print_answer(found.frame, title, csv=csv, json=json, record=found.record())
        print_lines(*left_out_lines("not compared", found.left_out), err=csv or json)


def relatedness(
    source: Annotated[str, typer.Argument(help=f"Of the source's labelled probes. {_PLACE}")],
    target: Annotated[str, typer.Argument(help="Of the target's labelled probes, alike.")],
    model: Model = None,
    csv: AsCsv = False,
    json: AsJson = False,
) -> None:
    """Bounds the loss of a linear head for a target's labels by that of one for a source's, nats.

    The bound is source_loss + label_entropy + transport; transferred_loss is what the source's own
    head, its classes read as the target's, loses on the target's probes.

    Example: depara relatedness depara-out/imagenet depara-out/ours
    """
    from depara.domains import relate_sets

    with errors_shown():
        found = relate_sets(open_places([source, target]), model)
        frame = found.frame if csv or json else found.frame.drop(columns="matched")
        title = f"task-relatedness of {source} for {target}, nats, least bound first"
        print_answer(frame, title, csv=csv, json=json, record=found.record())
        print_lines(*left_out_lines("not compared", found.left_out), err=csv or json)


def open_places(names: list[str]) -> dict[str, ScanResults]:
    """Returns the scans that outputs, or OUTPUT#ID, name, by these names.

    Raises:
        ConfigError: a name stands twice.
        StoreError: there is no such scan.
    """
    from depara.results import open_scan

    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(
            f"{', '.join(twice)} is named twice: name each probe set once, of two scans in one "
            "output the ids as well (OUTPUT#ID; `depara scans OUTPUT` lists them)"
        )
    found = {}
    for name in names:
        output, mark, scan_id = name.rpartition("#")
        found[name] = open_scan(output, scan_id) if mark else open_scan(name)
    return found
