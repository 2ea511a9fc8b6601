"""The command that follows scans under way, from any machine that reads their output."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from depara.cli.options import AsJson, Output
from depara.cli.output import errors_shown, print_answer, print_lines

if TYPE_CHECKING:
    import pandas as pd

    from depara.store.running import RunningScan

_COLUMNS = ("scan_id", "phase", "done", "total", "what", "seconds", "rate", "left_s", "failures")


def top(
    output: Output,
    scan: Annotated[
        str | None, typer.Option("--scan", help="One scan under way; default: all of them.")
    ] = None,
    once: Annotated[
        bool, typer.Option("--once", help="Show it once, and end; not a terminal: the default.")
    ] = False,
    every: Annotated[
        float, typer.Option("--every", min=1, help="Seconds between two looks at the output.")
    ] = 10.0,
    json: AsJson = False,
) -> None:
    """Follows the scans under way: phases, steps done, rate, time left, failures.

    It reads the sign of life that a scan writes to its output twice a minute, so that it runs on
    any machine. Ends when no scan is left; exit code 1 where there was none to begin with.
    """
    from depara.results.tables import frame_table, make_console
    from depara.store.storage import Storage

    with errors_shown():
        storage = Storage(output)
        found, now_s = look(storage, scan)
        if not found:
            which = "no scan runs" if scan is None else f"no scan {scan!r} runs"
            print_lines(f"{which} in {output}: `depara scans` lists those that are finished")
            raise typer.Exit(1)
        console = make_console()
        if once or json or not console.is_terminal:
            record = [scan_record(one, now_s) for one in found]
            frame = progress_frame(found)
            print_answer(frame, "scans under way", csv=False, json=json, record=record)
            if not json:
                print_lines(*(scan_line(one, now_s) for one in found))
            return
        with console.screen(hide_cursor=True) as screen:
            while found:
                lines = [scan_line(one, now_s) for one in found]
                screen.update(frame_table(progress_frame(found), "\n".join(lines)))
                time.sleep(every)
                found, now_s = look(storage, scan)
        print_lines("no scan is left: `depara scans` lists those that are finished")


def look(storage: Any, scan_id: str | None) -> tuple[list[RunningScan], float]:
    """Returns the scans under way, or one of them, and the time by the storage's clock.

    A reader may not write, so that the clock is this machine's where the storage's, which takes a
    file to be written, cannot be had.
    """
    from depara.errors import StorageUnavailableError, StoreError
    from depara.store.running import running_scans

    found = [one for one in running_scans(storage) if scan_id in (None, one.scan_id)]
    if not found:
        return [], time.time()
    try:
        return found, float(storage.now_s())
    except (StoreError, StorageUnavailableError):
        return found, time.time()


def scan_record(scan: RunningScan, now_s: float) -> dict[str, Any]:
    """Returns what is known of a scan under way, JSON-ready."""
    owner, progress = scan.owner, scan.owner.get("progress") or {}
    return {
        "scan_id": scan.scan_id,
        "state": state_of(scan, now_s),
        "host": owner.get("host"),
        "pid": owner.get("pid"),
        "started_at": owner.get("started_at"),
        "graphs": len(scan.graph_keys),
        "silent_s": round(max(0.0, now_s - scan.modified_s), 1),
        "phases": progress.get("phases", []),
        "rate": progress.get("rate"),
        "left_s": progress.get("left_s"),
        "failures": progress.get("failures"),
        "detail": progress.get("detail") or None,
    }


def state_of(scan: RunningScan, now_s: float) -> str:
    """Returns ``running``, why it was interrupted, or that it gives no sign of life any more."""
    ended = scan.owner.get("ended")
    if ended:
        return f"interrupted: {ended}"
    return "dead: run the same command again to go on" if scan.is_dead(now_s) else "running"


def scan_line(scan: RunningScan, now_s: float) -> str:
    """Returns one line about a scan: who runs it, its state, and how old that news is."""
    record = scan_record(scan, now_s)
    graphs = f", {record['graphs']:,} graphs planned" if record["graphs"] else ""
    return (
        f"{record['scan_id']} on {record['host'] or 'an unknown host'} (process {record['pid']}), "
        f"since {record['started_at']}{graphs}: {record['state']}; as of {record['silent_s']:.0f} "
        "s ago"
    )


def progress_frame(scans: Sequence[RunningScan]) -> pd.DataFrame:
    """Returns a row per phase of each scan; the last one of each is the present phase."""
    import pandas as pd

    rows = []
    for scan in scans:
        progress = scan.owner.get("progress") or {}
        phases = progress.get("phases") or [{"phase": "starting"}]
        for place, phase in enumerate(phases, start=1):
            is_present = place == len(phases)
            rate = progress.get("rate") if is_present else _rate(phase)
            rows.append(
                {
                    "scan_id": scan.scan_id,
                    **phase,
                    "rate": rate,
                    "left_s": progress.get("left_s") if is_present else None,
                    "failures": progress.get("failures") if is_present else None,
                }
            )
    frame = pd.DataFrame(rows, columns=list(_COLUMNS))
    kinds = dict.fromkeys(("done", "total", "failures"), "Int64")
    return frame.astype(kinds | dict.fromkeys(("seconds", "rate", "left_s"), "Float64"))


def _rate(phase: dict[str, Any]) -> float | None:
    return phase["done"] / phase["seconds"] if phase.get("seconds") else None
