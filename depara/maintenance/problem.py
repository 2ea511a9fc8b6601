"""What is wrong with one file or folder of an output, and how to mend it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One thing that is not as it was committed.

    ``location`` is the full path or URI, ``subject`` the model and layer whose graph it belongs to,
    where it belongs to one, ``what`` is wrong with it, ``expected`` and ``got`` are
    empty where there is nothing to compare, ``remedy`` says what to do. ``graph_key`` names the
    graph that is to be taken back, ``discardable`` the files to remove, relative to the output, so
    that the next scan makes them anew.
    """

    location: str
    what: str
    expected: str = ""
    got: str = ""
    remedy: str = ""
    graph_key: str | None = None
    discardable: tuple[str, ...] = ()
    subject: str = ""

    def __str__(self) -> str:
        pairs = (("expected", self.expected), ("got", self.got))
        compared = ", ".join(f"{name} {value}" for name, value in pairs if value)
        remedy = f"; {self.remedy}" if self.remedy else ""
        subject = f" ({self.subject})" if self.subject else ""
        return f"{self.location}{subject}: {self.what}{compared and ': '}{compared}{remedy}"
