"""The table of the sweep: one row per architecture, and what was left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from benchmarks._report import machine_line
from benchmarks._zoo_entries import MAX_PARAMETERS, SIDES_PX
from benchmarks._zoo_trial import (
    AGREES,
    CANVAS_SIDE_PX,
    FLOOR_FACTOR,
    LEFT_OUT,
    MAX_COMPARED,
    NUM_PROBES,
    SLACK,
    UNRESOLVED,
    Row,
)

WORDS = 240
"""Characters of a message that are shown."""

HEADER = (
    "architecture",
    "M parameters",
    "input px",
    "blocks",
    "stages",
    "compared",
    "cosine float32",
    "cosine float64",
    "plain float32 / float64",
    "Gram",
    "edges",
    "conditioning",
    "processor s",
    "verdict",
    "notes",
)


def report_lines(rows: Sequence[Row], planned: int, limit_s: float) -> list[str]:
    """Returns the summary, what each column is, the table, and the table of what was left out."""
    shown = [row for row in rows if row.verdict != LEFT_OUT]
    left_out = [row for row in rows if row.verdict == LEFT_OUT]
    return [
        f"{len(rows)} of {planned} architectures: {_counts(rows)}.",
        "",
        f"Random weights, {NUM_PROBES} generated pictures on a canvas of {CANVAS_SIDE_PX} px, the "
        f"least input side of {', '.join(map(str, SIDES_PX))} px that opens, else the declared "
        f"one; Hugging Face types with small configs. *blocks*, *stages*: cuts, first ... last. "
        f"*compared*: layers, at most {MAX_COMPARED} of the blocks, all stages, and the output. "
        "*cosine*: the least over probes and layers of the product's maps with those of plain "
        "autograd (whole forward pass, one backward per layer) in float32 and float64, beside "
        "that of the two plain passes. *Gram*: largest error of an inner product, relative to the "
        "largest one; *edges*: largest error; both against float64, features of each probe alone. "
        f"A graph agrees when each error is at most {SLACK:g} + {FLOOR_FACTOR} times plain "
        f"float32's own. Where plain float32 itself is off by more than {UNRESOLVED:g} in cosine, "
        "float32 does not resolve the map: the product has to mark it, or it disagrees. "
        "*conditioning*: the least, as the product measures it.",
        "",
        *_table(HEADER, (_cells(row) for row in _sorted(shown))),
        "",
        "Left out:",
        "",
        f"Models of more than {MAX_PARAMETERS / 1e6:.0f} M parameters, or that take more than "
        f"{limit_s:.0f} s of processor time.",
        "",
        *_table(
            ("architecture", "why"), ((row.name, _text(row.words)) for row in _sorted(left_out))
        ),
        "",
        machine_line("torchvision", "timm", "transformers"),
    ]


def row_line(row: Row) -> str:
    """Returns one line on a row, for the terminal."""
    figure = "" if row.cosine_float64 is None else f" cosine {row.cosine_float64:.6f}"
    return f"{row.seconds:5.1f} s  {row.name}: {row.verdict}{figure} {_text(row.words)}".rstrip()


def _counts(rows: Iterable[Row]) -> str:
    counts = Counter(row.verdict for row in rows)
    return ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common())


def _sorted(rows: Sequence[Row]) -> list[Row]:
    """What needs a look comes first."""
    return sorted(rows, key=lambda row: (row.verdict == AGREES, row.verdict, row.name))


def _cells(row: Row) -> tuple[str, ...]:
    millions = "" if row.parameters is None else f"{row.parameters / 1e6:.1f}"
    return (
        row.name,
        millions,
        str(row.side_px or ""),
        _text(row.blocks),
        _text(row.stages),
        str(row.compared or ""),
        _cosine(row.cosine_float32),
        _cosine(row.cosine_float64),
        _cosine(row.plain_cosine),
        _small(row.gram_error),
        _small(row.edges_error),
        _small(row.conditioning),
        f"{row.seconds:.0f}",
        row.verdict,
        _text("; ".join([*row.notes, row.words] if row.words else row.notes)),
    )


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [
        f"| {' | '.join(header)} |",
        f"|{'---|' * len(header)}",
        *(f"| {' | '.join(cells)} |" for cells in rows),
    ]


def _text(value: str) -> str:
    plain = " ".join(value.split()).replace("|", "\\|")
    return plain if len(plain) <= WORDS else f"{plain[: WORDS - 3]}..."


def _cosine(value: float | None) -> str:
    return "" if value is None else f"{value:.6f}"


def _small(value: float | None) -> str:
    return "" if value is None else f"{value:.0e}"
