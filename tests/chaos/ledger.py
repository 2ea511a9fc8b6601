"""The account of all faults: which were injected, and what became of the scans."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from _pytest.outcomes import Skipped

HEADER = ("fault", "times injected", "recovered", "lost work in units", "result equal")


@dataclass
class Trial:
    """One fault as it is injected: the scenario notes here what it has proof of."""

    injected: int = 0
    recovered: bool = False
    lost_units: int = 0
    equal: bool = False

    def hit(self) -> None:
        """The fault has hit: call it with the proof at hand."""
        self.injected += 1


@dataclass
class Row:
    """All trials of one fault."""

    trials: list[Trial] = field(default_factory=list)
    skipped: str = ""
    broken: int = 0

    @property
    def is_good(self) -> bool:
        """Whether every trial hit, recovered, and gave the equal result."""
        good = all(trial.injected and trial.recovered and trial.equal for trial in self.trials)
        return good and not self.broken

    def cells(self, fault: str) -> tuple[str, ...]:
        """Returns the row of the table."""
        if self.skipped and not self.trials:
            return (fault, "0", "-", "-", f"not run: {self.skipped}")
        recovered = sum(trial.recovered for trial in self.trials)
        injected = sum(trial.injected for trial in self.trials)
        equal = "yes" if self.is_good else "NO"
        lost = str(sum(trial.lost_units for trial in self.trials))
        return (fault, str(injected), f"{recovered} of {len(self.trials)}", lost, equal)


class Ledger:
    """The rows by fault, in the order in which they came."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}

    @contextmanager
    def trial(self, fault: str) -> Iterator[Trial]:
        """Gives a trial to note in; it must end injected, recovered and equal."""
        row = self.rows.setdefault(fault, Row())
        trial = Trial()
        try:
            yield trial
        except Skipped as skip:
            row.skipped = str(skip)
            raise
        except BaseException:
            row.broken += 1
            row.trials.append(trial)
            raise
        row.trials.append(trial)
        assert trial.injected, f"{fault}: the fault did not hit"
        assert trial.recovered, f"{fault}: not recovered"
        assert trial.equal, f"{fault}: the result differs"

    @property
    def is_good(self) -> bool:
        """Whether all rows say yes."""
        return bool(self.rows) and all(row.is_good for row in self.rows.values())

    def table(self) -> str:
        """Returns the account as a table of Markdown."""
        rows = [HEADER, *(row.cells(fault) for fault, row in self.rows.items())]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + " |"
            for row in rows
        ]
        lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
        return "\n".join(lines)
