"""The name of a scan: when it began, and what is scanned, with whatever resources."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from cluster.record.lease import config_hash, default_scan_id
from depara.config import ScanConfig, parse_scan

SCAN = "probes: {source: x}\nmodels: [{id: a, source: 'torchvision:x'}]"


def config(*overrides: str) -> ScanConfig:
    return parse_scan(SCAN, overrides).config


def test_the_identity_of_a_scan_is_its_file_without_resources() -> None:
    whole = config_hash(config())
    assert config_hash(config("compute.workers=7", "compute.memory=3GiB")) == whole
    for override in ("probes.source=y", "similarity.lambda=0", "output=elsewhere", "probes.seed=4"):
        assert config_hash(config(override)) != whole, override


@pytest.mark.parametrize("override", [(), ("probes.seed=4",)])
def test_a_scan_is_named_by_the_second_and_six_digits(override: tuple[str, ...]) -> None:
    now = datetime(2026, 1, 31, 2, 0, 0, 999_999, tzinfo=UTC)
    expected = f"20260131T020000Z-{config_hash(config(*override))[:6]}"
    assert default_scan_id(config(*override), now) == expected
