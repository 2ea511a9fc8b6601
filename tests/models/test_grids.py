"""The grid of a layer's positions: feature maps, tokens, and what has none."""

from __future__ import annotations

import pytest
import torch

from depara.models.grids import Grid, find_grid


@pytest.mark.parametrize(
    ("shape", "side", "expected"),
    [
        ((64, 56, 56), 224, Grid(56, 56)),
        ((7, 7, 768), 224, Grid(7, 7)),
        ((8, 5, 9), 40, Grid(5, 9)),
        ((196, 768), 224, Grid(14, 14)),
        ((197, 768), 224, Grid(14, 14, 1)),
        ((198, 192), 224, Grid(14, 14, 2)),
    ],
)
def test_positions_are_found(shape: tuple[int, ...], side: int, expected: Grid) -> None:
    assert find_grid("blocks.3", shape, side) == expected


@pytest.mark.parametrize(
    ("name", "shape", "side", "reason"),
    [
        ("fc", (1000,), 224, "its output 1000 has no positions"),
        ("value", (), 224, "its output one value has no positions"),
        ("pool", (512, 1, 1), 224, "512x1x1 is one position"),
        ("blocks.1", (50, 64), 200, "its 50 tokens are no grid over the input of 200 px"),
        ("blocks.1", (100, 256), 224, "its 100 tokens are no grid over the input of 224 px"),
        ("blocks.1", (100, 256), 640, "its 100 tokens are no grid over the input of 640 px"),
        ("decoder.layers.5", (100, 256), 320, "of a decoder's queries"),
        ("pool", (1, 256), 32, "its 1 tokens are no grid"),
        ("video", (3, 4, 5, 6), 32, "its output 3x4x5x6 has no positions"),
    ],
)
def test_what_has_no_grid_says_why(
    name: str, shape: tuple[int, ...], side: int, reason: str
) -> None:
    found = find_grid(name, shape, side)
    assert isinstance(found, str)
    assert reason in found


def test_maps_have_each_position_at_its_place() -> None:
    image = torch.arange(2 * 3 * 4 * 4).reshape(2, 3, 4, 4).float()
    torch.testing.assert_close(Grid(4, 4).maps(image), image)
    last = image.movedim(1, 3)  # 3 channels of 4x4 read as channels last
    torch.testing.assert_close(Grid(4, 4).maps(last), image)
    tokens = image.flatten(2).transpose(1, 2)
    first = torch.full((2, 1, 3), -1.0)
    torch.testing.assert_close(Grid(4, 4, 1).maps(torch.cat([first, tokens], 1)), image)


def test_tokens_after_those_of_the_image_are_left_out() -> None:
    # YOLOS: a class token, 4 x 4 patches, 100 detection tokens.
    assert "117 tokens are no grid" in str(find_grid("encoder.layer.1", (117, 8), 64))
    grid = find_grid("encoder.layer.1", (117, 8), 64, 100)
    assert grid == Grid(4, 4, 1)
    tokens = torch.arange(117.0)[None, :, None]
    maps = grid.maps(tokens)  # type: ignore[union-attr]
    torch.testing.assert_close(maps, torch.arange(1.0, 17.0).reshape(1, 1, 4, 4))
