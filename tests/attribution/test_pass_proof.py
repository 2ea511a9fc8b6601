"""Models that a shortcut, a batch or their own memory would give other numbers than torch's."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from depara.attribution import Extractor
from depara.config import AttributionConfig
from depara.errors import LayerError, ModelError, NonFiniteError
from depara.types import LayerInfo, Note
from tests.attribution.networks import (
    SIDE,
    ConvNet,
    canvases,
    preprocessing,
    probe_names,
    seeded,
)
from tests.oracle import attribution as oracle


class Net(nn.Module):
    """Three convolutions; ``wiring`` says how they are run."""

    def __init__(self, wiring: Callable[[Net, Tensor], Tensor], norm: nn.Module | None = None):
        super().__init__()
        torch.manual_seed(0)
        self.one = nn.Conv2d(3, 6, 3, 2, 1)
        self.two = nn.Conv2d(6, 6, 3, 1, 1)
        self.three = nn.Conv2d(6, 6, 3, 1, 1)
        self.head = nn.Conv2d(6, 4, 1)
        self.norm = nn.Identity() if norm is None else norm
        self.wiring = wiring
        self.skips: list[Tensor] = []
        self.calls = 0
        self.cache: Any = None
        self.register_buffer("running", torch.zeros(6, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        return self.wiring(self, images)


def chain(net: Net, images: Tensor) -> Tensor:
    return net.head(torch.tanh(net.three(torch.tanh(net.two(torch.tanh(net.one(images)))))))


class Run:
    """What an extractor gave in the end, and its notes."""

    def __init__(
        self,
        network: nn.Module,
        names: list[str],
        *,
        count: int = 7,
        config: AttributionConfig | None = None,
        shapes: dict[str, tuple[int, ...]] | None = None,
        with_maps: bool = True,
        **options: Any,
    ) -> None:
        self.canvas = canvases(count)
        self.features: dict[str, dict[int, np.ndarray]] = {name: {} for name in names}
        options.setdefault("batch_size", 3)
        layers = [LayerInfo(name, n, 1.0, 1, (1,)) for n, name in enumerate(names)]
        self.extractor = Extractor(
            network,
            preprocessing(),
            layers,
            config or AttributionConfig(),
            map_side=SIDE,
            model_id="net",
            **options,
        )
        self.nodes = self.extractor.extract(
            self.canvas, probe_names(count), self._collect, with_maps=with_maps
        )

    def _collect(self, layer: str, row0: int, features_BD: Tensor) -> None:
        for offset, row in enumerate(features_BD.cpu().numpy().copy()):
            self.features[layer][row0 + offset] = row

    @property
    def kinds(self) -> list[str]:
        return [note.kind for note in self.extractor.notes]

    def assert_equals_oracle(self, make: Callable[[], nn.Module]) -> Run:
        """Each probe alone, in a network that has never seen another one."""
        preprocess, fresh = oracle.float64_copy(preprocessing()), make()
        for layer, features in self.features.items():
            for row, one in enumerate(self.canvas):
                x = oracle.canvas_tensor(one)
                value, gradient = oracle.output_and_gradient(
                    oracle.float64_copy(fresh), preprocess, layer, x, "l2norm"
                )
                np.testing.assert_allclose(features[row], value.flatten(), rtol=1e-4, atol=1e-5)
                if not self.nodes:
                    continue
                expected = oracle.node_map((x - oracle.MU) * gradient, "mean", SIDE)
                found = self.nodes[layer].maps_NP[row].astype(np.float64)
                assert found @ expected / np.linalg.norm(found) >= 0.9999, (layer, row)
        return self


# --- Shortcuts -----------------------------------------------------------------------------------


def viewing(net: Net, images: Tensor) -> Tensor:
    hidden = torch.tanh(net.two(torch.tanh(net.one(images))))
    return net.head(net.three(hidden.view(len(hidden), -1).view_as(hidden)))


def striding(net: Net, images: Tensor) -> Tensor:
    hidden = torch.tanh(net.one(images))
    return net.head(net.three(hidden * (1.0 if hidden.is_contiguous() else 1.5)))


def in_memory_order(net: Net, images: Tensor) -> Tensor:
    hidden = net.one(images)
    return net.head(hidden.as_strided(hidden.shape, torch.empty(hidden.shape).stride()))


class ViewingBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0].view(-1).view(gradients[0].shape)


def viewing_backward(net: Net, images: Tensor) -> Tensor:
    return net.head(ViewingBackward.apply(net.one(images)))


@pytest.mark.parametrize("batch_size", [3, "auto"])
@pytest.mark.parametrize("wiring", [viewing, striding, in_memory_order, viewing_backward])
def test_what_fails_channels_last_is_run_contiguous_with_a_note(
    wiring: Callable[[Net, Tensor], Tensor], batch_size: Any
) -> None:
    def make() -> nn.Module:
        return seeded(Net(wiring))

    run = Run(make(), ["one", "head"], batch_size=batch_size).assert_equals_oracle(make)
    (note,) = run.extractor.notes
    assert note.kind == "pass"
    assert "(channels last)" in note.message


TOGGLED: list[Tensor] = []


def global_skips(net: Net, images: Tensor) -> Tensor:
    hidden = torch.tanh(net.one(images))
    TOGGLED.append(hidden)
    output = net.head(net.three(torch.tanh(net.two(hidden)) + TOGGLED[0]))
    TOGGLED.clear()
    return output


@pytest.mark.parametrize("batch_size", [1, 3, "auto"])
def test_a_global_that_the_early_end_leaves_half_done_makes_every_pass_whole(
    batch_size: Any,
) -> None:
    TOGGLED.clear()

    def make() -> nn.Module:
        TOGGLED.clear()
        return seeded(Net(global_skips))

    run = Run(make(), ["one", "three"], batch_size=batch_size)
    assert run.kinds == ["pass"]
    assert "ending the forward at the last layer" in run.extractor.notes[0].message
    run.assert_equals_oracle(make)


def catching(net: Net, images: Tensor) -> Tensor:
    hidden = net.one(images)
    try:
        hidden = net.two(hidden)
    except BaseException:  # noqa: BLE001, what some models do
        hidden = net.two(hidden * 2)
    return net.head(hidden)


def test_a_model_that_catches_everything_runs_to_its_end() -> None:
    def make() -> nn.Module:
        return seeded(Net(catching))

    run = Run(make(), ["one", "two"]).assert_equals_oracle(make)
    assert run.kinds == ["pass"]


def test_an_error_about_a_layer_is_not_lost_in_a_model_that_catches_it() -> None:
    def swallowing(net: Net, images: Tensor) -> Tensor:
        hidden = net.one(images)
        for _ in range(2):
            try:
                net.two(hidden)
            except Exception:  # noqa: BLE001, what some models do
                return net.head(hidden)
        return net.head(hidden)

    with pytest.raises(LayerError, match="layer 'two': fires twice"):
        Run(seeded(Net(swallowing)), ["two", "head"])


def test_a_layer_that_fires_twice_is_found_even_if_it_is_the_last() -> None:
    def twice(net: Net, images: Tensor) -> Tensor:
        return net.head(net.two(net.two(net.one(images))))

    with pytest.raises(LayerError, match="layer 'two': fires twice"):
        Run(seeded(Net(twice)), ["one", "two"])


class InTrainMode(nn.BatchNorm2d):
    """Normalises by the batch even in eval mode, and goes on averaging."""

    def train(self, mode: bool = True) -> InTrainMode:
        return super().train(True)


class Halving(nn.BatchNorm2d):
    """What reads a norm's parameters sees that it is not what it seems."""

    def __call__(self, value: Tensor) -> Tensor:
        self.asked = super().__call__(value)
        return self.asked if "forward" not in vars(self) else self.asked * 0.5


def normed(net: Net, images: Tensor) -> Tensor:
    return net.head(torch.tanh(net.norm(net.one(images))))


def test_a_norm_that_is_not_what_it_seems_is_computed_as_it_is() -> None:
    def make() -> nn.Module:
        return seeded(Net(normed, Halving(6)))

    run = Run(make(), ["one", "head"]).assert_equals_oracle(make)
    assert "batch normalisation" in run.extractor.notes[0].message
    assert run.kinds == ["pass"]


def grad_only(net: Net, images: Tensor) -> Tensor:
    return net.head(net.one(images) * (1.0 if torch.is_grad_enabled() else 2.0))


@pytest.mark.parametrize("method", ["grad_input", "integrated_gradients"])
def test_features_are_those_of_the_recorded_pass(method: str) -> None:
    def make() -> nn.Module:
        return seeded(Net(grad_only))

    config = AttributionConfig.model_validate({"method": method, "steps": 2})
    is_path = method != "grad_input"
    run = Run(make(), ["one", "head"], config=config, with_maps=is_path)
    run.nodes = {}
    run.assert_equals_oracle(make)
    assert run.kinds == ["pass"]
    assert "without an autograd graph" in run.extractor.notes[0].message


@pytest.mark.parametrize("method", ["grad_input", "integrated_gradients", "smoothgrad", "eps_lrp"])
def test_a_sound_model_gives_up_nothing(method: str) -> None:
    config = AttributionConfig.model_validate({"method": method, "steps": 2})
    for batch_size in (1, 3, "auto"):
        run = Run(seeded(ConvNet), ["stem", "conv", "output"], config=config, batch_size=batch_size)
        assert run.extractor.notes == []


def test_a_map_that_is_rounding_noise_is_no_reason_to_give_anything_up() -> None:
    """Behind a plain LayerNorm the norm is the same for every input: its gradient is noise."""

    class PostNorm(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 16, 4, 4)
            self.norm = nn.LayerNorm(16, elementwise_affine=False, eps=1e-12)

        def forward(self, images: Tensor) -> Tensor:
            return self.norm(self.conv(images).flatten(2).transpose(1, 2))

    run = Run(seeded(PostNorm), ["conv", "output"], batch_size="auto", count=20)
    assert run.extractor.notes == []


# --- State ---------------------------------------------------------------------------------------


def listed_skips(net: Net, images: Tensor) -> Tensor:
    hidden = torch.tanh(net.one(images))
    net.skips.append(hidden)
    output = net.head(net.three(torch.tanh(net.two(hidden)) + net.skips[0]))
    net.skips = []
    return output


def counting(net: Net, images: Tensor) -> Tensor:
    net.calls += 1
    return net.head(net.two(net.one(images)) * net.calls)


def averaging(net: Net, images: Tensor) -> Tensor:
    hidden = net.one(images)
    net.running.mul_(0.9).add_(hidden.detach().mean(dim=(0, 2, 3))[:, None, None] * 0.1)
    return net.head(net.two(hidden * 1))


def averaging_anew(net: Net, images: Tensor) -> Tensor:
    net.running = net.running + 1
    return net.head(net.two(net.one(images)) * net.running.mean())


def remembering(net: Net, images: Tensor) -> Tensor:
    if net.cache is None:
        net.cache = {"seen": [images.detach().mean()]}
    else:
        net.cache["seen"].append(images.mean())
    return net.head(net.two(net.one(images)) * len(net.cache["seen"]))


def late_buffer(net: Net, images: Tensor) -> Tensor:
    if not hasattr(net, "late"):
        net.register_buffer("late", torch.ones((), dtype=images.dtype))
    net.late += 1
    return net.head(net.two(net.one(images)) * net.late)


@pytest.mark.parametrize(
    "wiring",
    [listed_skips, counting, averaging, averaging_anew, remembering, late_buffer],
)
def test_every_pass_starts_from_the_state_in_which_the_model_was_opened(
    wiring: Callable[[Net, Tensor], Tensor],
) -> None:
    def make() -> nn.Module:
        return seeded(Net(wiring))

    network = make()
    before = copy.deepcopy(network.state_dict())
    run = Run(network, ["one", "two"]).assert_equals_oracle(make)
    assert run.extractor.notes == []
    assert (network.skips, network.calls, network.cache) == ([], 0, None)
    assert network.state_dict().keys() == before.keys()
    assert torch.equal(network.running, before["running"])


COUNTED = [0]


def drifting(net: Net, images: Tensor) -> Tensor:
    COUNTED[0] += 1
    return net.head(net.one(images) * (1 + COUNTED[0]))


def drawing(net: Net, images: Tensor) -> Tensor:
    return net.head(nn.functional.dropout(net.one(images)))


@pytest.mark.parametrize("wiring", [drifting, drawing])
def test_a_model_that_does_not_repeat_itself_is_refused_in_plain_words(
    wiring: Callable[[Net, Tensor], Tensor],
) -> None:
    with pytest.raises(ModelError, match=r"net: .* keeps state between calls .*: let forward"):
        Run(seeded(Net(wiring)), ["one", "head"])


# --- Batches -------------------------------------------------------------------------------------


def minus_batch_mean(net: Net, images: Tensor) -> Tensor:
    hidden = net.one(images)
    return net.head(torch.tanh(hidden - 0.5 * hidden.mean(dim=0, keepdim=True)))


def attending_to_others(net: Net, images: Tensor) -> Tensor:
    hidden = net.one(images)
    tokens = hidden.flatten(1)
    weights = torch.softmax(tokens @ tokens.T / 1000, dim=1)
    return net.head((weights @ tokens).view_as(hidden))


def limited(net: Net, images: Tensor) -> Tensor:
    hidden = net.one(images)
    is_within = torch.arange(len(hidden)) < 3
    return net.head(hidden * is_within.view(-1, 1, 1, 1))


def even_only(net: Net, images: Tensor) -> Tensor:
    if len(images) > 1 and len(images) % 2:
        raise ValueError("an even batch is needed")
    return net.head(net.one(images))


@pytest.mark.parametrize("batch_size", [2, 3, 5, "auto"])
@pytest.mark.parametrize(
    ("wiring", "norm"),
    [
        (normed, lambda: nn.BatchNorm2d(6, track_running_stats=False)),
        (normed, lambda: InTrainMode(6)),
        (minus_batch_mean, lambda: None),
        (attending_to_others, lambda: None),
    ],
)
def test_probes_that_depend_on_their_batch_are_run_one_at_a_time(
    wiring: Callable[[Net, Tensor], Tensor], norm: Callable[[], Any], batch_size: Any
) -> None:
    def make() -> nn.Module:
        return seeded(Net(wiring, norm()))

    run = Run(make(), ["one", "head"], batch_size=batch_size).assert_equals_oracle(make)
    assert "batch" in run.kinds
    (note,) = [one for one in run.extractor.notes if one.kind == "batch"]
    assert "one probe at a time" in note.message
    assert "'head'" in note.message


@pytest.mark.parametrize(("wiring", "batch_size"), [(limited, 5), (even_only, 3), (even_only, 2)])
def test_a_limit_that_only_larger_or_odd_batches_meet_is_found(
    wiring: Callable[[Net, Tensor], Tensor], batch_size: int
) -> None:
    def make() -> nn.Module:
        return seeded(Net(wiring))

    run = Run(make(), ["one", "head"], batch_size=batch_size).assert_equals_oracle(make)
    assert run.kinds == ([] if (wiring, batch_size) == (even_only, 2) else ["batch"])


def test_a_limit_that_the_first_two_batches_do_not_meet_is_found() -> None:
    def make() -> nn.Module:
        return seeded(Net(limited))

    run = Run(make(), ["one", "head"], batch_size="auto", count=40).assert_equals_oracle(make)
    assert run.kinds == ["batch"]


def squeezing(net: Net, images: Tensor) -> Tensor:
    return net.head(net.one(images)).mean(dim=(2, 3)).squeeze()


@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_one_probe_that_loses_its_batch_is_run_beside_its_copy(batch_size: int) -> None:
    def make() -> nn.Module:
        return seeded(Net(squeezing))

    run = Run(make(), ["one", "output"], batch_size=batch_size)
    assert run.kinds == ["batch"]
    assert "with a copy of itself" in run.extractor.notes[0].message

    def unsqueezed(net: Net, images: Tensor) -> Tensor:
        return net.head(net.one(images)).mean(dim=(2, 3))

    run.assert_equals_oracle(lambda: seeded(Net(unsqueezed)))


def test_a_batch_that_mixes_probes_and_cannot_hold_one_alone_is_refused() -> None:
    def make() -> nn.Module:
        return seeded(Flat())

    with pytest.raises(ModelError, match=r"layer 'output': .* others of its batch .*running stat"):
        Run(make(), ["conv", "output"])


class Flat(nn.Module):
    """Normalises vectors by the batch: torch refuses a batch of one."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 6, 3)
        self.norm = nn.BatchNorm1d(6, track_running_stats=False)

    def forward(self, images: Tensor) -> Tensor:
        return self.norm(self.conv(images).mean(dim=(2, 3)))


def test_notes_are_plain_and_name_no_layer_of_their_own() -> None:
    run = Run(seeded(Net(viewing)), ["one", "head"])
    assert all(isinstance(note, Note) and note.layer is None for note in run.extractor.notes)


def test_what_is_not_finite_in_plain_torch_is_named_as_such() -> None:
    def poisoned(net: Net, images: Tensor) -> Tensor:
        dark = images.mean(dim=(1, 2, 3), keepdim=True) < images.mean(dim=(1, 2, 3)).max()
        del dark
        return net.head(net.one(torch.where(images > 1e9, torch.nan, images)) / 0)

    with pytest.raises(NonFiniteError, match="layer 'head': features of probe"):
        Run(seeded(Net(poisoned)), ["one", "head"])


# --- Checkpoints and compilers -------------------------------------------------------------------


class Checkpointed(nn.Module):
    """Blocks in activation checkpoints of one kind, or in none."""

    def __init__(self, use_reentrant: bool | None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.use_reentrant = use_reentrant
        self.stem = nn.Conv2d(3, 6, 3, 2, 1)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(6, 6, 3, 1, 1), nn.BatchNorm2d(6), nn.Tanh()) for _ in range(3)
        )

    def forward(self, images: Tensor) -> Tensor:
        hidden = self.stem(images)
        for block in self.blocks:
            if self.use_reentrant is None:
                hidden = block(hidden)
            else:
                hidden = checkpoint(block, hidden, use_reentrant=self.use_reentrant)
        return hidden


@pytest.mark.parametrize("use_reentrant", [False, True])
@pytest.mark.parametrize("batch_size", [3, "auto"])
def test_layers_inside_activation_checkpoints_are_layers(
    use_reentrant: bool, batch_size: Any
) -> None:
    names = ["stem", "blocks.0.0", "blocks.1", "blocks.2.0", "output"]
    run = Run(seeded(Checkpointed(use_reentrant)), names, batch_size=batch_size)
    run.assert_equals_oracle(lambda: seeded(Checkpointed(None)))
    assert run.extractor.notes == []


def test_what_is_wrapped_by_the_compiler_runs_as_written() -> None:
    compiled = torch.compile(seeded(ConvNet), backend=_no_backend)
    names = ["_orig_mod.stem", "_orig_mod.conv"]
    run = Run(compiled, names)
    plain = Run(seeded(ConvNet), ["stem", "conv"])
    for name, other in zip(names, plain.features, strict=True):
        for row in range(len(run.canvas)):
            np.testing.assert_array_equal(run.features[name][row], plain.features[other][row])


def _no_backend(*_: object) -> Any:
    raise AssertionError("compiled")


# --- Stand-ins for parameters --------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrap",
    [
        nn.utils.parametrizations.weight_norm,
        nn.utils.parametrizations.spectral_norm,
        nn.utils.spectral_norm,
    ],
)
def test_parametrised_weights_work_as_they_are(wrap: Callable[[nn.Module], nn.Module]) -> None:
    def make() -> nn.Module:
        network = Net(chain)
        torch.manual_seed(0)
        network.two = wrap(network.two)
        return seeded(network)

    run = Run(make(), ["one", "two", "head"]).assert_equals_oracle(make)
    assert run.extractor.notes == []


# --- Models of many kinds ------------------------------------------------------------------------


class InManyDimensions(nn.Module):
    """Weights of three, four and five dimensions."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.one = nn.Conv3d(3, 6, (1, 3, 3), padding=(0, 1, 1))
        self.norm = nn.BatchNorm3d(6)
        self.flat = nn.Conv1d(6, 5, 1)
        self.head = nn.Conv2d(5, 4, 1)

    def forward(self, images: Tensor) -> Tensor:
        hidden = torch.tanh(self.norm(self.one(images[:, :, None])))[:, :, 0]
        return self.head(self.flat(hidden.flatten(2)).view(len(images), 5, SIDE, SIDE))


class Recurrent(nn.Module):
    """Keeps its last hidden state."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.one = nn.Conv2d(3, 6, 3, 2)
        self.recurrent = nn.LSTM(6, 5, batch_first=True)
        self.head = nn.Linear(5, 3)
        self.hidden: Any = None

    def forward(self, images: Tensor) -> Tensor:
        value, self.hidden = self.recurrent(self.one(images).flatten(2).transpose(1, 2))
        return self.head(value)


class ExpertsOfLimitedCapacity(nn.Module):
    """Each expert takes so many tokens of the whole batch; the others pass it by."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.one = nn.Conv2d(3, 8, 4, 4)
        self.route = nn.Linear(8, 2)
        self.experts = nn.ModuleList(nn.Linear(8, 8) for _ in range(2))
        self.head = nn.Linear(8, 4)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.one(images).flatten(2).transpose(1, 2)
        flat = tokens.reshape(-1, 8)
        taken, value = self.route(flat).argmax(dim=1), flat
        for number, expert in enumerate(self.experts):
            rows = (taken == number).nonzero()[:, 0][: int(0.7 * len(flat))]
            value = value.index_put((rows,), flat[rows] + expert(flat[rows]))
        return self.head(value.view_as(tokens))


class OwnCheckpoint(torch.autograd.Function):
    """Recomputes a module in the backward, without torch's help."""

    @staticmethod
    def forward(ctx: Any, module: nn.Module, value: Tensor) -> Tensor:
        ctx.module = module
        ctx.save_for_backward(value)
        with torch.no_grad():
            return module(value)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor]:
        (value,) = ctx.saved_tensors
        with torch.enable_grad():
            leaf = value.detach().requires_grad_()
            output = ctx.module(leaf)
        return None, torch.autograd.grad(output, leaf, gradients[0])[0]


def own_checkpoint(net: Net, images: Tensor) -> Tensor:
    return net.head(OwnCheckpoint.apply(net.two, net.one(images)))


def in_steps(net: Net, images: Tensor) -> Tensor:
    def steps() -> Any:
        net.calls += 1
        try:
            hidden = net.one(images)
            yield hidden
            yield net.head(torch.tanh(hidden) * net.calls)
        finally:
            net.calls -= 1
            net.skips.append(images)

    return list(steps())[-1]


def mapped(net: Net, images: Tensor) -> Tensor:
    one_by_one = torch.func.vmap(lambda hidden: torch.tanh(net.two(hidden[None])[0]))
    return net.head(one_by_one(net.one(images)))


def differentiating(net: Net, images: Tensor) -> Tensor:
    with torch.enable_grad():
        leaf = net.one(images if images.requires_grad else images.requires_grad_())
        energy = torch.tanh(leaf).square().sum()
        (gradient,) = torch.autograd.grad(energy, leaf, create_graph=True)
    return net.head(gradient)


@pytest.mark.parametrize("batch_size", [1, 3, "auto"])
@pytest.mark.parametrize("wiring", [own_checkpoint, in_steps, mapped, differentiating])
def test_models_of_odd_ways_give_torchs_numbers(
    wiring: Callable[[Net, Tensor], Tensor], batch_size: Any
) -> None:
    def make() -> nn.Module:
        return seeded(Net(wiring))

    run = Run(make(), ["one", "head"], batch_size=batch_size).assert_equals_oracle(make)
    assert run.extractor.notes == []


@pytest.mark.parametrize("batch_size", [2, "auto"])
@pytest.mark.parametrize("kind", [InManyDimensions, Recurrent, ExpertsOfLimitedCapacity])
def test_models_of_many_kinds_give_torchs_numbers(kind: type[nn.Module], batch_size: Any) -> None:
    run = Run(seeded(kind), ["one", "head"], batch_size=batch_size)
    run.assert_equals_oracle(lambda: seeded(kind))
    assert run.kinds == (["batch"] if kind is ExpertsOfLimitedCapacity else [])


def test_a_method_that_changes_the_values_of_a_model_is_refused_for_it() -> None:
    config = AttributionConfig(method="eps_lrp")
    with pytest.raises(ModelError, match=r"method changes what .*choose another attribution\.m"):
        Run(seeded(Net(differentiating)), ["one", "head"], config=config)


def tokens(net: Net, images: Tensor) -> Tensor:
    normed = net.norm(torch.tanh(net.one(images)))
    values = normed.flatten(2).transpose(1, 2)
    values = nn.functional.layer_norm(values, (6,))  # gives its gradient token by token
    return torch.tanh(values @ net.head.weight[:, :, 0, 0].T).mean(dim=1)


@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("norm", [nn.BatchNorm2d, nn.InstanceNorm2d])
def test_a_norm_before_tokens_has_the_gradients_that_finite_differences_tell(
    norm: type[nn.Module], batch_size: int
) -> None:
    network = seeded(Net(tokens, norm(6))).eval()
    run = Run(network, ["output"], batch_size=batch_size)
    assert run.kinds == []
    images = torch.from_numpy(run.canvas).permute(0, 3, 1, 2).double() / 255
    exact, prepare = copy.deepcopy(network).double(), preprocessing().double()

    def norms(shift: Tensor) -> Tensor:
        with torch.no_grad():
            return exact(prepare(images + shift)).norm(dim=1)

    mean = torch.tensor([0.485, 0.456, 0.406]).double()[:, None, None]
    for row, column in ((3, 4), (10, 7)):
        expected = torch.zeros(len(images), dtype=torch.float64)
        for channel in range(3):
            step = torch.zeros_like(images)
            step[:, channel, row, column] = 1e-6
            slope = (norms(step) - norms(-step)) / 2e-6
            expected += slope * (images[:, channel, row, column] - mean[channel, 0, 0]) / 3
        nodes = run.nodes["output"]
        found = nodes.maps_NP.reshape(-1, SIDE, SIDE)[:, row, column] * nodes.norms_N
        np.testing.assert_allclose(found, expected.numpy(), rtol=5e-3, atol=1e-6)
