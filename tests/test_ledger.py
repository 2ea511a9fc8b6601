"""The memory of a worker is divided once, and no consumer takes what is not its own."""

from __future__ import annotations

import re

from depara.ledger import DEVICE_PARTS, PARTS, device_part, part_bytes
from tests.conftest import ROOT


def test_the_parts_add_up_to_the_whole() -> None:
    assert sum(part.share for part in PARTS.values()) == 1
    assert sum(part_bytes(4 * 2**30, name) for name in PARTS) == 4 * 2**30
    assert sum(part.share for part in DEVICE_PARTS.values()) == 1
    assert sum(device_part(2**34, name) for name in DEVICE_PARTS) == 2**34
    for parts in (PARTS, DEVICE_PARTS):
        assert all(part.share > 0 and part.meaning for part in parts.values())


def test_every_part_has_one_consumer() -> None:
    sources = [*(ROOT / "depara").rglob("*.py"), *(ROOT / "cluster").rglob("*.py")]
    text = "".join(path.read_text() for path in sources)
    taken = re.findall(r'part_bytes\([^)]*?"(\w+)"\)', text)
    assert sorted(taken) == sorted(PARTS)
    taken = re.findall(r'device_part\([^)]*?"(\w+)"\)', text)
    assert sorted([*taken, "workspace"]) == sorted(DEVICE_PARTS)  # the libraries take that
