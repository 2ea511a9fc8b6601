"""Scans a zoo: `python -m jobs.scan scan.yaml`, or the same after `ray job submit --`."""

from __future__ import annotations

import signal
import sys
from contextlib import closing
from enum import StrEnum
from typing import Annotated

import typer

from cluster.pool.progress import make_reporter
from cluster.pool.stopping import StopSignal, stopping_on_signals
from depara.config import ScanFile, load_scan_file, render_scan
from depara.errors import (
    ClusterError,
    DeparaError,
    ScanInterruptedError,
    StorageUnavailableError,
)
from depara.store.storage import Storage
from depara.texts import make_streams_total, shown

EXIT_COMPLETE = 0
EXIT_OTHER = 1
EXIT_BAD_INPUT = 2
EXIT_WITH_FAILED_MODELS = 3
EXIT_SIGNALLED = 128
"""Plus the signal's number, as shells have it: 143 after SIGTERM, 130 after Ctrl-C."""


class LogFormat(StrEnum):
    """How progress is written."""

    TEXT = "text"
    JSON = "json"


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(
    help="Computes the attribution graphs of every model and layer of a zoo, compares them, and "
    "writes the transferability matrix and the rankings as Parquet. Graphs that an earlier scan "
    "committed are reused; after an interruption the same command goes on.",
    epilog="Exit codes: 0 complete; 3 complete, but some models failed (they are listed); "
    "2 bad scan file or input; 130 or 143 interrupted by Ctrl-C or SIGTERM (run it again to go "
    "on); 1 anything else.",
)
def scan(
    scan_file: Annotated[str, typer.Argument(help="YAML file, local or s3://; docs/scan-file.md.")],
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="Override a field: probes.count=100."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Resolve everything, print the plan, run nothing.")
    ] = False,
    fresh: Annotated[
        bool,
        typer.Option("--fresh", help="Take nothing from earlier scans; compute every graph anew."),
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Print a line for every unit of work.")
    ] = False,
    log_format: Annotated[
        LogFormat,
        typer.Option("--log-format", help="Progress for people, or a JSON object per line."),
    ] = LogFormat.TEXT,
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Print the fully resolved scan file.")
    ] = False,
) -> None:
    """Reads the scan file and does what the options say."""
    make_streams_total()
    try:
        file = load_scan_file(scan_file, overrides or ())
        if print_config:
            typer.echo(render_scan(file.config), nl=False)
        elif dry_run:
            raise typer.Exit(_dry_run(file, fresh))
        else:
            raise typer.Exit(_run(file, fresh, verbose, log_format))
    except (ClusterError, StorageUnavailableError) as error:
        typer.echo(f"error: {shown(str(error))}", err=True)
        raise typer.Exit(EXIT_OTHER) from error
    except DeparaError as error:
        typer.echo(f"error: {shown(str(error))}", err=True)
        raise typer.Exit(EXIT_BAD_INPUT) from error
    except KeyboardInterrupt:
        message = "interrupted: what was committed stays; the same command goes on from there"
        typer.echo(message, err=True)
        raise typer.Exit(EXIT_SIGNALLED + signal.SIGINT) from None


def _dry_run(file: ScanFile, fresh: bool) -> int:
    """Opens everything in a process of its own, without Ray or writing; prints the plan."""
    from cluster.pool.process_launcher import ProcessLauncher
    from cluster.preview import preview_scan
    from cluster.record.summary import print_plan
    from depara.results.tables import make_console

    config = file.config
    launcher = ProcessLauncher(config.output, config.compute.num_cpus)
    with closing(make_reporter()) as reporter:
        preview = preview_scan(file, launcher, Storage(config.output), reporter, fresh=fresh)
    pairs = (preview.num_pairs, preview.num_known_pairs)
    reads = preview.num_graph_reads
    print_plan(make_console(), preview.prepared, pairs, reads, preview.changes)
    return EXIT_WITH_FAILED_MODELS if preview.failed_models else EXIT_COMPLETE


def _run(file: ScanFile, fresh: bool, verbose: bool, log_format: LogFormat) -> int:
    """Runs the scan on Ray; prints the summary."""
    from cluster.pool.json_progress import JsonReporter
    from cluster.pool.ray_launcher import RayLauncher, connect, make_metrics
    from cluster.pool.sharing import check_job_folder, check_places, marked_output
    from cluster.record.report import end_with_report
    from cluster.record.summary import print_report, print_summary
    from cluster.scan import run_scan
    from depara.results import open_scan
    from depara.results.tables import make_console

    config = file.config
    check_job_folder(config)
    storage = Storage(config.output)
    storage.check_writable()
    stop = StopSignal()
    with connect(), marked_output(storage) as mark:
        launcher = RayLauncher(config.output, config.compute, mark)
        check_places(config, mark, launcher.ask_nodes)
        is_json = log_format is LogFormat.JSON
        reporter = JsonReporter() if is_json else make_reporter(verbose=verbose)
        reporter.verbose = verbose
        try:
            with stopping_on_signals(stop):
                summary = run_scan(
                    file,
                    launcher,
                    storage,
                    reporter,
                    stop=stop,
                    fresh=fresh,
                    metrics=make_metrics(),
                )
        except DeparaError as error:
            if not stop.requested:
                raise
            if not isinstance(error, ScanInterruptedError):  # what else failed on the way out
                typer.echo(f"error: {shown(str(error))}", err=True)
            typer.echo(stop.message, err=True)
            return EXIT_SIGNALLED + (stop.signal_number or signal.SIGTERM)
        finally:
            reporter.close()
        console, results = make_console(), open_scan(config.output, summary.scan_id)
        print_summary(console, summary, results)
        print_report(console, end_with_report(results))
    return EXIT_WITH_FAILED_MODELS if summary.failed_models else EXIT_COMPLETE


if __name__ == "__main__":
    sys.exit(app())
