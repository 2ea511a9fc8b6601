"""Quantised columns: what is packed comes back, within half a step."""

from __future__ import annotations

import base64

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from depara.report.columns import column_values, real_column, whole_column

REALS = arrays(
    np.float64, st.integers(0, 60), elements=st.floats(-1e6, 1e6) | st.just(float("nan"))
)


@given(REALS, st.integers(1, 4))
def test_real_numbers_come_back_within_half_a_step(values: np.ndarray, digits: int) -> None:
    column = real_column(values, digits)
    assert len(column["text"]) == digits * len(values)
    found = column_values(column)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(values))
    error = np.nanmax(np.abs(found - values), initial=0.0)
    assert error <= 0.5 * column["step"] * (1 + 1e-9) + 1e-9


@given(arrays(np.int64, st.integers(0, 60), elements=st.integers(-300_000, 300_000)))
def test_whole_numbers_come_back_exactly(values: np.ndarray) -> None:
    np.testing.assert_array_equal(column_values(whole_column(values)), values)


@pytest.mark.parametrize(("high", "digits"), [(0, 1), (62, 1), (63, 2), (4094, 2), (4095, 3)])
def test_whole_numbers_take_as_few_digits_as_they_need(high: int, digits: int) -> None:
    column = whole_column([0, high, np.nan])
    assert column["digits"] == digits
    np.testing.assert_array_equal(column_values(column), [0, high, np.nan])


def test_four_digits_are_base64_of_three_bytes() -> None:
    """The text is a stream of bits, the most significant first, as base64 writes it."""
    column = real_column([0.0, 1.0], 4)
    assert base64.b64decode(column["text"]) == b"\x00\x00\x00\xff\xff\xfe"


def test_infinite_numbers_are_null_and_none_at_all_is_an_empty_column() -> None:
    assert np.isnan(column_values(real_column([np.inf, -np.inf], 2))).all()
    assert column_values(real_column([], 2)).size == 0
    assert column_values(real_column([3.0, 3.0], 2)).tolist() == [3.0, 3.0]
