"""The memory of a worker is divided once, and no consumer takes what is not its own."""

from __future__ import annotations

import re

from depara.ledger import PARTS, part_bytes
from tests.conftest import ROOT


def test_the_parts_add_up_to_the_whole() -> None:
    assert sum(part.share for part in PARTS.values()) == 1
    assert sum(part_bytes(4 * 2**30, name) for name in PARTS) == 4 * 2**30
    assert all(part.share > 0 and part.meaning for part in PARTS.values())


def test_every_part_has_one_consumer() -> None:
    sources = [*(ROOT / "depara").rglob("*.py"), *(ROOT / "cluster").rglob("*.py")]
    taken = [
        name
        for path in sources
        for name in re.findall(r'part_bytes\([^)]*?"(\w+)"\)', path.read_text())
    ]
    assert sorted(taken) == sorted(PARTS)
