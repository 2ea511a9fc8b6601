from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from depara.models import Preprocess
from depara.types import IMAGENET_MEAN, IMAGENET_STD, InputSpec

CANVAS = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def test_a_canvas_of_the_input_side_is_only_normalised() -> None:
    preprocess = Preprocess(InputSpec(16, IMAGENET_MEAN, IMAGENET_STD))
    expected = np.empty((2, 3, 16, 16))
    for channel in range(3):
        values = CANVAS[:, channel].double().numpy()
        expected[:, channel] = (values - IMAGENET_MEAN[channel]) / IMAGENET_STD[channel]
    np.testing.assert_allclose(preprocess(CANVAS).numpy(), expected, atol=1e-6)


def test_resizing_is_the_antialiased_bilinear_one_of_pillow() -> None:
    canvas = torch.rand(1, 3, 40, 40, generator=torch.Generator().manual_seed(2))
    resized = Preprocess(InputSpec(12, (0.0,) * 3, (1.0,) * 3))(canvas)
    for channel in range(3):
        image = Image.fromarray(canvas[0, channel].numpy())
        expected = np.asarray(image.resize((12, 12), Image.Resampling.BILINEAR))
        np.testing.assert_allclose(resized[0, channel].numpy(), expected, atol=1e-5)


def test_one_channel_is_the_luminance_of_bt_601() -> None:
    preprocess = Preprocess(InputSpec(16, (0.5,), (0.25,)))
    red, green, blue = CANVAS[:, 0], CANVAS[:, 1], CANVAS[:, 2]
    luminance = 0.299 * red + 0.587 * green + 0.114 * blue
    torch.testing.assert_close(preprocess(CANVAS)[:, 0], (luminance - 0.5) / 0.25)


def test_bgr_is_the_canvas_with_its_channels_turned() -> None:
    mean, std = (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)
    found = Preprocess(InputSpec(16, mean, std, "bgr"))(CANVAS)
    for channel, source in enumerate((2, 1, 0)):
        expected = (CANVAS[:, source] - mean[channel]) / std[channel]
        torch.testing.assert_close(found[:, channel], expected)


def test_it_is_affine_and_its_gradient_reaches_the_canvas() -> None:
    colours = (0.4,) * 3, (0.2,) * 3
    for spec in (
        InputSpec(10, *colours),
        InputSpec(10, *colours, "bgr"),
        InputSpec(24, (0.5,), (0.3,)),
    ):
        preprocess = Preprocess(spec).double()
        canvas = CANVAS.double()
        other = torch.rand(canvas.shape, dtype=torch.float64)
        middle = preprocess(0.25 * canvas + 0.75 * other)
        torch.testing.assert_close(middle, 0.25 * preprocess(canvas) + 0.75 * preprocess(other))
        small = canvas[:1, :, :4, :4].clone().requires_grad_()
        torch.autograd.gradcheck(preprocess, (small,))
        assert not list(preprocess.parameters())
