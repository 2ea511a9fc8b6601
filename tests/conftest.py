"""Shared fixtures: environment, the optional folder of shared data, photos, one local Ray."""

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
if "PYTEST_XDIST_WORKER" in os.environ:  # processes share the cores: their threads would spin
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

ROOT = Path(__file__).resolve().parent.parent


@pytest.hookimpl(optionalhook=True)  # there is none without xdist
def pytest_xdist_auto_num_workers() -> int:
    """One process more than there are cores, 4 at most: some test always waits for its Ray."""
    return min((os.cpu_count() or 1) + 1, 4)


@pytest.hookimpl(tryfirst=True)  # xdist reads the groups in a hook of the same name
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of one module stay in one process, all that share a Ray in one for themselves."""
    for item in items:
        group = item.path.as_posix()
        if item.get_closest_marker("ray"):
            group = "ray of the chaos" if "chaos" in item.path.parts else "ray"
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of shared models, probes and tables; tests that need it are skipped without it."""
    folder = Path(os.environ.get("DEPARA_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no shared data at {folder}: set DEPARA_SHARED_DATA to run this test")
    return folder


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of 24 small pictures of coloured shapes on textured ground, in two class folders."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for number in range(24):
        ground = rng.integers(0, 256, size=(6, 8, 3), dtype=np.uint8)
        image = Image.fromarray(ground).resize((80, 60), Image.Resampling.BICUBIC)
        x, y = (int(v) for v in rng.integers(5, 35, size=2))
        draw = ImageDraw.Draw(image)
        shape, label = (draw.ellipse, "discs") if number % 2 else (draw.rectangle, "squares")
        shape((x, y, x + 25, y + 20), fill=tuple(int(v) for v in rng.integers(0, 256, 3)))
        (folder / label).mkdir(exist_ok=True)
        image.save(folder / label / f"{number:02d}.png")
    return folder


@pytest.fixture(scope="session")
def local_ray() -> Iterator[None]:
    """A real local Ray with 2 CPUs and 2 logical GPUs, once per session."""
    import ray

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Ray's own, at its start
        ray.init(
            address="local",
            num_cpus=2,
            num_gpus=2,
            include_dashboard=False,
            object_store_memory=100 * 1024**2,
            log_to_driver=False,
        )
    yield
    ray.shutdown()


@pytest.fixture(scope="session")
def scan_folder(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An output with one finished scan: models a, b and c on 24 labelled photos. Never written."""
    from tests.jobs.inline import scan_inline, tiny

    output = str(tmp_path_factory.mktemp("scan") / "out")
    models = [tiny(name, seed) for seed, name in enumerate("abc")]
    scan_inline(output, photos, models, probes={"source": str(photos), "count": 24}, labels=True)
    return output
