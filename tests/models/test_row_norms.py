"""Norms of rows from one end of float32 to the other."""

from __future__ import annotations

import pytest
import torch

from depara.models.row_norms import row_norms


@pytest.mark.parametrize("magnitude", [1e-37, 1e-30, 1e-26, 1e-22, 1e-10, 1.0, 1e20, 1e30, 1e36])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_any_magnitude(magnitude: float, memory_format: torch.memory_format) -> None:
    values = torch.rand(3, 4, 5, 5, generator=torch.Generator().manual_seed(0)) + 0.5
    values = (values * magnitude).contiguous(memory_format=memory_format)
    expected = values.double().flatten(1).norm(dim=1)
    torch.testing.assert_close(row_norms(values).double(), expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_any_floating_type(dtype: torch.dtype) -> None:
    values = torch.tensor([[3.0, 4.0], [0.0, 1e-3]]).to(dtype)
    assert row_norms(values).tolist() == pytest.approx([5.0, 1e-3], rel=1e-2)


def test_a_zero_or_infinite_row_changes_no_other() -> None:
    values = torch.tensor([[0.0, 0.0], [3e-25, 4e-25], [torch.inf, 1.0], [3.4e38, 3.4e38]])
    norms = row_norms(values).tolist()
    assert norms == pytest.approx([0.0, 5e-25, torch.inf, torch.inf], rel=1e-6, abs=0)
    assert row_norms(torch.tensor([[torch.nan]])).isnan().all()
