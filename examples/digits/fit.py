"""Training on one task, on the CPU, the same on every run."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from examples.digits.data import Digits
from examples.digits.encoder import Encoder, build_head, code_of
from examples.digits.tasks import Examples, Task


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How weights are trained; two equal settings give equal weights."""

    steps: int = 500
    """Optimiser steps."""
    batch_size: int = 64
    """Pictures per step."""
    peak_learning_rate: float = 6e-3
    """Of AdamW, reached a quarter of the way through and annealed to nothing."""
    weight_decay: float = 1e-3
    shift_px: int = 2
    """Each picture is moved by up to this much, both ways, before the task sees it."""
    seed: int = 0
    """Of the initial weights, the batches and the tasks' own chance; tasks share no stream."""


@dataclass(frozen=True)
class Fitted:
    """A trained encoder in eval mode and what it reached on pictures it has not seen.

    ``error`` is the held-out share of wrong classes or the mean squared error; ``trivial_error``
    is what the best answer without an encoder reaches there; see `trivial_error`.
    """

    encoder: nn.Module
    error: float
    trivial_error: float


def fit_encoder(
    name: str,
    task: Task,
    train: Digits,
    held_out: Digits,
    how: Settings,
    build: Callable[[], nn.Module] = Encoder,
) -> Fitted:
    """Trains an encoder, with a head that is thrown away, on one task.

    Args:
        name: of the encoder; its chance follows from it and from ``how.seed``.
        task: what is learned.
        train: pictures to learn from.
        held_out: pictures to measure the errors on.
        how: training settings.
        build: makes the untrained encoder.
    """
    with own_chance(how.seed + zlib.crc32(name.encode())) as chance:
        encoder, head = build(), build_head(task.num_classes)
        fine_tune(encoder, head, task, train, how, chance)
        seen = examples_of(task, train, how.seed)
        unseen = examples_of(task, held_out, how.seed)
        with torch.no_grad():
            error = task.error(head(code_of(encoder, unseen.inputs)), unseen.targets)
    return Fitted(encoder, error, trivial_error(task, seen, unseen))


def trivial_error(task: Task, seen: Examples, unseen: Examples) -> float:
    """Returns the held-out error of the best answer that needs no encoder.

    For classes the most frequent one of the training part. For pictures the mean training answer,
    or, where the task restores a damaged picture, the damaged picture itself if that is better.
    """
    if task.num_classes is not None:
        counts_K = torch.bincount(seen.targets, minlength=task.num_classes)
        return task.error(counts_K.expand(len(unseen.targets), -1), unseen.targets)
    mean_answer = seen.targets.mean(0, keepdim=True).expand_as(unseen.targets)
    errors = [task.error(mean_answer, unseen.targets)]
    if task.restores:
        errors.append(task.error(unseen.inputs, unseen.targets))
    return min(errors)


def as_pixels(digits: Digits) -> Tensor:
    """Returns the pictures as float32 (N, 1, 32, 32) in [0, 1]."""
    return torch.from_numpy(digits.pictures_NSS)[:, None].float() / 255


def examples_of(task: Task, digits: Digits, seed: int) -> Examples:
    """Returns all pictures as unshifted examples, the same ones for the same seed."""
    chance = Generator().manual_seed(seed)
    return task.examples(as_pixels(digits), torch.from_numpy(digits.labels_N), chance)


@contextmanager
def own_chance(seed: int) -> Iterator[Generator]:
    """Seeds torch within the context, and yields a generator of the same seed.

    One thread is quickest for pictures this small, and lets several trainings run side by side.
    The random state and the threads of torch are left as they were.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield Generator().manual_seed(seed)
    finally:
        torch.set_num_threads(threads)


def fine_tune(
    encoder: nn.Module, head: nn.Module, task: Task, train: Digits, how: Settings, chance: Generator
) -> None:
    """Trains all weights of an encoder and its head on one task, and leaves both in eval mode."""
    pictures, labels_N = as_pixels(train), torch.from_numpy(train.labels_N)

    def loss_of(batch: Tensor) -> Tensor:
        shifted = _shift(pictures[batch], how.shift_px, chance)
        examples = task.examples(shifted, labels_N[batch], chance)
        return task.loss(head(code_of(encoder, examples.inputs)), examples.targets)

    encoder.train()
    head.train()
    descend((*encoder.parameters(), *head.parameters()), loss_of, len(train), how, chance)
    encoder.eval()
    head.eval()


def descend(
    weights: Iterable[nn.Parameter],
    loss_of: Callable[[Tensor], Tensor],
    num_pictures: int,
    how: Settings,
    chance: Generator,
) -> None:
    """Trains weights by AdamW on batches that go through the pictures in random orders.

    Args:
        weights: what is trained.
        loss_of: the loss of a batch, given as the places of its pictures (int64).
        num_pictures: how many pictures there are.
        how: training settings; ``shift_px`` is ``loss_of``'s own affair.
        chance: of the orders.
    """
    optimizer = torch.optim.AdamW(weights, weight_decay=how.weight_decay)
    order = torch.empty(0, dtype=torch.int64)
    for step in range(how.steps):
        optimizer.param_groups[0]["lr"] = _learning_rate(step, how)
        if len(order) < how.batch_size:
            order = torch.cat((order, torch.randperm(num_pictures, generator=chance)))
        batch, order = order[: how.batch_size], order[how.batch_size :]
        loss = loss_of(batch)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        optimizer.step()


def _learning_rate(step: int, how: Settings) -> float:
    """A straight rise over the first quarter of the steps, then half a cosine down to nothing."""
    rise = max(1, how.steps // 4)
    if step < rise:
        return how.peak_learning_rate * (step + 1) / rise
    fallen = (step - rise) / (how.steps - rise)
    return how.peak_learning_rate * (1 + math.cos(math.pi * fallen)) / 2


def _shift(pictures: Tensor, reach_px: int, chance: Generator) -> Tensor:
    """Moves each picture by up to ``reach_px`` in both directions; paper comes in at the rims."""
    count, side = len(pictures), pictures.shape[-1]
    padded = functional.pad(pictures, (reach_px,) * 4)
    top_N, left_N = torch.randint(2 * reach_px + 1, (2, count), generator=chance)
    rows_NS = top_N[:, None] + torch.arange(side)
    columns_NS = left_N[:, None] + torch.arange(side)
    picture_N = torch.arange(count)
    return padded[picture_N[:, None, None], 0, rows_NS[:, :, None], columns_NS[:, None, :]][:, None]
