from __future__ import annotations

import pytest
import torch

from depara.errors import LayerError
from depara.models.outputs import (
    channel_dim,
    layer_tensor,
    num_features,
    pool_features,
    resolution,
)

FIRST, SECOND = torch.zeros(2, 3), torch.ones(2, 3)
IDS = torch.arange(2)


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (FIRST, FIRST),
        ((FIRST, SECOND), FIRST),
        ([None, (SECOND, FIRST)], SECOND),
        ({"logits": SECOND, "last_hidden_state": FIRST}, FIRST),
        ({"loss": FIRST, "logits": SECOND}, SECOND),
        ({"ids": IDS, "features": SECOND}, SECOND),
        ({"ids": IDS}, IDS),
        ({"levels": [SECOND, FIRST]}, SECOND),
    ],
)
def test_the_tensor_of_a_return_value(output: object, expected: torch.Tensor) -> None:
    assert layer_tensor(output) is expected


@pytest.mark.parametrize("output", [None, "text", (), {}, {"a": None}])
def test_no_tensor_is_an_error(output: object) -> None:
    with pytest.raises(LayerError, match="returned no tensor"):
        layer_tensor(output)


def test_model_output_of_transformers_is_a_mapping() -> None:
    outputs = pytest.importorskip("transformers.modeling_outputs")
    given = outputs.BaseModelOutputWithPooling(last_hidden_state=FIRST, pooler_output=SECOND)
    assert layer_tensor(given) is FIRST


@pytest.mark.parametrize(
    ("shape", "channels", "positions"),
    [
        ((2, 5), 5, ()),
        ((2, 197, 64), 64, (197,)),
        ((2, 64, 14, 14), 64, (14, 14)),  # N C H W
        ((2, 14, 14, 64), 64, (14, 14)),  # N H W C
        ((2, 14, 14, 14), 14, (14, 14)),
        ((2, 64, 1, 1), 64, (1, 1)),
        ((2, 1, 1, 64), 64, (1, 1)),
        ((2, 6, 4, 5), 6, (4, 5)),
        ((2, 6, 3, 4, 4), 6, (3, 4, 4)),
    ],
)
def test_channels_and_positions(
    shape: tuple[int, ...], channels: int, positions: tuple[int, ...]
) -> None:
    assert shape[channel_dim(shape)] == channels
    assert resolution(shape) == positions
    assert num_features(shape, "gap") == channels
    assert num_features(shape, "flatten") == torch.Size(shape[1:]).numel()
    assert pool_features(torch.zeros(shape)).shape == (2, channels)


def test_pooling_is_the_mean_over_positions_whatever_the_layout() -> None:
    images = torch.rand(2, 6, 4, 4)
    expected = images.double().flatten(2).mean(-1).float()
    torch.testing.assert_close(pool_features(images), expected)
    torch.testing.assert_close(pool_features(images.permute(0, 2, 3, 1)), expected)
    torch.testing.assert_close(pool_features(images.flatten(2).transpose(1, 2)), expected)
    torch.testing.assert_close(pool_features(expected), expected)


def test_one_value_per_probe_is_one_feature() -> None:
    values = torch.rand(2)
    assert pool_features(values).shape == (2, 1)
    assert num_features((2,), "gap") == num_features((2,), "flatten") == 1
