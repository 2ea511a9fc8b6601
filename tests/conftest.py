"""Shared fixtures: threads, the optional folder of shared data, one local Ray per session."""

from __future__ import annotations

import os

# Before anything imports ray or torch.
os.environ.update(
    RAY_AUTH_MODE="disabled",
    RAY_USAGE_STATS_ENABLED="0",
    RAY_DEDUP_LOGS="0",
    RAY_memory_usage_threshold="0.98",
    RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO="0",
    HF_HUB_OFFLINE="1",
)
os.environ.pop("RAY_ADDRESS", None)

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of shared models, probes and tables; tests that need it are skipped without it."""
    folder = Path(os.environ.get("DEPARA_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no shared data at {folder}: set DEPARA_SHARED_DATA to run this test")
    return folder
