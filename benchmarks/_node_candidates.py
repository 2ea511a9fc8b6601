"""What might stand for a node instead of gradient * input: by plain autograd, on a zoo's networks.

Every candidate was written down here before any was judged. Each is an inner product of what it
makes of two models, 1 for a model with itself; so is its centred form (`centred`), which follows
from the inner products alone.

``N`` probes, ``S`` canvas side, ``G`` side of the common grid, ``K`` maps of a probe, ``P`` values
of a map, ``D`` values of an output, ``M`` models.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.truth.stitching import on_grid
from depara.attribution.maps import sum_pool
from depara.models import LoadedModel
from depara.similarity.grams import u_centred
from depara.types import IMAGENET_MEAN

MIDDLE = ("blocks.1", "layer2")
LAST = ("blocks.3", "layer3")
"""Modules that are cut at, by their names in the digit zoos and the suite, and in the mini zoo."""

PROJECTIONS, TANGENT_PROJECTIONS = 16, 4
_LEAST_SQUARE = 1e-5
"""Of a model less the mean of all: below it is rounding."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Probed:
    """A model and the canvases ``N 3 S S`` in [0, 1]; what several candidates need is kept."""

    model: LoadedModel
    canvas_N3SS: Tensor

    @cached_property
    def norm_gradient_N3SS(self) -> Tensor:
        """The gradient of the norm of what the model returns."""
        leaf = self.canvas_N3SS.clone().requires_grad_()
        return _gradient(output_values(self.model, leaf).norm(dim=1), leaf)

    @cached_property
    def projected_gradients_KN3SS(self) -> Tensor:
        """The gradients of random projections of what the model returns."""
        leaf = self.canvas_N3SS.clone().requires_grad_()
        values_ND = output_values(self.model, leaf)
        directions_KD = projections(values_ND.shape[1]).to(values_ND)
        return torch.stack([_gradient(values_ND @ one_D, leaf) for one_D in directions_KD])


@dataclass(frozen=True)
class Candidate:
    """What might stand for a node: ``make`` gives what one model has, ``compare`` that of all.

    ``compare`` returns ``(M, M)``.
    """

    name: str
    meaning: str
    make: Callable[[Probed], Tensor]
    compare: Callable[[Sequence[Tensor]], Array]

    def similarities(self, models: Sequence[Probed]) -> Array:
        """Returns the inner products of all models, ``(M, M)``."""
        return self.compare([self.make(model) for model in models])


def output_values(model: LoadedModel, canvas_N3SS: Tensor) -> Tensor:
    """Returns the features ``N D`` of what a model returns, inside the autograd graph."""
    values: Tensor = model.module(model.preprocess(canvas_N3SS))
    return values.flatten(1)


def projections(num_values: int) -> Tensor:
    """Returns normal random directions ``K D`` of an output: the same for outputs of one size."""
    return torch.randn(PROJECTIONS, num_values, generator=torch.Generator().manual_seed(0))


def grad_input(one: Probed, cell_px: int = 1) -> Tensor:
    """Returns today's maps ``N 1 P``: gradient * input of the output's norm, summed over cells."""
    maps_NSS = _times_input(one.norm_gradient_N3SS, one.canvas_N3SS)
    return sum_pool(maps_NSS, maps_NSS.shape[-1] // cell_px)[:, None]


def projected(one: Probed, count: int) -> Tensor:
    """Returns maps ``N K P``: gradient * input of random projections of the output."""
    gradients = one.projected_gradients_KN3SS[:count]
    return torch.stack([_times_input(g, one.canvas_N3SS).flatten(1) for g in gradients], dim=1)


def pulled_back(one: Probed, count: int) -> Tensor:
    """Returns the gradients of random projections of the output, over RGB: ``N K P``."""
    return one.projected_gradients_KN3SS[:count].flatten(2).transpose(0, 1)


def at_layer(one: Probed, names: Sequence[str]) -> Tensor:
    """Returns maps ``N 1 P`` of gradient * activation at a layer, summed over its channels.

    The gradient is that of the output's norm (HiResCAM, Draelos & Carin 2020, of another scalar);
    maps and squares of tokens are brought to one grid.
    """
    kept: list[Tensor] = []
    handle = _module(one.model.module, names).register_forward_hook(
        lambda _m, _i, y: kept.append(y)
    )
    try:
        leaf = one.canvas_N3SS.clone().requires_grad_()
        norms_N = output_values(one.model, leaf).norm(dim=1)
    finally:
        handle.remove()
    (activation,) = kept
    channels = 1 if activation.ndim == 4 else 2
    products = (activation * _gradient(norms_N, activation)).sum(dim=channels, keepdim=True)
    return on_grid(products.detach()).flatten(1)[:, None]


def low_pass(one: Probed, cell_px: int) -> Tensor:
    """Returns maps ``N 1 P`` of gradient * input at a small picture, which the canvas is made of.

    The canvas is averaged over cells and enlarged again (bilinear): the model sees what is left,
    and the gradient is taken with respect to the small picture.
    """
    leaf = functional.avg_pool2d(one.canvas_N3SS, cell_px).requires_grad_()
    enlarged = functional.interpolate(leaf, one.canvas_N3SS.shape[2:], mode="bilinear")
    gradient = _gradient(output_values(one.model, enlarged).norm(dim=1), leaf)
    return _times_input(gradient, leaf.detach()).flatten(1)[:, None]


def tangent_gram(one: Probed) -> Tensor:
    """Returns the Gram matrix ``N N`` of the gradients of the last two layers' parameters.

    An empirical neural tangent kernel (Jacot et al. 2018) of some random projections of the output.
    """
    layers = (_module(one.model.module, LAST), one.model.module.get_submodule("code"))
    parameters = [parameter for layer in layers for parameter in layer.parameters()]
    rows = []
    with _trainable(parameters):
        for canvas_3SS in one.canvas_N3SS:
            values_D = output_values(one.model, canvas_3SS[None])[0]
            directions_KD = projections(len(values_D))[:TANGENT_PROJECTIONS].to(values_D)
            for scalar in directions_KD @ values_D:
                gradients = torch.autograd.grad(scalar, parameters, retain_graph=True)
                rows.append(torch.cat([each.flatten() for each in gradients]))
    jacobian = torch.stack(rows).double().reshape(len(one.canvas_N3SS), -1)
    return jacobian @ jacobian.T


def mean_cosines(maps_NKP: Sequence[Tensor]) -> Array:
    """Returns the mean cosine of two models' maps, probe by probe and map by map."""
    units = torch.stack([functional.normalize(one, dim=2, eps=1e-30).flatten() for one in maps_NKP])
    num_maps = maps_NKP[0].shape[0] * maps_NKP[0].shape[1]
    return (units @ units.T).double().numpy() / num_maps


def metric_cosines(gradients_NKP: Sequence[Tensor]) -> Array:
    """Returns the mean cosine of two models' pullback metrics, probe by probe.

    A metric ``J^T J`` of the canvas is estimated by the K gradients ``g`` of random projections of
    the output: ``sum_k g_k g_k^T``. Its cosine does not change when an output is rotated.
    """
    squares = np.array([_metric_products(one, one).numpy() for one in gradients_NKP])
    found = np.ones((len(gradients_NKP), len(gradients_NKP)))
    for i, one in enumerate(gradients_NKP):
        for j in range(i):
            products_N = _metric_products(one, gradients_NKP[j]).numpy()
            norms_N = np.sqrt(squares[i] * squares[j])
            cosines_N = np.divide(products_N, norms_N, np.zeros_like(norms_N), where=norms_N > 0)
            found[i, j] = found[j, i] = cosines_N.mean()
    return found


def kernel_alignments(grams_NN: Sequence[Tensor]) -> Array:
    """Returns the debiased CKA of two models' kernels (Nguyen et al. 2021)."""
    rows = np.stack([u_centred(gram_NN.double().numpy()).ravel() for gram_NN in grams_NN])
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    found: Array = rows @ rows.T
    return found


def centred(similarity_MM: Array) -> Array:
    """Returns the cosines of all models less their mean, from their inner products alone."""
    means_M = similarity_MM.mean(axis=0)
    products_MM = similarity_MM - means_M[:, None] - means_M + means_M.mean()
    squares_M = np.diag(products_MM)
    norms_M = np.sqrt(np.where(squares_M > _LEAST_SQUARE, squares_M, np.inf))
    found: Array = products_MM / np.outer(norms_M, norms_M)
    return found


TODAY = Candidate("node", "gradient * input of the output's norm", grad_input, mean_cosines)

CANDIDATES = (
    Candidate(
        "pooled 2x2", "today's, summed over 2x2 px", partial(grad_input, cell_px=2), mean_cosines
    ),
    Candidate(
        "pooled 4x4", "today's, summed over 4x4 px", partial(grad_input, cell_px=4), mean_cosines
    ),
    *(
        Candidate(
            f"{count} projections",
            f"gradient * input of {count} random projections of the output; mean cosine",
            partial(projected, count=count),
            mean_cosines,
        )
        for count in (8, PROJECTIONS)
    ),
    *(
        Candidate(
            f"pullback {count}",
            f"cosine of the pullback metrics by {count} random projections of the output",
            partial(pulled_back, count=count),
            metric_cosines,
        )
        for count in (8, PROJECTIONS)
    ),
    Candidate(
        "middle layer",
        "gradient * activation in the middle of the network, on an 8x8 grid",
        partial(at_layer, names=MIDDLE),
        mean_cosines,
    ),
    Candidate(
        "last layer",
        "gradient * activation of the last block, on an 8x8 grid",
        partial(at_layer, names=LAST),
        mean_cosines,
    ),
    Candidate(
        "low-pass 2x2", "today's of a canvas of half the side", partial(low_pass, cell_px=2),
        mean_cosines,
    ),
    Candidate(
        "low-pass 4x4", "today's of a canvas of a quarter of the side",
        partial(low_pass, cell_px=4), mean_cosines,
    ),
    Candidate(
        "tangent kernel",
        f"debiased CKA of the last block's and the code's parameter gradients, "
        f"{TANGENT_PROJECTIONS} random projections of the output",
        tangent_gram,
        kernel_alignments,
    ),
)  # fmt: skip


def _gradient(values_N: Tensor, leaf: Tensor) -> Tensor:
    return torch.autograd.grad(values_N.sum(), leaf, retain_graph=True)[0]


def _times_input(gradient_N3SS: Tensor, canvas_N3SS: Tensor) -> Tensor:
    mean = gradient_N3SS.new_tensor(IMAGENET_MEAN)[:, None, None]
    return (gradient_N3SS * (canvas_N3SS - mean)).mean(dim=1)


def _metric_products(one_NKP: Tensor, other_NKP: Tensor) -> Tensor:
    """The inner products ``sum_kl <g_k, h_l>^2`` of two models' metrics, ``(N,)`` float64."""
    return (one_NKP @ other_NKP.transpose(1, 2)).double().square().sum(dim=(1, 2))


def _module(network: nn.Module, names: Sequence[str]) -> nn.Module:
    there = dict(network.named_modules())
    found = [there[name] for name in names if name in there]
    assert found, f"{type(network).__name__} has no module {' or '.join(names)}"
    return found[0]


@contextmanager
def _trainable(parameters: Sequence[nn.Parameter]) -> Iterator[None]:
    """Parameters that take part in gradients, and are frozen afterwards."""
    for parameter in parameters:
        parameter.requires_grad_(True)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(False)
