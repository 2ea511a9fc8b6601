"""The way to a device: what is counted, who shares memory, and that nothing goes past it."""

from __future__ import annotations

import re

import pytest
import torch

from depara.attribution.bus import Bus
from depara.traffic import total_traffic
from tests.attribution.buses import LateBus
from tests.conftest import ROOT

COPY = re.compile(r"\.cpu\(|\.cuda\(|pin_memory|non_blocking|\.to\(\s*(device|\"c|self\._device)")
DRAWS_NOISE = "methods.py"


def test_the_hosts_own_memory_is_not_copied_and_not_counted() -> None:
    bus, values = Bus(), torch.rand(3)
    assert not bus.is_separate
    assert bus.free_bytes() == 0
    assert bus.upload("weights", values) is values
    assert bus.fetch("grams", values).data_ptr() == values.data_ptr()
    assert not bus.to_device
    assert not bus.from_device


def test_what_crosses_is_counted_by_what_it_is() -> None:
    before = total_traffic()
    bus = Bus(memory_bytes=1000)
    assert bus.is_separate
    assert bus.free_bytes() == 1000
    values = torch.rand(3)
    there = bus.upload("weights", values)
    values.zero_()
    assert there.all(), "a device has a copy of its own"
    back = bus.host_empty((3,), torch.float32)
    bus.down("maps", there, back).wait()
    torch.testing.assert_close(back, there)
    target = bus.device_empty((3,), torch.float32)
    bus.up("features", back, target, bus.mark()).hold()
    torch.testing.assert_close(target, there)
    assert bus.is_true(there.all())
    assert bus.to_device == {"weights": 12, "features": 12}
    assert bus.from_device == {"maps": 12, "checks": 1}
    moved = total_traffic() - before
    assert (moved.to_device_bytes, moved.from_device_bytes) == (24, 13)


def test_a_late_bus_finds_out_who_does_not_wait() -> None:
    bus, values = LateBus(1000), torch.ones(3)
    back = bus.host_empty((3,), torch.float32)
    mark = bus.down("maps", values, back)
    assert not (back == 1).any()
    values.fill_(7)  # what a model may do to its output
    mark.wait()
    assert (back == 7).all()


@pytest.mark.parametrize("room", ["attribution", "extraction"])
def test_no_copy_goes_past_the_bus(room: str) -> None:
    for path in sorted((ROOT / "depara" / room).glob("*.py")):
        found = COPY.findall(path.read_text())
        if path.name in ("bus.py", DRAWS_NOISE):
            assert found, f"{path.name} copies nothing: take it off this list"
        else:
            assert not found, f"{path} copies by itself: {found}"
