"""What the commands print: tables, progress, and errors as one message."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer

from depara.errors import DeparaError
from depara.texts import shown


def print_frame(frame: object, title: str, csv: bool) -> None:
    """Prints a data frame as a table, or as CSV."""
    import pandas as pd

    from depara.results.tables import frame_table, make_console

    assert isinstance(frame, pd.DataFrame)
    if csv:
        typer.echo(frame.to_csv(index=False), nl=False)
    else:
        make_console().print(frame_table(frame, title))


@contextmanager
def errors_shown() -> Iterator[None]:
    """A user's mistake ends with one message and exit code 2."""
    try:
        yield
    except DeparaError as error:
        typer.echo(f"error: {shown(str(error))}", err=True)
        raise typer.Exit(2) from error


@contextmanager
def progress_shown(what: str) -> Iterator[Callable[[int, int], None]]:
    """Gives a function that is told (done, total); shows a bar on a terminal, nothing elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda done, total: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(30), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
