"""The `depara` command: reads finished scans and looks after them. Needs neither torch nor Ray."""

from __future__ import annotations

from typing import Annotated

import typer

from depara._version import __version__
from depara.cli.answers import data, diff, matrix, recommend, tree
from depara.cli.domains import distance, relatedness
from depara.cli.ensemble import ensemble, heads
from depara.cli.evaluation import evaluate
from depara.cli.learning import learn
from depara.cli.nearest import nearest
from depara.cli.pictures import graph, show
from depara.cli.query import query
from depara.cli.reading import layers, models, scans, table
from depara.cli.report import report
from depara.cli.top import top
from depara.cli.upkeep import gc, verify
from depara.texts import make_streams_total

__all__ = ["app"]

_COMMANDS = (
    recommend,
    query,
    nearest,
    data,
    ensemble,
    heads,
    distance,
    relatedness,
    models,
    layers,
    matrix,
    tree,
    diff,
    show,
    graph,
    report,
    table,
    scans,
    top,
    evaluate,
    learn,
    verify,
    gc,
)

app = typer.Typer(
    name="depara",
    help="Reads DEPARA scans: which pretrained model, cut at which layer, should a task start "
    "from? Scans are made by `python -m jobs.scan scan.yaml`.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback(invoke_without_command=True)
def main(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Reads DEPARA scans, and looks after them."""
    make_streams_total()
    if version:
        typer.echo(f"depara {__version__}")
        raise typer.Exit


for _command in _COMMANDS:
    app.command()(_command)
