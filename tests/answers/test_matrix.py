"""The transferability matrix, by any score and lambda."""

from __future__ import annotations

import numpy as np
import pytest

from depara.answers import matrix
from depara.errors import ConfigError
from tests.answers.scans import scan_of

NAMES = ["a", "b", "c"]
MATRIX = np.arange(9.0).reshape(3, 3)


def test_rows_are_targets_and_columns_sources() -> None:
    table = matrix(scan_of(MATRIX, NAMES))
    assert table.index.tolist() == table.columns.tolist() == NAMES
    expected = MATRIX.copy()
    np.fill_diagonal(expected, np.nan)
    np.testing.assert_allclose(table.to_numpy(), expected)
    assert table.loc["b", "a"] == 3.0


def test_any_score_and_lambda() -> None:
    scan = scan_of(MATRIX, NAMES)
    np.testing.assert_allclose(matrix(scan, "edge_similarity").loc["b", "a"], 1.0)
    np.testing.assert_allclose(matrix(scan, lambda_=5).loc["b", "a"], 1.0 + 5 * 1.0)


def test_what_is_no_score_or_was_not_computed_is_refused() -> None:
    scan = scan_of(MATRIX, NAMES)
    with pytest.raises(ConfigError, match="no score 'cke': did you mean 'cka'"):
        matrix(scan, "cke")
    with pytest.raises(ConfigError, match=r"did not compute 'cka': name it in similarity.scores"):
        matrix(scan, "cka")
    with pytest.raises(ConfigError, match=r"compute 'cka_z': name 'cka' in similarity.scores"):
        matrix(scan, "cka_z")
    with pytest.raises(ConfigError, match="a lambda belongs to the score 'similarity'"):
        matrix(scan, "cka", 1.0)
