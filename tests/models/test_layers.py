from __future__ import annotations

from collections.abc import Callable

import pytest

from depara.config.schema import ModelConfig
from depara.errors import LayerError, ModelError, OutOfMemoryError
from depara.models import choose_layers, layer_module, open_model
from depara.models.layers import matching_names
from depara.types import LayerInfo

Config = Callable[..., ModelConfig]
NAMES = [
    "stem",
    "layer1",
    "layer1.0",
    "layer1.0.conv1",
    "layer2.0",
    "layer2.0.conv1",
    "features.1x",
]
SIDE = 16


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("layer1", ["layer1"]),
        ("layer*", ["layer1"]),
        ("layer?.0", ["layer1.0", "layer2.0"]),
        ("layer[2-9].0", ["layer2.0"]),
        ("layer[!2].0", ["layer1.0"]),
        ("layer1.*", ["layer1.0"]),
        ("layer1.**", ["layer1.0", "layer1.0.conv1"]),
        ("**.conv1", ["layer1.0.conv1", "layer2.0.conv1"]),
        ("**.layer1", ["layer1"]),
        ("layer**1", ["layer1", "layer1.0.conv1", "layer2.0.conv1"]),
        ("*", ["stem", "layer1"]),
        ("layer1x0", []),
        ("layer.", []),
        ("feature[s].1x", ["features.1x"]),
    ],
)
def test_globs_keep_to_one_dotted_part(pattern: str, expected: list[str]) -> None:
    assert matching_names(pattern, NAMES) == expected


def test_a_name_with_glob_signs_matches_itself() -> None:
    assert matching_names("a[0]", ["a0", "a[0]"]) == ["a[0]"]


def _layers(
    config: ModelConfig, features: str = "flatten", side: int = SIDE
) -> tuple[LayerInfo, ...]:
    model = open_model(config, canvas_side=side)
    return choose_layers(model, config, canvas_side=side, features=features)  # type: ignore[arg-type]


def test_layers_come_in_firing_order_with_depth_and_shape(model_config: Config) -> None:
    config = model_config(
        "python:tests.models.networks:Plain", layers=["head", "act2", "conv1", "output"]
    )
    layers = _layers(config)
    assert [layer.name for layer in layers] == ["conv1", "act2", "head", "output"]
    assert [layer.depth for layer in layers] == [0, 1, 2, 3]
    assert [layer.depth_fraction for layer in layers] == [0.25, 0.5, 0.75, 1.0]
    assert [layer.shape for layer in layers] == [(4, 16, 16), (4, 8, 8), (3,), (3,)]
    assert [layer.num_features for layer in layers] == [1024, 256, 3, 3]
    assert [layer.num_features for layer in _layers(config, "gap")] == [4, 4, 3, 3]


def test_the_output_is_the_root_even_beside_a_child_of_that_name(model_config: Config) -> None:
    config = model_config("python:tests.models.networks:Outputs", layers="output")
    (layer,) = _layers(config)
    assert (layer.name, layer.shape) == ("output", (4,))
    module = open_model(config, canvas_side=SIDE).module
    assert layer_module(module, "output") is module
    plain = open_model(model_config("python:tests.models.networks:Plain"), canvas_side=SIDE).module
    assert layer_module(plain, "conv1") is plain.conv1


@pytest.mark.parametrize(("kind", "shape"), [("tuple", (4, 16, 16)), ("dict", (4,))])
def test_outputs_in_containers(model_config: Config, kind: str, shape: tuple[int, ...]) -> None:
    config = model_config(
        "python:tests.models.networks:Returns", kwargs={"kind": kind}, layers="output"
    )
    assert _layers(config)[0].shape == shape


def test_returning_no_tensor_matters_only_where_the_output_is_chosen(model_config: Config) -> None:
    source, kwargs = "python:tests.models.networks:Returns", {"kind": "none"}
    inner = model_config(source, kwargs=kwargs, layers=["conv"])
    assert _layers(inner)[0].name == "conv"
    with pytest.raises(LayerError, match="'output': returns no tensor but NoneType"):
        _layers(model_config(source, kwargs=kwargs, layers="output"))


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        ("twice", "fires 2 times"),
        ("never", "fires 0 times"),
        ("integer", "returns torch.int64"),
        ("constant", "does not depend on the input"),
        ("folded", r"returns shape \(6, 16, 16\) for 2 probes"),
        ("nothing", "returns no tensor but str"),
        ("empty", "returns no values"),
    ],
)
def test_what_is_no_cut_point_is_refused_with_the_reason(
    model_config: Config, layer: str, reason: str
) -> None:
    config = model_config("python:tests.models.networks:Odd", id="odd", layers=["fine", layer])
    with pytest.raises(LayerError, match=rf"model 'odd': layer '{layer}': {reason}.*'fine'"):
        _layers(config)


def test_a_glob_without_a_match_lists_near_names(model_config: Config) -> None:
    config = model_config("python:tests.models.networks:Plain", layers=["cnv1"])
    with pytest.raises(LayerError, match=r"'cnv1' matches no module: did you mean 'conv1'"):
        _layers(config)
    far = model_config("python:tests.models.networks:Plain", layers=["zzzzzzzz.*"])
    with pytest.raises(LayerError, match=r"matches no module: layers that can be chosen: 'conv1'"):
        _layers(far)


def test_the_output_layer_is_one_of_the_layers(model_config: Config) -> None:
    source = "python:tests.models.networks:Plain"
    fine = model_config(source, layers=["conv1", "conv2"], output_layer="conv1")
    assert len(_layers(fine)) == 2
    wrong = model_config(source, layers=["conv1", "conv2"], output_layer="conv3")
    with pytest.raises(LayerError, match=r"output_layer 'conv3' is not among .* 'conv2'"):
        _layers(wrong)


def test_models_that_raise_are_blamed_on_one_line(model_config: Config) -> None:
    raising = model_config("python:tests.models.networks:Raises", id="bad", layers="output")
    with pytest.raises(ModelError, match=r"model 'bad': raised on .*\(2, 3, 16, 16\)") as caught:
        _layers(raising)
    assert "RuntimeError: a first line and a second one" in str(caught.value)
    two = model_config("python:tests.models.networks:TwoInputs", layers="output")
    with pytest.raises(ModelError, match=r"need another input .* missing 1 required .*'text'"):
        _layers(two)
    small = model_config("torchvision:alexnet", input={"side": 16})
    with pytest.raises(ModelError, match=r"\(2, 3, 16, 16\).*set input.side"):
        _layers(small)
    starved = model_config("python:tests.models.networks:OutOfMemory", layers="output")
    with pytest.raises(OutOfMemoryError, match="out of memory"):
        _layers(starved)


def test_choosing_leaves_no_hooks_and_no_gradients(model_config: Config) -> None:
    config = model_config("python:tests.models.networks:Plain")
    model = open_model(config, canvas_side=SIDE)
    choose_layers(model, config, canvas_side=SIDE, features="flatten")
    assert not any(module._forward_hooks for module in model.module.modules())
    assert all(parameter.grad is None for parameter in model.module.parameters())
