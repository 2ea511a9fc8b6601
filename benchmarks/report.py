"""The report of a scan of 10, 100 and 1,000 models: its size, and how long one waits for it.

Makes finished scans from no models (`benchmarks.lab.zoo_tables`), writes their reports, and opens
them in a headless Chromium where one is installed. Prints, and writes to
``benchmarks/results/report.md``, the bytes, the seconds to write and to open, and the slowest of
all switches of score and lambda, from the event until the next frame is drawn: best of some tries.

    python -m benchmarks.report [--quick]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks._report import machine_line, write_report
from benchmarks.lab.browser import Browser, find_chromium
from benchmarks.lab.zoo_record import ZooTables
from benchmarks.lab.zoo_tables import write_zoo

SIZES = (10, 100, 1000)
_LAYERS = 3
_TRIES = 5
_SWITCH = """(async () => {
  const frame = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  const score = document.getElementById("score");
  const slider = document.getElementById("lambda");
  let worst = 0;
  const time = async (input, value, event) => {
    const start = performance.now();
    input.value = value;
    input.dispatchEvent(new Event(event));
    await frame();
    worst = Math.max(worst, performance.now() - start);
  };
  for (const option of [...score.options].map((one) => one.value).concat("similarity"))
    await time(score, option, "change");
  for (const at of [0, 20, 60, 100]) await time(slider, at, "input");
  return worst;
})()"""

# In a process of its own: its memory is the report's.
_WRITE = """
import sys
from pathlib import Path
from depara.report import write_report
from depara.results import open_scan
written = write_report(open_scan(sys.argv[1]))
status = Path("/proc/self/status").read_text()
peak = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
print(written.num_bytes, written.seconds, peak)
"""


def measure(sizes: Sequence[int], folder: Path) -> Iterator[str]:
    """Yields the rows of the table."""
    program = find_chromium()
    heads = ["models", "scan made, s", "report written, s", "peak memory, MB", "bytes"]
    heads += ["opens, s", "ranks anew, ms"]
    yield f"| {' | '.join(heads)} |"
    yield "|---" * len(heads) + "|"
    for size in sizes:
        output = str(folder / str(size))
        started = time.perf_counter()
        scan_id = write_zoo(output, ZooTables(size, num_layers=_LAYERS))
        made_s = time.perf_counter() - started
        num_bytes, seconds, peak = _written(output)
        opened = "not tried | not tried"
        if program is not None:
            path = Path(output, "scans", scan_id, "report.html")
            with Browser(program, width=1200) as browser:
                open_s = min(browser.open(path) for _ in range(_TRIES))
                switch_ms = min(float(browser.ask(_SWITCH)) for _ in range(_TRIES))
            opened = f"{open_s:.2f} | {switch_ms:.0f}"
        yield (
            f"| {size:,} | {made_s:.1f} | {seconds:.1f} | {peak / 1e3:,.0f} | {num_bytes:,.0f} "
            f"| {opened} |"
        )


def _written(output: str) -> tuple[float, float, float]:
    """Returns the bytes of the report, the seconds that it took, and the peak memory, kB."""
    done = subprocess.run(
        [sys.executable, "-c", _WRITE, output], capture_output=True, text=True, check=True
    )
    num_bytes, seconds, peak = map(float, done.stdout.split())
    return num_bytes, seconds, peak


def browser_line() -> str:
    """Returns which browser it is."""
    program = find_chromium()
    if program is None:
        return "No Chromium is installed: the page was not opened."
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    return f"{done.stdout.strip()}, headless, 1200 x 900 px, no GPU."


def main(arguments: Sequence[str]) -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="10 and 100 models, not written")
    options = parser.parse_args(arguments)
    sizes = SIZES[:2] if options.quick else SIZES
    with tempfile.TemporaryDirectory() as folder:
        rows = list(measure(sizes, Path(folder)))
    lines = [
        f"Finished scans of {_LAYERS} layers a model, every layer of every pair compared, with "
        "intervals; hostile names among the models; no pictures. Limits: 1 MiB at 100 models, "
        "5 MiB at 1,000; 2 s to open; 200 ms to rank anew at 1,000. Opening ends when all scripts "
        "have run; ranking anew is the slowest of all switches of score and lambda, until the next "
        f"frame is drawn; both the best of {_TRIES} tries.",
        "",
        machine_line("pandas", "pyarrow", "jinja2"),
        browser_line(),
        "",
        *rows,
    ]
    command = " ".join(["python -m benchmarks.report", *arguments])
    write_report("report", command, lines, quick=options.quick)


if __name__ == "__main__":
    main(sys.argv[1:])
