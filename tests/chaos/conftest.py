"""The laboratory of the chaos tests, and which of them run: all with DEPARA_CHAOS=full."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.lab import FULL, Lab
from tests.chaos.ledger import Ledger
from tests.chaos.ray_nodes import RayNodes
from tests.conftest import ROOT


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves the longer scenarios to `make chaos`."""
    if not FULL:
        spared = [item for item in items if item.get_closest_marker("chaos")]
        config.hook.pytest_deselected(items=spared)
        items[:] = [item for item in items if item not in spared]


@pytest.fixture(scope="session")
def ledger(pytestconfig: pytest.Config) -> Ledger:
    """The account that `python -m tests.chaos` prints, or one for this session alone."""
    plugins = pytestconfig.pluginmanager.get_plugins()
    return next((plugin for plugin in plugins if isinstance(plugin, Ledger)), Ledger())


@pytest.fixture(scope="session")
def chaos_env() -> dict[str, str]:
    """Environment of every Ray and every scan."""
    return {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="package")
def lab(
    tmp_path_factory: pytest.TempPathFactory,
    photos: Path,
    ledger: Ledger,
    chaos_env: dict[str, str],
) -> Iterator[Lab]:
    """The laboratory of all chaos tests; its Ray ends with them."""
    folder = tmp_path_factory.mktemp("chaos")
    nodes = RayNodes(folder / "ray.log", chaos_env, with_jobs=FULL)
    try:
        yield Lab(folder, photos, ledger, chaos_env, nodes)
    finally:
        nodes.close()
