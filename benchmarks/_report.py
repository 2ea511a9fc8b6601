"""How benchmark results are written: command, table, machine and versions, as Markdown."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

RESULTS = Path(__file__).parent / "results"


def machine_line(*packages: str) -> str:
    """Returns the machine, its cores, and the versions of Python, torch, numpy and the packages."""
    model = platform.processor() or platform.machine()
    cpu_info = Path("/proc/cpuinfo")
    if cpu_info.exists():
        names = [line for line in cpu_info.read_text().splitlines() if "model name" in line]
        model = names[0].partition(":")[2].strip() if names else model
    versions = ", ".join(f"{p} {version(p)}" for p in ("torch", "numpy", "ray", *packages))
    return f"{model}, {os.cpu_count()} cores; Python {platform.python_version()}, {versions}."


def write_report(name: str, command: str, lines: Sequence[str], *, quick: bool) -> None:
    """Prints the report and, unless it is a quick run, keeps it in benchmarks/results/."""
    text = "\n".join([f"# {name}", "", f"`{command}`", "", *lines, ""])
    print(text)
    if not quick:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{name}.md").write_text(text)
