"""The zoos of the suite as data: which encoders, how they are trained, how truth is measured."""

from __future__ import annotations

from dataclasses import dataclass

from examples.digits.fit import Settings
from examples.digits.tasks import TASKS

CNN = Settings()
TOKENS = Settings(peak_learning_rate=3e-3)


@dataclass(frozen=True)
class Member:
    """One encoder: its task, architecture, training, and the encoder whose weights it starts from.

    ``start`` names another member of the zoo; None is random weights.
    """

    name: str
    task: str
    network: str
    training: Settings = CNN
    start: str | None = None


@dataclass(frozen=True)
class MadeZoo:
    """Encoders of one image set; ``pictures`` is how many the decoders of the truth learn from.

    A target stands for its task: members with one task share their truth. ``relevant`` is the
    number of best sources that count as right. Of the cuts of every layer source, each is
    fine-tuned ``layer_repeats`` times for the task of every layer target.
    """

    name: str
    images: str
    members: tuple[Member, ...]
    pictures: int = 300
    relevant: int = 3
    layer_sources: tuple[str, ...] = ()
    layer_targets: tuple[str, ...] = ()
    layer_repeats: int = 2

    @property
    def layer_members(self) -> tuple[Member, ...]:
        """The members whose cuts are measured or that are a target of them."""
        names = {*self.layer_sources, *self.layer_targets}
        return tuple(member for member in self.members if member.name in names)

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks of the members, each once."""
        return tuple(dict.fromkeys(member.task for member in self.members))


def _one_network(tasks: tuple[str, ...], network: str, training: Settings) -> tuple[Member, ...]:
    return tuple(Member(task, task, network, training) for task in tasks)


def _several_networks(tasks: tuple[str, ...], networks: tuple[str, ...]) -> tuple[Member, ...]:
    return tuple(
        Member(f"{task}-{network}", task, network, TOKENS if network in ("vit", "mixer") else CNN)
        for task in tasks
        for network in networks
    )


def _of_networks(tasks: tuple[str, ...], networks: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{task}-{network}" for task in tasks for network in networks)


def _family(bases: tuple[str, ...], tasks: tuple[str, ...]) -> tuple[Member, ...]:
    """Bases from random weights, and every task fine-tuned from every base."""
    brief = Settings(steps=200, peak_learning_rate=2e-3)
    tuned = (
        Member(f"{task}-from-{base}", task, "residual", brief, start=base)
        for base in bases
        for task in tasks
    )
    return (*_one_network(bases, "residual", CNN), *tuned)


_PICTURE_TASKS = tuple(task for task in TASKS if task not in ("class10", "parity"))
"""What every image set can be asked."""
_LETTER_TASKS = ("letter", "family", "rotation", "autoencode", "deblur")
_FOUR = ("residual", "plain", "vit", "mixer")
_LENGTHS = {
    "short": ("residual", Settings(steps=120, seed=11)),
    "long": ("residual", Settings(steps=1_000, seed=12)),
    "wide": ("wide", Settings(seed=13, peak_learning_rate=4e-3)),
}

ZOOS: tuple[MadeZoo, ...] = (
    MadeZoo(
        "mnist",
        "mnist",
        _one_network(("class10", "parity", "large", *_PICTURE_TASKS), "residual", CNN),
        layer_sources=("class10", "rotation", "jigsaw", "autoencode", "denoise", "edges"),
        layer_targets=(
            "class10",
            "parity",
            "large",
            "rotation",
            "mirror",
            "jigsaw",
            "inpaint",
            "segment",
        ),
        layer_repeats=3,
    ),
    MadeZoo(
        "mnist, four architectures",
        "mnist",
        _several_networks(("class10", "rotation", "jigsaw", "denoise", "edges"), _FOUR),
    ),
    MadeZoo(
        "mnist, families",
        "mnist",
        _family(("class10", "rotation", "autoencode"), ("parity", "jigsaw", "inpaint", "segment")),
    ),
    MadeZoo(
        "letters",
        "letters",
        _one_network(
            ("letter", "vowel", "bold", "slanted", "family", *_PICTURE_TASKS[:8]),
            "residual",
            Settings(seed=1),
        ),
        layer_sources=("letter", "bold", "family", "rotation", "jigsaw", "autoencode"),
        layer_targets=(
            "letter",
            "bold",
            "denoise",
            "mirror",
            "family",
            "jigsaw",
            "vowel",
            "slanted",
        ),
    ),
    MadeZoo(
        "letters, four architectures",
        "letters",
        _several_networks(_LETTER_TASKS, _FOUR),
        layer_sources=_of_networks(("letter", "rotation", "deblur"), ("vit", "mixer")),
        layer_targets=_of_networks(_LETTER_TASKS, ("vit", "mixer")),
    ),
    MadeZoo(
        "photos",
        "photos",
        _one_network(("photo", "texture", "upscale", *_PICTURE_TASKS), "plain", Settings(seed=2)),
        layer_sources=("photo", "texture", "rotation", "jigsaw", "denoise", "edges"),
        layer_targets=(
            "photo",
            "rotation",
            "segment",
            "jigsaw",
            "texture",
            "inpaint",
            "mirror",
            "autoencode",
        ),
    ),
    MadeZoo(
        "photos, four architectures",
        "photos",
        _several_networks(("photo", "rotation", "inpaint", "edges"), _FOUR),
    ),
    MadeZoo(
        "digits, lengths and widths, 60 images",
        "digits",
        tuple(
            Member(f"{task}-{label}", task, network, training)
            for task in ("class10", "mirror", "jigsaw", "autoencode", "deblur", "segment")
            for label, (network, training) in _LENGTHS.items()
        ),
        pictures=60,
    ),
)
"""What the suite is made of; the digit zoos of `examples` and the mini zoo are judged beside it."""
