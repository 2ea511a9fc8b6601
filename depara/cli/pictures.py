"""The commands that draw: show, graph."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from depara.cli.options import AsCsv, AsJson, Output, ScanId
from depara.cli.output import errors_shown, print_answer, print_lines

Model = Annotated[str, typer.Argument(help="Model of the scan.")]
Layer = Annotated[str | None, typer.Option(help="Where it is cut; default: its output layer.")]
Against = Annotated[
    str | None, typer.Option(metavar="MODEL[:LAYER]", help="Another graph, drawn beside it.")
]
Place = Annotated[
    str, typer.Option("--to", "-o", help="Picture to write: .png, .svg or .pdf; local or s3://.")
]


def show(
    output: Output,
    model: Model,
    to: Place,
    layer: Layer = None,
    probe: Annotated[
        list[str] | None,
        typer.Option(help="Index, first digits of the id, or end of the path; may be repeated."),
    ] = None,
    against: Against = None,
    count: Annotated[int, typer.Option(min=1, help="How many probes, where none is named.")] = 5,
    cells: Annotated[
        int, typer.Option(min=1, help="Larger maps are shown as sums over so many cells a side.")
    ] = 32,
    scan: ScanId = None,
    csv: AsCsv = False,
    json: AsJson = False,
) -> None:
    """Draws what a model looks at: probes, the attribution over them, another model beside it.

    Example: depara show depara-out/digits parity --against class10 -o parity.png
    """
    with errors_shown():
        from depara.pictures import attribution_picture, check_place, write_picture
        from depara.results import open_scan

        check_place(to)
        picture = attribution_picture(
            open_scan(output, scan), model, layer, probe or (), against, count, cells
        )
        record = _written(write_picture(picture.figure(), to), picture.titles, picture.subtitle)
        frame = picture.frame()
        if csv or json:
            record |= {"node_similarity": picture.node_similarity}
            record |= {"probes": frame.to_dict("records")}
            print_answer(frame, csv=csv, json=json, record=record)
            return
        print_lines(*picture.titles, picture.subtitle)
        print_answer(frame.drop(columns="probe_id"), csv=False, json=False)
        print_lines(f"written: {record['picture']}")


def graph(
    output: Output,
    model: Model,
    to: Place,
    layer: Layer = None,
    against: Against = None,
    count: Annotated[int, typer.Option(min=3, help="How many probes: the first ones.")] = 40,
    maps: Annotated[
        bool, typer.Option("--maps", help="Show the attribution over each probe.")
    ] = False,
    scan: ScanId = None,
    csv: AsCsv = False,
    json: AsJson = False,
) -> None:
    """Draws the graph of a model: probes near each other where a layer finds them alike.

    Example: depara graph depara-out/digits class10 --against rotation -o class10.svg
    """
    with errors_shown():
        from depara.pictures import check_place, graph_picture, write_picture
        from depara.results import open_scan

        check_place(to)
        picture = graph_picture(open_scan(output, scan), model, layer, against, count, maps)
        record = _written(write_picture(picture.figure(), to), picture.titles, picture.subtitle)
        frame = picture.frame()
        if csv or json:
            record |= {"edge_similarity": picture.edge_similarity}
            record |= {"probes": list(picture.indices), "edges": frame.to_dict("records")}
            print_answer(frame, csv=csv, json=json, record=record)
            return
        print_lines(*picture.titles, picture.subtitle, f"written: {record['picture']}")


def _written(place: str, titles: list[str], subtitle: str) -> dict[str, Any]:
    return {"picture": place, "titles": titles, "subtitle": subtitle}
