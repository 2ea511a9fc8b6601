"""A scan whose worker brings the next model's weights near: the same tables, the same failures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from depara import open_scan
from depara.config import ModelConfig
from depara.extraction import ahead
from tests.jobs.inline import scan_inline
from tests.jobs.zoo import Tiny

SOURCE = "python:tests.jobs.zoo:Tiny"


@pytest.fixture
def models(tmp_path: Path) -> list[dict[str, Any]]:
    """So many that some of them are known to a worker early."""
    made = []
    for number in range(8):
        torch.manual_seed(number)
        path = tmp_path / f"{number}.pt"
        torch.save(Tiny().state_dict(), path)
        made.append({"id": f"m{number}", "source": SOURCE, "weights": str(path)})
    return made


def test_the_tables_are_those_without_it(
    models: list[dict[str, Any]], photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched, opened = [], []
    near, arrived = ahead.NearWeights.of, ahead._arrived
    monkeypatch.setattr(
        ahead.NearWeights, "of", lambda model: fetched.append(model.id) or near(model)
    )
    monkeypatch.setattr(ahead, "_arrived", lambda f: opened.append(f is not None) or arrived(f))
    scan_inline(str(tmp_path / "one"), photos, models)
    assert len(fetched) == len(set(fetched)) >= 3
    assert sum(opened) == len(fetched), "what is brought near is opened from there"
    monkeypatch.setattr(ahead, "is_worth_fetching", lambda *_: False)
    scan_inline(str(tmp_path / "other"), photos, models)
    tables = [open_scan(str(tmp_path / name)).table("similarity") for name in ("one", "other")]
    pd.testing.assert_frame_equal(*tables)


def test_weights_that_are_lost_meanwhile_fail_their_model_alone(
    models: list[dict[str, Any]], photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    near, lost = ahead.NearWeights.of, []

    def lose(model: ModelConfig) -> ahead.NearWeights:
        if not lost:
            lost.append(model.id)
            Path(str(model.weights)).unlink()
        return near(model)

    monkeypatch.setattr(ahead.NearWeights, "of", lose)
    summary = scan_inline(str(tmp_path / "out"), photos, models)
    (failure,) = summary.failures
    assert failure.model_id == lost[0]
    assert failure.error_type == "WeightsError"
    assert "no such file" in failure.message
