"""Small decoders on frozen codes: how well one encoder serves every task of the zoo.

Shape suffixes: ``N`` held-out pictures, ``R`` repeats with other chance.
"""

from __future__ import annotations

import time
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from examples.digits.data import draw_digits, load_digits
from examples.digits.encoder import build_head, code_of
from examples.digits.fit import Settings, descend, examples_of, own_chance
from examples.digits.tasks import TASKS, Examples, Task
from examples.digits.zoo import load_encoder

BRIEF = Settings(steps=150, batch_size=32, shift_px=0)


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """How decoders are trained: a task's own head, on the codes of few pictures."""

    pictures: int = 300
    """Pictures to learn from, of the 1,200 that the encoders learned from."""
    repeats: int = 3
    """Decoders per transfer, each with other pictures, initial weights and batches."""
    training: Settings = BRIEF
    """Of each decoder; the pictures are shown as they are, so that every one is encoded once."""


@dataclass(frozen=True)
class Decoded:
    """What decoders on one encoder reached on held-out pictures.

    ``losses[task]`` (R, N) float64, the task's loss of each picture; ``errors[task]`` (R,) as
    `Task.error`; ``seconds`` is what it took.
    """

    encoder: str
    losses: dict[str, NDArray[np.float64]]
    errors: dict[str, NDArray[np.float64]]
    seconds: float


def measure_encoder(folder: Path, name: str, tasks: tuple[str, ...], how: Decoding) -> Decoded:
    """Freezes a trained encoder and trains decoders on its codes, ``how.repeats`` for each task.

    The chance of a repeat follows from the task alone: it is the same for all encoders, so that
    two encoders differ in nothing but their codes.
    """
    started = time.perf_counter()
    encoder = load_encoder(folder, name)
    losses: dict[str, NDArray[np.float64]] = {}
    errors: dict[str, NDArray[np.float64]] = {}
    with own_chance(how.training.seed):
        for task in tasks:
            unseen = examples_of(TASKS[task], load_digits("held_out"), how.training.seed)
            coded = Examples(codes_of(encoder, unseen), unseen.targets)
            repeats = [_decode(encoder, task, coded, how, repeat) for repeat in range(how.repeats)]
            losses[task] = np.stack([losses_N for losses_N, _ in repeats])
            errors[task] = np.array([error for _, error in repeats])
    return Decoded(name, losses, errors, time.perf_counter() - started)


def losses_of_pictures(task: Task, answers: Tensor, targets: Tensor) -> Tensor:
    """Returns the task's loss of each picture (N,): `Task.loss` is their mean."""
    if task.num_classes is None:
        return (answers - targets).square().flatten(1).mean(1)
    return functional.cross_entropy(answers, targets, reduction="none")


def _decode(
    encoder: nn.Module, task_name: str, unseen: Examples, how: Decoding, repeat: int
) -> tuple[NDArray[np.float64], float]:
    """Trains one decoder; returns its losses (N,) and its error on unseen codes."""
    task = TASKS[task_name]
    seed = how.training.seed + repeat + zlib.crc32(task_name.encode())
    seen = examples_of(task, draw_digits(load_digits("train"), how.pictures, seed), seed)
    codes, unseen_codes = standardised(codes_of(encoder, seen), unseen.inputs)
    with own_chance(seed) as chance:
        head = build_head(task.num_classes)

        def loss_of(batch: Tensor) -> Tensor:
            return task.loss(head(codes[batch]), seen.targets[batch])

        descend(head.parameters(), loss_of, how.pictures, how.training, chance)
        with torch.no_grad():
            answers = head(unseen_codes)
    losses_N = losses_of_pictures(task, answers, unseen.targets).double().numpy()
    return losses_N, task.error(answers, unseen.targets)


def codes_of(encoder: nn.Module, examples: Examples) -> Tensor:
    """Returns the frozen codes of all inputs, one batch."""
    with torch.no_grad():
        return code_of(encoder, examples.inputs)


def standardised(seen: Tensor, unseen: Tensor) -> tuple[Tensor, Tensor]:
    """Both codes, each channel with zero mean and unit deviation over the seen ones.

    Encoders owe their codes no scale; without this, a decoder's step size would suit some of them.
    """
    mean = seen.mean((0, 2, 3), keepdim=True)
    deviation = seen.std((0, 2, 3), keepdim=True).clamp_min(1e-6)
    return (seen - mean) / deviation, (unseen - mean) / deviation
