"""The commands that look after an output: verify and gc."""

from __future__ import annotations

import csv as csv_format
import io
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from depara.cli.options import Output
from depara.cli.output import errors_shown, progress_shown

if TYPE_CHECKING:
    from rich.table import Table

    from depara.maintenance import Candidate, CollectionPlan, CollectionResult, VerifyReport

_PROBLEM_COLUMNS = ("location", "subject", "what", "expected", "got", "remedy", "graph_key")


def verify(
    output: Output,
    fast: Annotated[bool, typer.Option("--fast", help="Presence and sizes only.")] = False,
    scan: Annotated[
        str | None, typer.Option("--scan", help="One scan and its graphs; default: everything.")
    ] = None,
    discard: Annotated[
        bool,
        typer.Option("--discard", help="Take damaged graphs back: the next scan makes them anew."),
    ] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print the list as CSV.")] = False,
) -> None:
    """Reads everything that was committed again. Exit code 1 and a list where anything is wrong."""
    from depara.maintenance import verify_output
    from depara.store.storage import Storage

    with errors_shown():
        with progress_shown("checking") as on_progress:
            report = verify_output(
                Storage(output), scan_id=scan, fast=fast, discard=discard, on_progress=on_progress
            )
        if csv:
            typer.echo(_problems_csv(report), nl=False)
        else:
            for problem in report.problems:
                typer.echo(f"wrong: {problem}")
        if report.discarded:
            typer.echo(
                f"discarded: {', '.join(report.discarded)}: the next scan makes them anew", err=csv
            )
        typer.echo(_verdict(report), err=csv)
    if not report.is_sound:
        raise typer.Exit(1)


def gc(
    output: Output,
    keep_scans: Annotated[
        int, typer.Option(min=1, help="The newest scans whose graphs stay.")
    ] = 14,
    grace_hours: Annotated[
        float, typer.Option(min=0, help="What was written more recently stays.")
    ] = 72,
    scans: Annotated[
        bool, typer.Option("--scans", help="Delete the tables of the other scans too.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Delete; without it only say what.")] = False,
) -> None:
    """Deletes graphs, canvases and leftovers that no kept scan and no running scan needs."""
    from depara.maintenance import collect, plan_collection
    from depara.results.tables import make_console
    from depara.store.storage import Storage

    with errors_shown():
        storage = Storage(output)
        plan = plan_collection(
            storage, keep_scans=keep_scans, grace_s=grace_hours * 3600, scans=scans
        )
        for note in plan.notes:
            typer.echo(note)
        if not yes:
            make_console().print(candidate_table(plan.candidates, "would be deleted"))
            typer.echo(_plan_line(plan))
            typer.echo("nothing was deleted: repeat with --yes")
            return
        with progress_shown("deleting") as on_progress:
            result = collect(storage, plan, on_progress)
        make_console().print(candidate_table(result.deleted, "deleted"))
        typer.echo(_plan_line(plan))
        for line in _spared_lines(result):
            typer.echo(line)


def candidate_table(candidates: Sequence[Candidate], title: str) -> Table:
    """Returns what is, or would be, deleted: one row per kind, times in UTC."""
    from rich.filesize import decimal
    from rich.table import Table

    table = Table(title=title, title_justify="left", header_style="bold")
    table.add_column("what")
    table.add_column("number", justify="right")
    table.add_column("bytes", justify="right")
    table.add_column("oldest")
    table.add_column("newest")
    for kind in dict.fromkeys(candidate.kind for candidate in candidates):
        group = [candidate for candidate in candidates if candidate.kind == kind]
        table.add_row(
            kind,
            str(len(group)),
            decimal(sum(candidate.bytes for candidate in group)),
            _time(min(candidate.oldest_s for candidate in group)),
            _time(max(candidate.newest_s for candidate in group)),
        )
    total = sum(candidate.bytes for candidate in candidates)
    table.add_section()
    table.add_row("in all", str(len(candidates)), decimal(total), "", "")
    return table


def _plan_line(plan: CollectionPlan) -> str:
    kept = f"kept: {len(plan.kept)} of {_count(len(plan.finished), 'scan')}"
    oldest = f", the oldest is {plan.kept[0]}" if plan.kept else ""
    losing = f"; with tables but without all graphs: {len(plan.losing)}" if plan.losing else ""
    return f"{kept}{oldest}{losing}"


def _spared_lines(result: CollectionResult) -> Iterable[str]:
    for reason in dict.fromkeys(reason for _, reason in result.spared):
        count = sum(other == reason for _, other in result.spared)
        yield f"left alone: {count}, because {reason}"


def _verdict(report: VerifyReport) -> str:
    from rich.filesize import decimal

    wrong = f"{_count(len(report.problems), 'problem')} in" if report.problems else "sound:"
    line = (
        f"{wrong} {_count(report.num_graphs, 'graph')}, {_count(report.num_files, 'file')}, "
        f"{decimal(report.num_bytes)}, {_count(report.num_scans, 'scan')}"
    )
    unfinished = [
        _count(count, what)
        for count, what in (
            (report.uncommitted_graphs, "uncommitted graph"),
            (report.unfinished_scans, "unfinished scan"),
            (report.running_scans, "running record"),
        )
        if count
    ]
    return f"{line}; under way or left behind: {', '.join(unfinished)}" if unfinished else line


def _problems_csv(report: VerifyReport) -> str:
    text = io.StringIO()
    writer = csv_format.writer(text, lineterminator="\n")
    writer.writerow(_PROBLEM_COLUMNS)
    writer.writerows(
        [getattr(problem, name) or "" for name in _PROBLEM_COLUMNS] for problem in report.problems
    )
    return text.getvalue()


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _time(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M}"
