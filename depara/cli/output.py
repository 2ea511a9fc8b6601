"""What the commands print: tables, progress, and errors as one message."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from depara.errors import ConfigError, DeparaError
from depara.texts import shown, storable

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = 6


def print_frame(frame: pd.DataFrame, title: str) -> None:
    """Prints a data frame as a table."""
    from depara.results.tables import frame_table, make_console

    make_console().print(frame_table(frame, title))


def print_answer(
    frame: pd.DataFrame, title: str = "", *, csv: bool, json: bool, record: object = None
) -> None:
    """Prints a data frame as a table, as CSV, or as JSON: its rows, or the record given instead."""
    if csv and json:
        raise ConfigError("--csv and --json exclude each other: leave one out")
    if csv:
        typer.echo(frame.to_csv(index=False), nl=False)
    elif json:
        typer.echo(_json(frame.to_dict("records") if record is None else record))
    else:
        print_frame(frame, title)


def print_lines(*lines: str, err: bool = False) -> None:
    """Prints lines of text as a terminal may show them."""
    for line in lines:
        typer.echo(shown(line), err=err)


def left_out_lines(what: str, left_out: Mapping[str, str]) -> list[str]:
    """Returns a line that names what was left out and why the first one was; none where nothing."""
    names = sorted(left_out)
    if not names:
        return []
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return [f"{what} ({left_out[names[0]]}): {', '.join(names[:_SHOWN])}{more}"]


def _json(value: object) -> str:
    """Returns strict JSON: what is missing or not finite is null."""
    import json

    return json.dumps(_plain(value), indent=1, ensure_ascii=False, allow_nan=False)


def _plain(value: Any) -> Any:
    import numpy as np
    import pandas as pd

    if isinstance(value, Mapping):
        return {storable(str(key)): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(one) for one in value]
    if isinstance(value, str):
        return storable(value)
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, np.generic):
        value = value.item()
    return value if not isinstance(value, float) or math.isfinite(value) else None


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


@contextmanager
def stages_shown() -> Iterator[Callable[[str, int, int], None]]:
    """Gives a function that is told (what, done, total), for stderr: a bar on a terminal, else one
    line per stage."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    seen: list[str] = []
    if not console.is_terminal:

        def tell(what: str, done: int, total: int) -> None:
            if what not in seen:
                seen.append(what)
                typer.echo(f"{what} ...", err=True)

        yield tell
        return
    columns = (TextColumn("{task.description}"), BarColumn(30), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as progress:
        task = progress.add_task("", total=None)

        def show(what: str, done: int, total: int) -> None:
            if [what] != seen[-1:]:
                seen.append(what)
                progress.reset(task, description=what, total=total or None)
            progress.update(task, completed=done, total=total or None)

        yield show
