"""The last step of opening holds whatever a module's own methods return, raise or leave undone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from depara.config.schema import ModelConfig
from depara.errors import LayerError, ModelError
from depara.models import describe_model, open_model

Config = Callable[..., ModelConfig]
HERE = "python:tests.models.test_settled:"


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 3)
        self.norm = nn.BatchNorm2d(2)

    def forward(self, images: Tensor) -> Tensor:
        return self.norm(self.conv(images))


class Forgetful(Net):
    """Its methods return nothing."""

    def train(self, mode: bool = True) -> None:  # type: ignore[override]
        super().train(mode)

    def float(self) -> None:  # type: ignore[override]
        super().float()

    def requires_grad_(self, requires_grad: bool = True) -> None:  # type: ignore[override]
        super().requires_grad_(requires_grad)


class Stubborn(Net):
    """Its methods do nothing."""

    def train(self, mode: bool = True) -> Stubborn:
        return self

    def requires_grad_(self, requires_grad: bool = True) -> Stubborn:
        return self


class Raises(Net):
    def eval(self) -> Raises:
        raise NotImplementedError("call freeze() first")


class Unreadable(Net):
    def named_parameters(self, *args: object, **kwargs: object) -> None:  # type: ignore[override]
        raise TypeError("sharded")


class NoGradients(Net):
    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images)


class Inference(Net):
    @torch.inference_mode()
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images)


class Mended(Inference):
    """As the message advises."""

    forward = Inference.forward.__wrapped__


class Detaches(Net):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images.detach())


def scripted() -> nn.Module:
    return torch.jit.trace(Net().eval(), torch.zeros(1, 3, 8, 8))


@pytest.mark.parametrize("name", ["Forgetful", "Stubborn"])
def test_it_is_still_whatever_its_methods_do(model_config: Config, name: str) -> None:
    opened = open_model(model_config(HERE + name), canvas_side=8)
    plain = open_model(model_config(HERE + "Net"), canvas_side=8)
    assert opened.weights_sha256 == plain.weights_sha256
    assert not any(module.training for module in opened.module.modules())
    assert not any(parameter.requires_grad for parameter in opened.module.parameters())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Raises", r"cannot be put into float32 and eval mode: .*call freeze\(\) first"),
        ("Unreadable", "TypeError: sharded"),
        ("scripted", r"TorchScript.*load_state_dict\(torch.jit.load\(FILE\).state_dict\(\)\)"),
    ],
)
@pytest.mark.filterwarnings("ignore:.torch.jit")
def test_what_its_methods_raise_is_blamed_on_it(
    model_config: Config, name: str, message: str
) -> None:
    with pytest.raises(ModelError, match=f"^model 'm': .*{message}"):
        open_model(model_config(HERE + name), canvas_side=8)


@pytest.mark.parametrize("layers", [["conv"], "output", "blocks", ["nothing"]])
@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("Inference", "under torch.inference_mode, without gradients"),
        ("NoGradients", "under torch.no_grad, without gradients"),
        ("Detaches", "such as detach"),
    ],
)
def test_a_forward_without_gradients_is_told_and_no_list_is_empty(
    model_config: Config, name: str, cause: str, layers: object
) -> None:
    config = model_config(HERE + name, layers=layers)
    with pytest.raises(LayerError, match=f"^model 'm': .*{cause}") as caught:
        describe_model(config, canvas_side=8, features="flatten")
    assert "no layer of " in str(caught.value)
    assert not str(caught.value).rstrip().endswith((":", "such as"))


def test_the_advice_for_a_decorated_forward_works(model_config: Config) -> None:
    config = model_config(HERE + "Mended", layers=["conv"])
    _, card = describe_model(config, canvas_side=8, features="flatten")
    assert card.layers[0].shape == (2, 6, 6)
