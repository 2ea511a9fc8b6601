"""Where canvases wait for the models: on the device while they fit, else with the host."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from depara.attribution.bus import Bus
from depara.extraction.probe_canvases import ProbeCanvases
from depara.types import ProbeRange


def test_canvases_that_do_not_fit_stay_with_the_host() -> None:
    canvas_NSS3 = np.random.default_rng(0).integers(0, 256, (9, 4, 4, 3), dtype=np.uint8)
    fits, too_small, host = (
        ProbeCanvases(canvas_NSS3, bus)
        for bus in (Bus(memory_bytes=2**20), Bus(memory_bytes=100), Bus())
    )
    assert [one.is_resident for one in (fits, too_small, host)] == [True, False, False]
    for one in (fits, too_small, host):
        part = one.part(ProbeRange(2, 7))
        assert isinstance(part, torch.Tensor if one is fits else np.ndarray)
        np.testing.assert_array_equal(np.asarray(part), canvas_NSS3[2:7])


def test_device_memory_that_another_program_took_is_no_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bus = Bus(memory_bytes=2**20)

    def full(*_: object) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(bus, "device_empty", full)
    assert not ProbeCanvases(np.zeros((3, 4, 4, 3), np.uint8), bus).is_resident
