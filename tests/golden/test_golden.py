"""Graph keys and the tables of a small scan are what they were: a change here is meant, or a fault.

Tables may gain columns, and scores with labels; the golden file need not have all tables.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from depara.store.schemas import CALIBRATED
from tests.golden.make import GOLDEN, METHODS, keys, tables

WANTED: dict[str, Any] = json.loads(GOLDEN.read_text())


@pytest.mark.parametrize("number", range(len(METHODS)))
def test_a_method_has_its_key(number: int) -> None:
    assert keys()[number] == WANTED["keys"][number], METHODS[number]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    return tables(tmp_path_factory.mktemp("golden"))


@pytest.mark.parametrize("name", WANTED["tables"])
def test_a_table_has_its_rows(found: dict[str, list[dict[str, Any]]], name: str) -> None:
    rows, wanted = found[name], WANTED["tables"][name]
    if name == "label_scores":
        known = {row["score"] for row in wanted}
        rows = [row for row in rows if row["score"] in known]
    assert len(rows) == len(wanted)
    for row, other in zip(rows, wanted, strict=True):
        for column, value in other.items():
            is_real = isinstance(value, float)
            close = 1e-3 if column in CALIBRATED else 2e-6  # in small deviations
            near = pytest.approx(value, rel=2e-6, abs=close) if is_real else value
            assert row[column] == near, (name, column, other)


def test_methods_with_other_numbers_have_other_keys() -> None:
    found = [row["key"] for row in WANTED["keys"]]
    assert len(set(found)) == len(METHODS)
    assert len(WANTED["tables"]["similarity"]) == 54
