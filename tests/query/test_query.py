"""A new model against a finished scan: the same numbers as a scan that has it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from depara import open_scan
from tests.jobs.inline import scan_inline, tiny

ZOO = [tiny("a", 0), tiny("b", 1), tiny("c", 2, kwargs={"width": 6})]
NEW = tiny("new", 7, kwargs={"width": 5}, layers=["block?", "code"])
SECTIONS: dict[str, Any] = {"nulls": 1, "uncertainty": {"resamples": 120, "time_share": 10}}


@pytest.fixture(scope="module")
def zoo(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scan without the model."""
    folder = tmp_path_factory.mktemp("zoo") / "out"
    scan_inline(str(folder), photos, ZOO, **SECTIONS)
    return folder


@pytest.fixture(scope="module")
def whole(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scan with it."""
    folder = tmp_path_factory.mktemp("whole") / "out"
    scan_inline(str(folder), photos, [*ZOO, NEW], **SECTIONS)
    return folder


@pytest.fixture
def output(zoo: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(zoo, tmp_path / "out"))


def about_new(frame: pd.DataFrame, name: str = "new") -> pd.DataFrame:
    """The rows of a scan's table that a query has."""
    twins = frame["source_model"].str.startswith(f"{name}.null")
    mine = (frame["source_model"] == name) ^ (frame["target_model"] == name)
    return frame[mine & ~twins]


@pytest.mark.parametrize(
    "table", ["similarity", "model_ranking", "layer_ranking", "uncertainty", "rank_uncertainty"]
)
def test_a_query_says_what_a_scan_with_the_model_says(
    zoo: Path, whole: Path, tmp_path: Path, table: str
) -> None:
    output = Path(shutil.copytree(zoo, tmp_path / "out"))
    found = open_scan(str(output)).query(NEW).table(table)
    due = about_new(open_scan(str(whole)).table(table))
    keys = [name for name in due.columns if pd.api.types.is_string_dtype(due[name])]
    due, found = (one.sort_values(keys).reset_index(drop=True) for one in (due, found))
    if table == "model_ranking":  # the twins of the new model are in the other scan alone
        mine = due["source_model"] == "new"
        assert found.loc[mine, "null_similarity"].isna().all()
        due, found = (one.drop(columns="null_similarity") for one in (due, found))
    assert len(found)
    pd.testing.assert_frame_equal(found, due, check_exact=False, atol=2e-6, rtol=0)
